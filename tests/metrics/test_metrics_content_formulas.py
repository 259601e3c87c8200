"""Figures of tool calls, of silences by what ended them, and of how far a text had come."""

import pytest
from handmade import MS, REASONING, TEXT, events, record

from lens.metrics.builder import table_of
from lens.metrics.definitions import request_metrics
from lens.metrics.rows import values_of
from lens.metrics.summarize import summarize
from lens.model import Judgement, Signal, TextMarks, ToolCall

TOOL = int(Signal.TOOL)


def call(first, last, deltas=2, before=5, inside=4, *, valid=True):
    return ToolCall(
        name="f", first_ns=first * MS, last_ns=last * MS, silence_ns=before * MS, deltas=deltas, gap_ns=inside * MS,
        valid=valid,
    )  # fmt: skip


def figures(*records, few=False):
    table = table_of(records, few=few)
    return {metric.name: values_of(table, metric) for metric in request_metrics() if metric.kind != "cost"}


@pytest.mark.parametrize("few", [False, True])
def test_a_request_has_the_first_time_the_last_completion_and_the_longest_silences(few):
    calls = (call(100, 200, inside=40), call(150, 400, deltas=9, before=7))
    found = figures(record(tool_calls=calls), few=few)
    assert found["tool_first_ms"] == [100]
    assert found["tool_ready_ms"] == [400]
    assert found["tool_deltas"] == [11]
    assert found["tool_silence_before_ms"] == [7]
    assert found["tool_silence_inside_ms"] == [40]


def test_every_call_counts_in_the_distribution():
    table = table_of([record(tool_calls=(call(100, 200), call(150, 400))), record(), record(tool_calls=(call(1, 2),))])
    assert table.pooled("tool_ready_ms").values.tolist() == [200, 400, 2]
    assert table.pooled("tool_ready_ms").of.tolist() == [0, 0, 2]
    assert summarize(table).distributions["tool_first_ms"].n == 3


def test_a_request_is_ready_when_all_its_calls_are_valid():
    found = figures(record(tool_calls=(call(100, 200), call(150, 400, valid=False))))
    assert found["tool_ready_ms"] == [None]
    assert found["tool_first_ms"] == [100]


def test_a_file_that_does_not_know_of_deltas_has_first_times_only():
    old = ToolCall(name="f", first_ns=3 * MS, last_ns=5 * MS, silence_ns=1 * MS)
    found = figures(record(tool_calls=(old,)))
    assert (found["tool_first_ms"], found["tool_ready_ms"], found["tool_silence_before_ms"]) == ([3], [None], [None])


def test_the_longest_silence_is_told_by_what_ended_it():
    kinds = ((100, REASONING), (130, REASONING), (330, TEXT), (340, TEXT), (940, TOOL), (960, TOOL))
    came = events(*[(at, kind, 4) for at, kind in kinds])
    found = figures(record(events=came))
    assert found["longest_gap_thinking_ms"] == [30]
    assert found["longest_gap_text_ms"] == [200]
    assert found["longest_gap_tool_ms"] == [600]
    assert found["longest_gap_ms"] == [600]


def test_marks_of_the_text_and_the_verdict_are_figures():
    marked = record(
        text_marks=TextMarks(sentence_ns=12 * MS, line_ns=30 * MS), judged=Judgement(valid=True, usable_ns=44 * MS)
    )
    unfit = record(judged=Judgement(valid=False, reason="the answer is not JSON"))
    found = figures(marked, unfit, record())
    assert found["first_sentence_ms"] == [12, None, None]
    assert found["first_line_ms"] == [30, None, None]
    assert found["first_code_block_ms"] == [None, None, None]
    assert found["valid"] == [1, 0, None]
    assert found["time_to_valid_ms"] == [44, None, None]
    summary = summarize([marked, unfit])
    assert (summary.valid_rate, summary.invalid) == (0.5, {"the answer is not JSON": 1})
    assert summarize([record()]).valid_rate is None
