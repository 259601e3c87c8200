"""A metric that is defined while the program runs is in every output that lists metrics."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from handmade import INFO, failed_record, record

from lens.export.formats import format_named, open_export
from lens.metrics import definitions
from lens.metrics.builder import table_of
from lens.metrics.definitions import Metric
from lens.metrics.summarize import summarize
from lens.pricing import PriceBook

# Content events as ms, so that it is a time: 4 and 2; a failure has none.
MADE = [record(), record((50, 60), index=1), failed_record(index=2)]
VALUES = [4.0, 2.0, None]


@pytest.fixture(autouse=True)
def added():
    metric = definitions.define(
        Metric(
            name="events_ms", unit="ms", better="lower", formula="content events", source="events",
            column=lambda table: np.where(table.n > 0, table.n.astype(float), np.nan),
        )
    )  # fmt: skip
    yield metric
    definitions.remove("events_ms")


def exported(name):
    table = table_of(MADE, INFO, PriceBook())
    return b"".join(open_export(format_named(name), INFO, PriceBook()).write(table, INFO, summarize(table, INFO)))


def test_json_has_it_in_requests_and_statistics():
    document = json.loads(exported("json"))
    assert [request.get("events_ms") for request in document["requests"]] == VALUES
    assert document["stats"]["events_ms"]["n"] == 2


def test_a_run_file_has_it():
    lines = [json.loads(line) for line in exported("jsonl").splitlines()]
    assert [line.get("events_ms") for line in lines[1:-1]] == VALUES


def test_a_csv_column_is_it():
    rows = list(csv.DictReader(io.StringIO(exported("csv").decode())))
    assert [row["events_ms"] for row in rows] == ["4.0", "2.0", ""]


def test_a_parquet_column_is_it():
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    assert parquet.read_table(io.BytesIO(exported("parquet"))).column("events_ms").to_pylist() == VALUES


@pytest.mark.parametrize(
    ("name", "shown", "total", "bound"),
    [("prometheus", "events_ms", "6.0", "5"), ("prometheus-seconds", "events_seconds", "0.006", "0.005")],
)
def test_prometheus_has_a_histogram_of_it_in_either_unit(name, shown, total, bound):
    lines = exported(name).decode().splitlines()
    series = 'provider="openai",model="gpt-4",target="openai/gpt-4"'
    assert f"llm_latency_lens_{shown}_sum{{{series}}} {total}" in lines
    assert f'llm_latency_lens_{shown}_bucket{{{series},le="{bound}"}} 2' in lines


def test_a_point_of_influxdb_has_it():
    lines = exported("influxdb").decode().splitlines()
    assert [",events_ms=4.0," in lines[0], ",events_ms=2.0," in lines[1], "events_ms" in lines[2]] == [
        True,
        True,
        False,
    ]


def test_a_span_has_it():
    spans = json.loads(exported("otlp").splitlines()[0])["resourceSpans"][0]["scopeSpans"][0]["spans"]
    told = [{a["key"]: a["value"] for a in span["attributes"]}.get("llm_latency_lens.events_ms") for span in spans]
    assert told == [{"doubleValue": 4.0}, {"doubleValue": 2.0}, None]


def test_an_infinite_value_is_no_cell_of_csv():
    definitions.define(
        Metric(
            name="endless", unit="share", better=None, formula="1 / 0", source="nowhere",
            column=lambda table: np.full(len(table), np.inf),
        )
    )  # fmt: skip
    export = open_export(format_named("csv"), INFO, PriceBook())
    try:
        text = b"".join(export.write(table_of(MADE), INFO, summarize([])))
    finally:
        definitions.remove("endless")
    assert [row["endless"] for row in csv.DictReader(io.StringIO(text.decode()))] == ["", "", ""]


def test_it_is_gone_when_it_is_removed(added):
    assert b"events_ms" in exported("csv")
    definitions.remove("events_ms")
    assert not any(b"events_" in exported(name) for name in ("json", "csv", "prometheus", "influxdb"))
    definitions.define(added)
