"""Other tools' figures of one answer, worked out on paper; and where a record cannot tell.

The answer: connected by 40 ms, sent from 40 to 41, a role-only message at 90, reasoning at 100 and 120,
text at 150, 160 and 200, finish at 205, usage at 206, [DONE] at 207, the body's end at 210; 11 tokens.
"""

from __future__ import annotations

import pytest
from handmade import REASONING, TEXT, events, failed_record, record, stamps

from lens.errors import ConfigError
from lens.metrics.builder import table_of
from lens.metrics.definitions import METRICS
from lens.metrics.tool_definitions import TOOLS, definitions_of, tool_figures
from lens.model import Signal, Usage

FINISH, USAGE, DONE, TOOL = int(Signal.FINISH), int(Signal.USAGE), int(Signal.DONE), int(Signal.TOOL)
ANSWER = record(
    events=events((90, 0, 0), (100, REASONING, 4), (120, REASONING, 4), (150, TEXT, 4), (160, TEXT, 4), (200, TEXT, 4),
                  (205, FINISH, 0), (206, USAGE, 0), (207, DONE, 0)),
    stamps=stamps(tcp_start=1, tcp_end=40, send_start=40, send_end=41, first_byte=90, end=210),
    usage=Usage(input_tokens=5, output_tokens=11),
)  # fmt: skip

ON_PAPER = {
    "vllm": {
        "TTFT": 90,
        "TPOT": (205 - 90) / 10,
        "ITL": (205 - 90) / 6,
        "E2EL": 205,
    },
    "sglang": {"TTFT": 100, "TPOT": (207 - 100) / 10, "ITL": (200 - 100) / 4, "E2E latency": 207},
    "aiperf": {
        "Time to First Token": 100,
        "Inter Token Latency": (200 - 100) / 10,
        "Inter Chunk Latency": (200 - 100) / 4,
        "Request Latency": 200,
    },
    "guidellm": {"TTFT": 60, "ITL": (200 - 100) / 10, "TPOT": (200 - 40) / 11, "Request latency": 170},
    "inference-perf": {
        "TTFT": 150,
        "TPOT": (200 - 150) / 10,
        "NTPOT": 210 / 11,
        "ITL": (200 - 150) / 2,
        "Request latency": 210,
    },
    "llmperf": {"ttft": 150, "inter token latency": 210 / 11, "end to end latency": 210},
    "otel": {"time_to_first_chunk": 90, "time_per_output_chunk": (206 - 90) / 7, "operation.duration": 210},
}


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_would_have_said_what_is_on_paper(name):
    told = tool_figures(definitions_of(name), table_of([ANSWER]))
    assert {one.name: one.mean for one in told} == {k: pytest.approx(v) for k, v in ON_PAPER[name].items()}


def test_every_figure_stands_beside_one_of_ours():
    for tool in TOOLS.values():
        assert all(metric.ours in METRICS and metric.formula for metric in tool.metrics)
        assert all((tool.zero, tool.first, tool.end))


def test_continuous_usage_does_not_hide_the_message_that_opens_the_answer():
    opened = record(events=events((90, USAGE, 0), (100, TEXT, 4), (110, TEXT, 4)))
    assert tool_figures(definitions_of("vllm"), table_of([opened]))[0].mean == 90


def test_a_tool_call_is_a_token_for_some():
    call = record(events=events((90, TOOL, 9), (150, TEXT, 4), (160, TEXT, 4)))
    first = {
        name: tool_figures(definitions_of(name), table_of([call]))[0].mean for name in ("aiperf", "sglang", "llmperf")
    }
    assert first == {"aiperf": 90, "sglang": 150, "llmperf": 150}


def test_without_token_counts_there_is_no_tpot():
    told = tool_figures(definitions_of("vllm"), table_of([record(usage=None)]))
    assert [one.name for one in told] == ["TTFT", "ITL", "E2EL"]


def test_these_tools_speak_of_successes_only():
    warm = record(warmup=True)
    told = tool_figures(definitions_of("aiperf"), table_of([record(), failed_record(), warm]))
    assert {one.n for one in told} == {1, 3}  # one answer, and its three gaps


def test_nothing_measured_is_nothing_said():
    assert tool_figures(definitions_of("otel"), table_of([failed_record()])) == ()


def test_percentiles_lie_between_two_values_where_the_tool_puts_them_there():
    two = [record((100, 110)), record((200, 210))]
    assert tool_figures(definitions_of("aiperf"), table_of(two))[0].percentiles["p50"] == 150
    assert tool_figures(definitions_of("otel"), table_of(two))[0].percentiles["p50"] == 95


def test_an_unknown_tool_is_told_which_are_known():
    with pytest.raises(ConfigError, match="vllm, sglang"):
        definitions_of("wrk")
