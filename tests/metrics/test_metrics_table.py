"""The columns of a table against the same figures of each record alone, and subsets against the whole."""

from __future__ import annotations

from array import array

import msgspec
import numpy as np
import oracle
import pytest
from handmade import INFO, MS, START, failed_record, full_record, record
from hypothesis import given, settings
from hypothesis import strategies as st

from lens.export.request_json import encode_requests
from lens.history.write import write_run
from lens.metrics import columns as columns_module
from lens.metrics.builder import BATCH, read_table, read_tables, table_of
from lens.metrics.definitions import METRICS, request_metrics
from lens.metrics.rows import values_of
from lens.metrics.summarize import summarize
from lens.metrics.token_counts import EVIDENCE
from lens.model import Connection, Events, Judgement, Signal, Stamps, Status, TcpInfo, TextMarks, ToolCall, Usage
from lens.pricing import PriceBook, parse_price

KINDS = [0, int(Signal.TEXT), int(Signal.REASONING), int(Signal.TOOL), int(Signal.USAGE), int(Signal.FINISH)]
count = st.none() | st.integers(0, 60)
claimed = count | st.integers(1000, 1200) | st.just(3_600_000_000)


any_call = st.builds(
    ToolCall, name=st.just("f"), first_ns=count, last_ns=st.integers(0, 99), silence_ns=count, deltas=count,
    gap_ns=count, valid=st.sampled_from([True, False, None]),
)  # fmt: skip


# Built once: to build a strategy costs more than to draw from it.
NAMES = [name for name in Stamps.__struct_fields__ if name != "start"]
after_start = st.lists(st.none() | st.integers(-50 * MS, 5000 * MS), min_size=len(NAMES), max_size=len(NAMES))
event_rows = st.lists(
    st.tuples(st.integers(0, 900), st.sampled_from(KINDS), st.integers(0, 9), st.booleans()), max_size=12
)
widths = st.sampled_from(["qqHII", "qqqqq"])
tokens_of_event = st.integers(0, 4) | st.just(2**39)
any_tcp = st.none() | st.builds(TcpInfo, rtt_us=st.integers(1, 9999), min_rtt_us=count, retransmits=st.integers(0, 5))
PARTS = {
    "usage": st.none()
    | st.builds(Usage, input_tokens=count, output_tokens=claimed, reasoning_tokens=count, cache_read_tokens=count),
    "server_timing_ms": st.dictionaries(st.sampled_from(["a", "b"]), st.floats(0, 900), max_size=2),
    "stamp_kind": st.sampled_from(["kernel", "read"]),
    "tool_calls": st.lists(any_call, max_size=3).map(tuple),
    "text_marks": st.none() | st.builds(TextMarks, sentence_ns=count, line_ns=count, code_block_ns=count),
    "judged": st.none()
    | st.builds(Judgement, valid=st.booleans(), usable_ns=count, reason=st.sampled_from([None, "x"])),
    "hidden_thinking_ns": st.none() | st.integers(0, 900 * MS),
    "reported_cost_usd": st.sampled_from([None, "0.25"]),
    "status": st.sampled_from([Status.SUCCESS, Status.NETWORK_ERROR]),
    "connection": st.none() | st.builds(Connection, reused=st.booleans(), tcp_at_send=any_tcp, tcp_at_end=any_tcp),
}


@st.composite
def any_stamps(draw):
    later = {name: START + at for name, at in zip(NAMES, draw(after_start), strict=True) if at is not None}
    return Stamps(start=START, **later)


@st.composite
def any_events(draw):
    rows = draw(event_rows)
    at = np.cumsum([row[0] * MS for row in rows]).tolist()
    reads = np.cumsum([row[3] for row in rows]).astype(int).tolist()
    wide = draw(widths)
    columns = (at, [7 * row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows], reads)
    names = ("arrived_ns", "lag_ns", "signals", "chars", "read")
    return Events(**{n: array(code, c) for n, code, c in zip(names, wide, columns, strict=True)})


stamps_of_any, events_of_any = any_stamps(), any_events()


@st.composite
def any_record(draw):
    events = draw(events_of_any)
    content = len(oracle.timeline(record(events=events)).at_ns)
    told = draw(st.none() | st.lists(tokens_of_event, min_size=content, max_size=content) | st.just([1, 2]))
    return record(
        events=events,
        stamps=draw(stamps_of_any),
        tokens_per_event=None if told is None else array("q", told),
        **{name: draw(part) for name, part in PARTS.items()},
    )


