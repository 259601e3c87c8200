"""Tokens in time: which events count, how many tokens each brought, and who said so."""

from __future__ import annotations

from array import array

import pytest
from handmade import MS, REASONING, TEXT, events, record
from hypothesis import given
from hypothesis import strategies as st

from lens.metrics.builder import table_of
from lens.metrics.token_counts import (
    ASSUMED,
    BEYOND,
    COUNTED,
    EVIDENCE,
    ONE_PER_EVENT,
    SPREAD,
    TOKENS_PER_CHAR,
    TOKENS_UNSEEN,
)
from lens.model import Signal, Usage


def evidence(table):
    return EVIDENCE[table.column("evidence")[0]]


def streamed(one):
    """Output tokens that came over the wire; NaN where nobody can say."""
    return float(table_of([one]).column("streamed")[0])


def test_events_without_content_are_no_tokens():
    stream = events((10, 0, 0), (20, TEXT, 0), (30, TEXT, 4), (40, int(Signal.USAGE), 0), (50, TEXT, 1))
    assert table_of([record(events=stream)]).at.tolist() == [30 * MS, 50 * MS]


def test_the_first_output_comes_after_the_thinking():
    stream = events((10, REASONING, 4), (20, TEXT, 4))
    table = table_of([record(events=stream)])
    assert table.first_at.tolist() == [10 * MS]
    assert table.first_of(table.output).tolist() == [20 * MS]


@pytest.mark.parametrize(
    ("usage", "told", "tokens", "says"),
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
def test_tokens_per_event_take_the_best_evidence(usage, told, tokens, says):
    stream = record((10, 20, 30), usage=usage, tokens_per_event=None if told is None else array("q", told))
    table = table_of([stream])
    assert (table.tokens.tolist(), evidence(table)) == (tokens, says)


def test_thinking_that_was_not_streamed_is_not_among_the_streamed():
    assert streamed(record(usage=Usage(output_tokens=100, reasoning_tokens=90))) == 10
    seen = events((10, REASONING, 4), (20, TEXT, 4))
    assert streamed(record(events=seen, usage=Usage(output_tokens=100, reasoning_tokens=90))) == 100


def test_more_tokens_than_the_characters_can_be_are_not_said_to_have_streamed():
    seen = events((10, TEXT, 100), (20, TEXT, 100))
    most = TOKENS_PER_CHAR * 200 + TOKENS_UNSEEN
    assert streamed(record(events=seen, usage=Usage(output_tokens=most))) == most
    assert streamed(record(events=seen, usage=Usage(output_tokens=most + 1))) != most + 1
    hidden = Usage(output_tokens=most + 90, reasoning_tokens=90)  # at the server, and said so
    assert streamed(record(events=seen, usage=hidden)) == most


def test_a_gap_before_three_tokens_is_three_gaps_of_a_third():
    table = table_of([record((100, 130, 140), tokens_per_event=array("q", [1, 3, 1]))])
    assert table.pooled("itl_ms").values.tolist() == [10, 10, 10, 10]


def test_an_event_without_a_token_of_its_own_lends_its_time_to_the_next():
    table = table_of([record((100, 130, 140), tokens_per_event=array("q", [1, 0, 1]))])
    assert table.pooled("itl_ms").values.tolist() == [40]


@given(st.lists(st.integers(1, 50), min_size=2, max_size=40), st.integers(1, 500))
def test_spreading_loses_no_token_and_gives_none_below_zero(chars, total):
    stream = events(*((10 + i, TEXT, c) for i, c in enumerate(chars)))
    table = table_of([record(events=stream, usage=Usage(output_tokens=total))])
    if evidence(table) == SPREAD:
        assert table.tokens.sum() == total
    assert table.tokens.min() >= 0
    assert len(table.tokens) == len(chars)
