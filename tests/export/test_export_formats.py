"""Every format: names and their order, what is absent stays absent, and what can be read back is."""

from __future__ import annotations

import csv
import io
import json
import re

import msgspec
import pytest
from handmade import INFO, failed_record, full_record, record

from lens.errors import ConfigError
from lens.export.formats import FORMATS, format_named, format_of_suffix, open_export, why_incomplete, write_export
from lens.export.influx import InfluxPoints
from lens.export.wallclock import unix_ns
from lens.history.read import read_run
from lens.metrics.builder import table_of
from lens.metrics.summarize import summarize
from lens.model import Usage
from lens.pricing import PriceBook, parse_price

BOOK = PriceBook([parse_price("in=30,out=60")])
RECORDS = [full_record(), failed_record("no, not now"), record(usage=Usage(input_tokens=42, output_tokens=187))]
# Of a request, in this order.
REQUEST_METRICS = [
    "request_id", "provider", "model", "timestamp", "ttfb_ms", "ttft_ms", "total_latency_ms", "input_tokens",
    "output_tokens", "thinking_tokens", "tokens_per_second", "input_cost", "output_cost", "thinking_cost", "total_cost",
    "dns_resolution_ms", "tcp_connection_ms", "tls_handshake_ms", "status", "error",
]  # fmt: skip
# Of a run.
BENCHMARK_SUMMARY = {
    "test_config", "start_time", "end_time", "total_requests", "successful_requests", "failed_requests", "ttft_stats",
    "itl_stats", "total_latency_stats", "avg_tokens_per_second", "avg_requests_per_second", "total_cost",
    "avg_cost_per_request", "total_input_tokens", "total_output_tokens", "requests",
}  # fmt: skip


def exported(name, records=RECORDS, *, single=False, book=BOOK):
    export = open_export(format_named(name), INFO, book, single=single)
    table = table_of(records, INFO, book)
    return b"".join(export.write(table, INFO, summarize(table, INFO)))


def point(one):
    """A request's line of InfluxDB's protocol, without its end."""
    (line,) = InfluxPoints().lines(table_of([one], INFO, BOOK))
    return line.decode().removesuffix("\n")


def test_one_request_has_its_figures_in_their_order():
    document = json.loads(exported("json", [full_record()], single=True))
    assert [name for name in document if name in REQUEST_METRICS] == REQUEST_METRICS
    assert document["ttft_ms"] == 240
    assert document["tls_handshake_ms"] == 25
    assert document["token_timings"][1] == {"token_index": 1, "timestamp_ms": 260.0, "delta_ms": 20.0}
    assert document["status"] == "Success"
    assert document["error"] is None


def test_a_failed_request_has_nulls_and_the_error_in_words():
    document = json.loads(exported("json", [failed_record("no, not now")], single=True))
    assert document["ttft_ms"] is None
    assert document["error"] == "HTTP 429: no, not now"
    assert document["token_timings"] == []


def test_a_run_has_its_totals_statistics_and_requests():
    document = json.loads(exported("json"))
    assert document.keys() >= BENCHMARK_SUMMARY
    assert (document["total_requests"], document["failed_requests"]) == (3, 1)
    assert document["ttft_stats"].keys() >= {"min", "max", "mean", "median", "p95", "p99", "std_dev"}
    assert document["ttft_stats"]["p99"] == document["ttft_stats"]["max"]
    assert document["ttft_stats"]["too_few"]["p99"] == 100
    assert len(document["requests"]) == 3


def test_money_keeps_every_digit_in_json():
    assert b'"total_cost":0.01248' in exported("jsonl", [RECORDS[2]])


@pytest.mark.parametrize("name", ["json", "jsonl", "msgpack"])
def test_what_was_exported_can_be_analysed_again(tmp_path, name):
    path = tmp_path / f"run{FORMATS[name].suffix}"
    path.write_bytes(exported(name))
    run = read_run(path)
    assert run.info == INFO
    assert run.records == RECORDS
    assert run.warnings == ()


def test_one_exported_request_can_be_analysed_again(tmp_path):
    path = tmp_path / "one.json"
    path.write_bytes(exported("json", [full_record()], single=True))
    assert read_run(path).records == [full_record()]


def test_the_first_eleven_columns_are_those_people_look_at():
    rows = list(csv.reader(io.StringIO(exported("csv").decode())))
    assert ",".join(rows[0][:11]) == (
        "timestamp,provider,model,ttfb_ms,ttft_ms,total_latency_ms,input_tokens,output_tokens,tokens_per_second,total_cost,status"
    )
    assert len({len(row) for row in rows}) == 1
    failed = dict(zip(rows[0], rows[2], strict=True))
    assert failed["ttft_ms"] == ""
    assert failed["error"] == "HTTP 429: no, not now"


def test_a_cell_is_no_formula():
    rows = list(csv.reader(io.StringIO(exported("csv", [record(model="=cmd()")]).decode())))
    assert rows[1][2] == "'=cmd()"