several_records = st.lists(any_record() | st.sampled_from([full_record(), failed_record()]), max_size=8)


STOPPED = msgspec.structs.replace(INFO, stopped_by="SIGINT", ended_ns=START + 10**10)
INTERRUPTED = failed_record(status=Status.CANCELLED, category="interrupted")


def absent_as_none(column):
    return [None if np.isnan(value) else value for value in column]


def test_every_metric_of_a_request_is_held_to_a_formula_over_one_record():
    assert {*oracle.FORMULAS, *oracle.OF_SESSIONS} == {m.name for m in request_metrics() if m.kind != "cost"}
    assert {m.name for m in request_metrics() if m.partial} == oracle.PARTIAL


@settings(max_examples=150, deadline=None)
@given(several_records)
def test_a_column_holds_what_is_said_of_each_record_alone(records):
    table = table_of(records)
    for name, formula in oracle.FORMULAS.items():
        alone = [formula(one) for one in records]
        if name == "client_lag_us":  # of a record its worst; the pooled values are below
            alone = [max(oracle.pooled(name, one), default=None) for one in records]
        expected = [None if v is None else pytest.approx(v, rel=1e-12) for v in alone]
        assert absent_as_none(table.metric(name)) == expected, name
        counted = [v if oracle.speaks(name, one) else None for v, one in zip(expected, records, strict=True)]
        assert absent_as_none(table.counted(name)) == counted, name
    for place, one in enumerate(records):
        line = oracle.timeline(one)
        assert table.tokens[table.of == place].tolist() == line.tokens.tolist()
        number = table.column("evidence")[place]
        assert (EVIDENCE[number] if number >= 0 else None) == line.evidence


@settings(max_examples=60, deadline=None)
@given(
    any_record() | st.sampled_from([full_record(), failed_record(), record(), INTERRUPTED]),
    st.sampled_from([INFO, STOPPED, msgspec.structs.replace(STOPPED, config={"load": {"search_slo": "ttft_p95<500"}})]),
)
def test_one_request_on_lists_has_the_figures_that_it_has_on_arrays(one, info):
    book = PriceBook([parse_price("in=3,out=15,cached=1")])
    few, many = table_of([one], info, book, few=True), table_of([one], info, book)
    for metric in request_metrics():
        assert repr(values_of(few, metric)) == repr(values_of(many, metric)), metric.name
        assert repr(few.pooled(metric.name).values.tolist()) == repr(many.pooled(metric.name).values.tolist())
    assert repr(summarize(few)) == repr(summarize(many))
    assert list(encode_requests(few, timings=True)) == list(encode_requests(many, timings=True))
    assert [repr(part.take(part.success).metric("ttft_ms").tolist()) for part in (few.take(slice(0, 1)), few)] == [
        repr(many.take(many.success).metric("ttft_ms").tolist())
    ] * 2


@settings(max_examples=100, deadline=None)
@given(several_records)
def test_pooled_values_are_those_of_the_records_that_may_speak(records):
    table = table_of(records)
    for metric in METRICS.values():
        if metric.pooled is not None:
            found = table.pooled(metric.name)
            each = [oracle.pooled(metric.name, one) if oracle.speaks(metric.name, one) else [] for one in records]
            assert found.values.tolist() == pytest.approx([value for values in each for value in values])
            assert found.of.tolist() == [row for row, values in enumerate(each) for _ in values]


@settings(max_examples=60, deadline=None)
@given(several_records, st.data())
def test_a_subset_holds_what_a_table_of_its_records_holds(records, data):
    rows = data.draw(st.permutations(range(len(records))))[: data.draw(st.integers(0, len(records)))]
    book = PriceBook([parse_price("in=3,out=15")])
    whole, alone = table_of(records, book=book), table_of([records[row] for row in rows], book=book)
    for part in (
        whole.take(np.array(rows, dtype=np.int64)),
        whole.take(np.array(rows, dtype=np.int64)).take(slice(0, len(rows))),
    ):
        for metric in request_metrics():
            assert absent_as_none(part.metric(metric.name)) == absent_as_none(alone.metric(metric.name)), metric.name
            assert part.pooled(metric.name).values.tolist() == alone.pooled(metric.name).values.tolist()
        assert part.codes("model").listed() == alone.codes("model").listed()
        assert part.costs.total == alone.costs.total
        assert [one.request_id for one in part.records()] == [records[row].request_id for row in rows]


