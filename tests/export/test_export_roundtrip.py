"""What is written can be read back: every format with a reader, whatever the records hold.

The readers are not ours, where there are others: csv and pyarrow, Prometheus' own client, OpenTelemetry's
messages; for InfluxDB's lines, the grammar of its documentation, written down here a second time.
"""

from __future__ import annotations

import csv
import io
import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from handmade import INFO, full_record, record
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_records import NAME, records
from needs import need_module

from lens.export.csv import column_names
from lens.export.formats import FORMATS, format_named, open_export
from lens.export.influx import InfluxPoints
from lens.export.wallclock import unix_ns
from lens.history.read import read_run
from lens.history.write import write_run
from lens.metrics.builder import read_table, table_of
from lens.metrics.rows import figures_of
from lens.metrics.summarize import summarize
from lens.pricing import PriceBook, parse_price

BOOK = PriceBook([parse_price("in=0.15,out=0.6")])
MANY = st.lists(records(), max_size=4)
few = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])


def exported(name, made, book=BOOK):
    export = open_export(format_named(name), INFO, book)
    table = table_of(made, INFO, book)
    return b"".join(export.write(table, INFO, summarize(table, INFO)))


def all_figures(one):
    """A request's figures by their names in files."""
    return {name: values[0] for name, values in figures_of(table_of([one], INFO, BOOK)).items()}


@few
@given(made=MANY, name=st.sampled_from(["jsonl", "msgpack", "json"]))
def test_a_run_file_gives_back_its_records(made, name):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"run{FORMATS[name].suffix}"
        path.write_bytes(exported(name, made))
        run = read_run(path)
    assert run.records == made
    assert run.info == INFO
    assert run.warnings == ()


NOTHING = summarize([], INFO)