def test_the_exposition_has_a_series_for_each_provider_model_and_outcome():
    text = exported("prometheus").decode()
    assert "# TYPE llm_latency_lens_ttft_ms histogram" in text
    assert 'llm_latency_lens_ttft_ms_bucket{provider="openai",model="gpt-4",target="openai/gpt-4",le="100"} 1' in text
    assert 'llm_latency_lens_ttft_ms_bucket{provider="openai",model="gpt-4",target="openai/gpt-4",le="+Inf"} 2' in text
    assert 'llm_latency_lens_ttft_ms_sum{provider="openai",model="gpt-4",target="openai/gpt-4"} 340.0' in text
    assert (
        'llm_latency_lens_requests_total{provider="openai",model="gpt-4",target="openai/gpt-4",status="RateLimited"} 1'
        in text
    )
    for line in text.splitlines():
        assert line.startswith("# ") or re.fullmatch(r'[a-z_]+\{(?:[a-z_]+="[^"]*",?)+\} [0-9.e+-]+', line), line


def test_labels_of_the_exposition_are_escaped():
    assert 'model="a\\"b\\\\c\\nd"' in exported("prometheus", [record(model='a"b\\c\nd')]).decode()


def test_a_point_has_its_fields_and_a_time_in_nanoseconds():
    line = point(RECORDS[2])
    assert line.startswith(
        "llm_request,provider=openai,model=gpt-4,target=openai/gpt-4,status=Success ttft_ms=100.0,itl_ms="
    )
    assert ",cost=0.01248," in line
    assert line.endswith(" 1762540200000000000")


def test_tags_are_escaped_and_absent_fields_left_out():
    line = point(failed_record(model="my model,v=1\\"))
    assert "model=my\\ model\\,v\\=1," in line
    assert "ttft_ms" not in line


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000_000),
        ("1970-01-01T00:00:01.000000001Z", 1_000_000_001),
        ("1970-01-01T01:00:01.5+01:00", 1_500_000_000),
    ],
)
def test_a_timestamp_keeps_its_nanoseconds(text, ns):
    assert unix_ns(text) == ns


def test_formats_are_found_by_name_alias_and_suffix():
    assert format_named("JSONLines").name == "jsonl"
    assert format_of_suffix(".prom").name == "prometheus"
    assert format_of_suffix(".doc") is None
    with pytest.raises(ConfigError, match="there are json, jsonl"):
        format_named("jsno")


@pytest.mark.parametrize("name", FORMATS)
def test_a_run_without_requests_is_written_too(name):
    assert isinstance(exported(name, []), bytes)


def test_labels_become_tags():
    assert "region=eu" in point(msgspec.structs.replace(record(), labels={"region": "eu"}))


def test_a_cost_of_counted_tokens_is_marked_as_an_estimate():
    """Where a tokenizer counted what the server did not, each output says so of the cost; of others it says nothing."""
    counted, guessed = record(), record(token_source="estimated:o200k")
    lines = exported("prometheus", [counted, guessed]).decode().splitlines()
    usd = {line.split("{")[0]: float(line.split()[-1]) for line in lines if "cost_usd_total{" in line}
    assert usd["llm_latency_lens_estimated_cost_usd_total"] == pytest.approx(usd["llm_latency_lens_cost_usd_total"] / 2)
    assert "estimated" not in exported("prometheus", [counted]).decode()
    for name, mark in (("otlp", b'"llm_latency_lens.cost_estimated"'), ("influxdb", b"cost_estimated=true")):
        assert mark in exported(name, [guessed])
        assert b"cost_estimated" not in exported(name, [counted])


class Records:
    """A format of a plugin: what it adds for each record."""

    def begin(self):
        return b"begin "

    def add(self, one):
        return one.request_id.encode() + b" "

    def end(self, info, summary):
        return f"end {summary.requests}".encode()


def test_a_format_of_records_writes_one_after_the_other(monkeypatch):
    monkeypatch.setattr("lens.export.formats.plugins.load", lambda group, name: lambda *_, single: Records())
    monkeypatch.setattr("lens.export.formats.plugins.names", lambda group: ["mine"])
    table = table_of(RECORDS, INFO, BOOK)
    chosen = format_named("Mine")
    pieces = write_export(chosen, open_export(chosen, INFO, BOOK), table, INFO, summarize(table))
    ids = "".join([f"{one.request_id} " for one in RECORDS])
    assert b"".join(pieces).decode() == f"begin {ids}end {len(RECORDS)}"


@pytest.mark.parametrize("limited", [False, True])
def test_a_library_that_dies_gets_a_process_of_its_own_where_memory_is_limited(monkeypatch, limited):
    monkeypatch.setattr("lens.export.formats.memory_is_limited", lambda: limited)
    monkeypatch.setattr("lens.export.formats.isolated_pieces", lambda make, explain: [b"apart: ", *make()])
    table = table_of(RECORDS, INFO, BOOK)
    chosen = msgspec.structs.replace(FORMATS["csv"], isolated=True)
    export = open_export(chosen, INFO, BOOK)
    assert b"".join(write_export(chosen, export, table, INFO, summarize(table))).startswith(b"apart: ") == limited


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ConfigError("in words"), "in words"),
        (MemoryError(), "no memory is left to make the outputs"),
        (ZeroDivisionError("by zero"), "the csv output cannot be made: ZeroDivisionError: by zero"),
    ],
    ids=["ours", "memory", "any"],
)
def test_why_an_output_is_not_complete_is_said_in_words(error, says):
    assert says in why_incomplete(error, "csv")