def many(n):
    made = [full_record(), failed_record(), record((5, 7)), record((1,), usage=None)]
    return [msgspec.structs.replace(made[i % 4], index=i, request_id=f"r{i}") for i in range(n)]


def test_a_table_that_is_evaluated_in_slices_says_the_same(monkeypatch):
    records = many(37)
    expected = table_of(records)
    monkeypatch.setattr(columns_module, "SLICE", 5)
    found = table_of(records)
    for metric in request_metrics():
        np.testing.assert_array_equal(found.metric(metric.name), expected.metric(metric.name))
        pooled = found.pooled(metric.name)
        np.testing.assert_array_equal(pooled.values, expected.pooled(metric.name).values)
        np.testing.assert_array_equal(pooled.of, expected.pooled(metric.name).of)


@pytest.mark.parametrize("suffix", [".jsonl", ".msgpack"])
def test_a_file_read_as_a_table_is_its_records(tmp_path, suffix):
    records = many(BATCH + 3)
    path = tmp_path / f"run{suffix}"
    write_run(path, INFO, records)
    found, warnings = read_table(path, PriceBook())
    expected = table_of(records)
    assert warnings == ()
    assert found.info == INFO
    for metric in request_metrics():
        np.testing.assert_array_equal(found.metric(metric.name), expected.metric(metric.name))
    for name, kind in expected.kinds().items():
        if kind is columns_module.Codes:
            assert found.codes(name).listed() == expected.codes(name).listed(), name
        elif name != "row":
            np.testing.assert_array_equal(found.column(name), expected.column(name))
    assert [found.record(row) for row in (0, 1, BATCH + 2)] == [records[row] for row in (0, 1, BATCH + 2)]


def test_several_files_are_one_table_in_the_order_of_the_wall_clock(tmp_path):
    def at(second, name):
        return record(request_id=name, timestamp=f"2025-11-07T18:30:{second:02}.000000Z", model=name[0])

    write_run(tmp_path / "one.jsonl", INFO, [at(1, "a1"), at(9, "a2"), at(3, "b1")])
    write_run(tmp_path / "two.msgpack", INFO, [at(2, "c1"), at(9, "a2")])
    found, warnings = read_tables([tmp_path / "one.jsonl", tmp_path / "two.msgpack"])
    assert [one.request_id for one in found.records()] == ["a1", "c1", "b1", "a2"]
    assert found.codes("model").listed() == ["a", "c", "b", "a"]
    assert [run.name for run in found.runs] == ["one.jsonl", "two.msgpack"]
    assert found.column("run").tolist() == [0, 1, 0, 0]
    assert warnings == ("1 request stands in more than one of the files: taken once",)


def test_marks_of_warm_up_are_the_tables_own():
    records = many(4)
    marked = table_of(records).with_warmup(np.array([True, False, False, True]))
    assert [one.request_id for one in marked.measured().records()] == ["r1", "r2"]
    assert marked.record(0).warmup
    assert not records[0].warmup


def test_requests_are_grouped_in_the_order_of_the_first_of_each():
    table = table_of([record(model=name, stage=stage) for name, stage in ("bx", "ax", "bx", "ay")])
    groups = table.grouped(table.codes("model").codes, table.codes("stage").codes)
    assert [rows.tolist() for rows in groups] == [[0, 2], [1], [3]]


def test_no_requests_are_a_table_too():
    table = table_of([])
    assert len(table) == 0
    assert all(len(table.metric(metric.name)) == 0 for metric in request_metrics())
    assert table.measured().costs.total is None


def test_a_record_whose_event_columns_differ_in_length_is_left_out(tmp_path):
    path = tmp_path / "odd.jsonl"
    write_run(path, INFO, many(3))
    lines = path.read_bytes().splitlines(keepends=True)
    row = msgspec.json.decode(lines[2])
    row.setdefault("events", {})["read"] = [1, 2, 3]
    path.write_bytes(b"".join([*lines[:2], msgspec.json.encode(row) + b"\n", *lines[3:]]))
    table, warnings = read_table(path)
    assert [one.request_id for one in table.records()] == ["r0", "r2"]
    assert "different lengths" in warnings[0]