def written(name, table):
    """The bytes of an export; Parquet's say when a library was built, so its rows stand for them."""
    found = b"".join(open_export(format_named(name), INFO, BOOK).write(table, INFO, NOTHING))
    if name != "parquet":
        return found
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    return parquet.read_table(io.BytesIO(found)).to_pylist()


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("html", "hdrhistogram")])
@settings(few, max_examples=15)
@given(made=MANY, data=st.data())
def test_some_requests_of_a_table_in_a_file_are_written_like_a_run_of_them_alone(name, made, data):
    rows = data.draw(st.permutations(range(len(made))))[: data.draw(st.integers(0, len(made)))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.msgpack"
        write_run(path, INFO, made)
        table, _ = read_table(path, BOOK) if made else (table_of([], INFO, BOOK), ())
        part = table.take(np.array(rows, dtype=np.int64))
        assert written(name, part) == written(name, table_of([made[row] for row in rows], INFO, BOOK))


@few
@given(made=MANY)
def test_a_csv_cell_gives_back_its_figure_to_the_last_bit(made):
    rows = list(csv.DictReader(io.StringIO(exported("csv", made).decode(), newline="")))
    assert len(rows) == len(made)
    for row, one in zip(rows, made, strict=True):
        assert list(row) == list(column_names())
        for name, figure in all_figures(one).items():
            assert (row[name] == "") == (figure is None), name
            if figure is not None:
                assert type(figure)(row[name]) == figure, name
        assert row["model"].removeprefix("'") == one.model.removeprefix("'")
        assert row["status"] == one.status.value


@few
@given(made=MANY)
def test_a_parquet_row_gives_back_its_figures_and_times(made):
    parquet = need_module("pyarrow.parquet", "pip install pyarrow")
    table = parquet.read_table(io.BytesIO(exported("parquet", made)))
    assert table.column_names[: len(column_names())] == list(column_names())
    assert table.column("timestamp").cast("int64").to_pylist() == [unix_ns(one.timestamp) for one in made]
    for row, one in zip(table.drop(["timestamp"]).to_pylist(), made, strict=True):
        for name, figure in all_figures(one).items():
            assert row[name] == figure, name
        assert (row["model"], row["error"] is None) == (one.model, one.failure is None)


def test_parquet_keeps_its_rows_when_there_is_more_than_one_group():
    parquet = need_module("pyarrow.parquet", "pip install pyarrow")
    made = [record(index=i) for i in range(5000)]
    file = parquet.ParquetFile(io.BytesIO(exported("parquet", made)))
    assert file.num_row_groups == 2
    assert file.read(columns=["index"]).column("index").to_pylist() == list(range(5000))
    assert file.read_row_group(1, columns=["token_at_ms"]).column(0).to_pylist()[-1] == [100, 110, 120, 130]


@few
@given(made=MANY, name=st.sampled_from(["prometheus", "prometheus-seconds"]))
def test_prometheus_own_client_reads_the_exposition(made, name):
    parser = need_module("prometheus_client.parser", "pip install prometheus-client")
    text = exported(name, made).decode()
    families = {family.name: family for family in parser.text_string_to_metric_families(text)}
    samples = [sample for family in families.values() for sample in family.samples]
    asked = [s for s in samples if s.name == "llm_latency_lens_requests_total"]
    assert sum(s.value for s in asked) == len(made)
    assert {(s.labels["provider"], s.labels["model"]) for s in asked} == {(r.provider, r.model) for r in made}
    gaps = [gap for one in made for gap in table_of([one]).pooled("itl_ms").values.tolist()]
    unit, per = ("seconds", 1000) if name.endswith("seconds") else ("ms", 1)
    sums = [s.value for s in samples if s.name == f"llm_latency_lens_itl_{unit}_sum"]
    assert sum(s.value for s in samples if s.name == f"llm_latency_lens_itl_{unit}_count") == len(gaps)
    assert math.isclose(sum(sums), sum(gaps) / per, rel_tol=1e-9, abs_tol=1e-9)


def test_a_bucket_holds_what_is_at_most_its_bound():
    parser = need_module("prometheus_client.parser", "pip install prometheus-client")
    made = [record((at, at + 1)) for at in (99.999999, 100, 100.000001)]
    for family in parser.text_string_to_metric_families(exported("prometheus", made).decode()):
        if family.name == "llm_latency_lens_ttft_ms":
            below = {s.labels["le"]: s.value for s in family.samples if s.name.endswith("_bucket")}
            assert [below[le] for le in ("50", "100", "250", "+Inf")] == [0, 2, 3, 3]
            return
    raise AssertionError("no histogram of the TTFT")


# An escaped character while its line is taken apart: three that no record here has.
ESCAPED = {",": "\ue001", "=": "\ue002", " ": "\ue003"}


def unescaped(text: str) -> str:
    for char, stand_in in ESCAPED.items():
        text = text.replace(stand_in, char)
    return text


def parsed_line(line: str) -> tuple[dict[str, str], dict[str, float], int]:
    """Tags, fields and time of a line, after the grammar: an unescaped space ends a part, a comma an item."""
    parts, item, pieces = [], "", []
    at = 0
    while at < len(line):
        if line[at] == "\\" and line[at + 1 : at + 2] in (",", "=", " "):
            item += ESCAPED[line[at + 1]]
            at += 2
            continue
        if line[at] in ", ":
            pieces.append(item)
            item = ""
            if line[at] == " ":
                parts.append(pieces)
                pieces = []
        else:
            item += line[at]
        at += 1
    head, fields = parts
    found = {}
    for pair in head[1:]:
        name, _, value = pair.partition("=")
        found[unescaped(name)] = unescaped(value)
    values = {name: float(value.rstrip("i")) for name, _, value in (field.partition("=") for field in fields)}
    assert head[0] == "llm_request"
    return found, values, int(item)


def plain(text: str) -> str:
    """What a tag can hold: no line ends, no backslash at its end, and it is not empty."""
    return text.replace("\n", " ").replace("\r", " ").rstrip("\\") or "_"


@few
@given(made=MANY)
def test_a_line_of_influxdb_gives_back_tags_figures_and_time(made):
    lines = exported("influxdb", made).decode().split("\n")
    assert lines.pop() == ""
    seen = set()
    for line, one in zip(lines, made, strict=True):
        tags, fields, at_ns = parsed_line(line)
        assert (tags["provider"], tags["model"]) == (plain(one.provider), plain(one.model))
        assert tags["status"] == one.status.value
        figures = all_figures(one)
        for ours, theirs in (("ttft_ms", "ttft_ms"), ("total_cost", "cost"), ("output_tokens", "output_tokens")):
            if theirs in fields:
                assert fields[theirs] == float(figures[ours])
        assert 0 <= at_ns - unix_ns(one.timestamp) < len(made)
        key = (line.rpartition(" ")[0].partition(" ")[0], at_ns)
        assert key not in seen
        seen.add(key)


def test_requests_that_start_at_one_instant_stay_several_points():
    made = [record(index=i) for i in range(50)]
    lines = InfluxPoints().lines(table_of(made, INFO, BOOK))
    assert len({line.rpartition(b" ")[2] for line in lines}) == 50


@given(key=NAME)
def test_no_label_can_take_the_place_of_a_tag_of_ours(key):
    one = record(labels={"provider": "x", "model": "x", "status": "x", "time": "x", key: "x"})
    tags, _, _ = parsed_line(exported("influxdb", [one]).decode().rstrip("\n"))
    assert (tags["provider"], tags["model"], tags["status"]) == ("openai", "gpt-4", "Success")
    assert "time" not in tags


@few
@given(made=MANY)
def test_opentelemetry_reads_every_line_as_its_own_message(made):
    json_format = need_module("google.protobuf.json_format", "pip install protobuf")
    trace = need_module("opentelemetry.proto.trace.v1.trace_pb2", "pip install opentelemetry-proto")
    metrics = need_module("opentelemetry.proto.metrics.v1.metrics_pb2", "pip install opentelemetry-proto")
    spans, points = [], {}
    for line in exported("otlp", made).splitlines():
        if b"resourceSpans" in line:
            # OTLP writes ids as hexadecimal; protobuf's own JSON would want base64, which hexadecimal happens to be.
            found = json_format.Parse(line, trace.TracesData())
            spans += [s for r in found.resource_spans for scope in r.scope_spans for s in scope.spans]
        else:
            found = json_format.Parse(line, metrics.MetricsData())
            for metric in found.resource_metrics[0].scope_metrics[0].metrics:
                points[metric.name] = sum(p.count for p in metric.histogram.data_points)
    assert [s.start_time_unix_nano for s in spans] == [unix_ns(one.timestamp) for one in made]
    assert all(s.end_time_unix_nano >= s.start_time_unix_nano for s in spans)
    ended = [one for one in made if one.stamps.end is not None]
    assert points.get("gen_ai.client.operation.duration", 0) == len(ended)
    told = [t for one in made if one.usage for t in (one.usage.input_tokens, one.usage.output_tokens)]
    assert points.get("gen_ai.client.token.usage", 0) == sum(t is not None for t in told)


def test_a_span_says_what_the_conventions_want():
    (line, _) = exported("otlp", [full_record()]).splitlines()
    resource = json.loads(line)["resourceSpans"][0]
    (span,) = resource["scopeSpans"][0]["spans"]
    said = {a["key"]: next(iter(a["value"].values())) for a in span["attributes"]}
    assert (span["name"], span["kind"], len(span["traceId"]), len(span["spanId"])) == ("chat gpt-4", 3, 32, 16)
    assert (said["gen_ai.provider.name"], said["gen_ai.operation.name"]) == ("openai", "chat")
    assert (said["server.address"], said["server.port"]) == ("api.example", "443")
    assert (said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"]) == ("42", "6")
    assert said["llm_latency_lens.ttft_ms"] == 240
    assert int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]) == 665_000_000
    assert "status" not in span


def test_an_hdrhistogram_log_gives_back_counts_and_extremes(tmp_path):
    log = need_module("hdrh.log", "pip install hdrhistogram")
    histogram = need_module("hdrh.histogram", "pip install hdrhistogram")
    made = [record((at, at + 10, at + 25)) for at in range(100, 200)]
    path = tmp_path / "run.hlog"
    path.write_bytes(exported("hdrhistogram", made))
    reader = log.HistogramLogReader(str(path), histogram.HdrHistogram(1, 3600 * 10**9, 3))
    found = {}
    while (one := reader.get_next_interval_histogram()) is not None:
        found[one.get_tag()] = one
    reader.input_file.close()
    assert found["ttft"].get_total_count() == 100
    assert found["itl"].get_total_count() == 200
    assert found["ttft"].get_value_at_percentile(50) == pytest.approx(149e6, rel=2e-3)
    assert found["itl"].get_max_value() == pytest.approx(15e6, rel=2e-3)
    assert reader.get_start_time_sec() == unix_ns(INFO.started_at) / 1e9
