"""Tokens in time: which events count, how many tokens each brought, and who said so."""

from __future__ import annotations

from array import array

import pytest
from handmade import MS, REASONING, TEXT, events, record
from hypothesis import given
from hypothesis import strategies as st

from lens.metrics.timeline import (
    ASSUMED,
    BEYOND,
    COUNTED,
    ONE_PER_EVENT,
    SPREAD,
    first_at_ns,
    most_tokens,
    streamed_tokens,
    timeline,
)
from lens.model import OUTPUT, Signal, Usage


def test_events_without_content_are_no_tokens():
    stream = events((10, 0, 0), (20, TEXT, 0), (30, TEXT, 4), (40, int(Signal.USAGE), 0), (50, TEXT, 1))
    line = timeline(record(events=stream))
    assert line.at_ns.tolist() == [30 * MS, 50 * MS]


def test_the_first_output_comes_after_the_thinking():
    stream = events((10, REASONING, 4), (20, TEXT, 4))
    assert first_at_ns(record(events=stream)) == 10 * MS
    assert first_at_ns(record(events=stream), OUTPUT) == 20 * MS


@pytest.mark.parametrize(
    ("usage", "told", "tokens", "evidence"),
    [
        (Usage(output_tokens=3), None, [1, 1, 1], ONE_PER_EVENT),
        (Usage(output_tokens=4), None, [1, 1, 1], ONE_PER_EVENT),  # the end token
        (Usage(output_tokens=9), None, [3, 3, 3], SPREAD),
        (None, None, [1, 1, 1], ASSUMED),
        (Usage(output_tokens=6), [1, 2, 3], [1, 2, 3], COUNTED),
        (Usage(output_tokens=6), [1, 2], [2, 2, 2], SPREAD),  # told for other events than came
        (Usage(output_tokens=3_600_000_000), None, [1, 1, 1], BEYOND),
        (Usage(output_tokens=6), [1, 2, 3_600_000_000], [2, 2, 2], SPREAD),
    ],
)
def test_tokens_per_event_take_the_best_evidence(usage, told, tokens, evidence):
    stream = record((10, 20, 30), usage=usage, tokens_per_event=None if told is None else array("q", told))
    line = timeline(stream)
    assert (line.tokens.tolist(), line.evidence) == (tokens, evidence)


def test_thinking_that_was_not_streamed_is_not_among_the_streamed_tokens():
    assert streamed_tokens(record(usage=Usage(output_tokens=100, reasoning_tokens=90))) == 10
    seen = events((10, REASONING, 4), (20, TEXT, 4))
    assert streamed_tokens(record(events=seen, usage=Usage(output_tokens=100, reasoning_tokens=90))) == 100


def test_more_tokens_than_the_characters_can_be_are_not_said_to_have_streamed():
    seen = events((10, TEXT, 100), (20, TEXT, 100))
    most = most_tokens(200)
    assert streamed_tokens(record(events=seen, usage=Usage(output_tokens=most))) == most
    assert streamed_tokens(record(events=seen, usage=Usage(output_tokens=most + 1))) is None
    hidden = Usage(output_tokens=most + 90, reasoning_tokens=90)  # at the server, and said so
    assert streamed_tokens(record(events=seen, usage=hidden)) == most


def test_a_gap_before_three_tokens_is_three_gaps_of_a_third():
    line = timeline(record((100, 130, 140), tokens_per_event=array("q", [1, 3, 1])))
    assert line.token_gaps_ns().tolist() == [10 * MS, 10 * MS, 10 * MS, 10 * MS]


def test_an_event_without_a_token_of_its_own_lends_its_time_to_the_next():
    line = timeline(record((100, 130, 140), tokens_per_event=array("q", [1, 0, 1])))
    assert line.token_gaps_ns().tolist() == [40 * MS]


@given(st.lists(st.integers(1, 50), min_size=2, max_size=40), st.integers(1, 500))
def test_spreading_loses_no_token_and_gives_none_below_zero(chars, total):
    stream = events(*((10 + i, TEXT, c) for i, c in enumerate(chars)))
    line = timeline(record(events=stream, usage=Usage(output_tokens=total)))
    if line.evidence == SPREAD:
        assert line.tokens.sum() == total
    assert line.tokens.min() >= 0
    assert len(line.tokens) == len(chars)


def test_two_records_in_turn_are_not_mixed_up():
    one, other = record((10, 20)), record((10, 20, 30))
    assert [len(timeline(r).at_ns) for r in (one, other, one)] == [2, 3, 2]
