"""What a figure was read from: the request, stamps and events of each metric, also of one that was just defined."""

import numpy as np
import pytest
from handmade import MS, TEXT, events, failed_record, full_record, record

from lens.analysis.evidence import Request, examples, used
from lens.metrics import definitions
from lens.metrics.builder import table_of
from lens.metrics.definitions import METRICS, Metric
from lens.model import Judgement, TextMarks, ToolCall
from lens.pricing import PriceBook, parse_price

BOOK = PriceBook([parse_price("in=1,out=1")])


def used_of(name, *records, percent=50.0):
    n, (found,) = examples(METRICS[name], table_of(records, book=BOOK), [percent])
    return n, found, [(one.what, None if one.at_ns is None else one.at_ns / 1e6, one.says) for one in found.used]


def test_a_phase_is_led_back_to_its_stamps():
    n, found, used = used_of("tls_ms", full_record())
    assert (n, found.value) == (1, 25.0)
    assert used == [("tls_start", 20.0, ""), ("tls_end", 45.0, "")]


def test_a_percentile_is_that_of_one_request():
    records = [record((100 + i, 110 + i), index=i, request_id=f"r{i}") for i in range(40)]
    n, found, used = used_of("ttft_ms", *records, percent=95.0)
    assert (n, found.value, found.record.request_id) == (40, 137.0, "r37")
    assert used == [("start", 0.0, ""), ("event 1", 137.0, "text, 4 characters, read 1")]


def test_a_gap_between_tokens_is_led_back_to_the_events_around_it_and_what_they_brought():
    clumped = record(events=events((100, TEXT, 4), (110, TEXT, 12), (180, TEXT, 4)), tokens=5)
    _, found, used = used_of("itl_ms", clumped, percent=99.0)
    assert found.value == 70.0
    assert used[0] == ("event 1", 110.0, "text, 12 characters, read 1")
    assert used[1] == ("event 2", 180.0, "text, 4 characters, read 2, brought 1 token (spread)")
    _, found, used = used_of("itl_ms", clumped, percent=20.0)
    assert found.value == pytest.approx(10 / 3)
    assert used[1][2].endswith("brought 3 tokens (spread)")


def test_a_rate_of_tokens_leaves_out_what_the_first_event_brought_and_says_so():
    _, _, used = used_of("tpot_ms", record())
    assert used[0] == ("event 1", 100.0, "text, 4 characters, read 1, brought 1 token (one_per_event)")
    assert used[1][0] == "event 4"
    assert used[2] == ("output tokens", None, "4 streamed; who counted: usage")


def test_one_figure_of_all_gaps_shows_the_longest():
    _, _, used = used_of("longest_gap_ms", full_record())
    assert [one[0] for one in used] == ["median gap", "longest gap", "event 4", "event 5"]
    assert used[3][1] == 640.0


def test_lags_counts_prices_and_the_servers_times_are_shown():
    assert used_of("client_lag_us", record())[2][1] == ("read by this client", 110.02, "")
    assert used_of("thinking_tokens", full_record())[2] == [("reasoning_tokens", None, "2; who counted: usage")]
    assert used_of("server_ms", full_record())[2] == [("openai-processing-ms", None, "150 ms")]
    assert used_of("coalescing", record())[2] == [("token events", None, "4, of which 0 in the read of the one before")]
    cost = used_of("total_cost", record())[2]
    assert cost[:2] == [("input_tokens", None, "42"), ("output_tokens", None, "4")]
    assert cost[-1][0] == "price"


def test_a_connection_that_was_made_shows_the_phases_that_it_had():
    names = [one[0] for one in used_of("connect_ms", full_record())[2]]
    assert names == ["dns_start", "dns_end", "tcp_start", "tcp_end", "tls_start", "tls_end"]


def test_what_nobody_measured_has_no_example():
    assert examples(METRICS["thinking_ms"], table_of([record(), failed_record()]), [50.0]) == (0, [])


@pytest.fixture
def defined():
    """Two metrics that are defined at run time: one says what it reads, one does not."""
    made = [
        Metric(
            name="head_ms", unit="ms", better="lower", formula="head_end - first_byte", source="stamps",
            column=lambda t: (t.stamp("head_end") - t.stamp("first_byte")) / 1e6,
            read_from=("first_byte", "head_end", "ttft_ms", "tcp.rtt_us", "weather"),
        ),
        Metric(name="one", unit="count", better=None, formula="1", source="nothing", column=lambda t: np.ones(len(t))),
    ]  # fmt: skip
    for metric in made:
        definitions.define(metric)
    yield
    for metric in made:
        definitions.remove(metric.name)


@pytest.mark.usefixtures("defined")
def test_a_metric_defined_at_run_time_is_explained_from_what_it_says_it_reads():
    _, found, used = used_of("head_ms", full_record())
    assert found.value == 1.0
    assert used[:3] == [("first_byte", 200.0, ""), ("head_end", 201.0, ""), ("ttft_ms", None, "240 ms")]
    assert used[3][0] == "TCP_INFO"
    assert used[4] == ("weather", None, "")
    assert used_of("one", record())[2] == [("formula", None, "1")]


def lines_of(name, **more):
    request = Request(table_of([record(**more)]))
    return [(one.what, one.at_ns, one.says) for one in used(METRICS[name], request)]


def test_tool_calls_marks_and_verdicts_are_told():
    call = ToolCall(name="f", first_ns=3 * MS, last_ns=9 * MS, deltas=2, valid=True)
    assert lines_of("tool_ready_ms", tool_calls=(call,)) == [
        ("f: first event", 3 * MS, "2 events, arguments complete"), ("f: last event", 9 * MS, "")
    ]  # fmt: skip
    assert lines_of("tool_ready_ms")[0][2] == "none"
    marks = TextMarks(sentence_ns=3 * MS, line_ns=4 * MS)
    assert [name for name, _, _ in lines_of("first_line_ms", text_marks=marks)] == ["first sentence", "first line"]
    assert lines_of("first_line_ms")[0][2].startswith("not read")
    assert lines_of("valid", judged=Judgement(valid=False, reason="why")) == [("not valid", None, "why")]
    assert lines_of("valid")[0][2] == "nothing: give --expect"
