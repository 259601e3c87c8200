"""A metric that is defined once, at run time, is in every output and understood by every option."""

from __future__ import annotations

import csv
import json

import pytest
from handmade import INFO, record
from needs import need_module

from lens.cli.errors import run as run_program
from lens.cli.main import lll
from lens.history.write import write_run
from lens.metrics.builder import table_of
from lens.metrics.definitions import Metric, define, remove
from lens.metrics.summarize import summarize


@pytest.fixture(autouse=True)
def tripled():
    """ttft_tripled_ms, three times TTFT."""
    define(
        Metric(
            name="ttft_tripled_ms",
            unit="ms",
            better="lower",
            formula="3 x ttft_ms",
            source="stamps",
            column=lambda table: 3 * table.metric("ttft_ms"),
            read_from=("start", "first_token"),
            aliases=("tripled",),
        )
    )
    yield
    remove("ttft_tripled_ms")


RECORDS = [record((100 + i, 110 + i, 120 + i), index=i, request_id=f"r{i}") for i in range(20)]
LARGEST = 3 * 119.0


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "run.jsonl"
    write_run(path, INFO, RECORDS)
    return path


@pytest.fixture
def run(capsys, monkeypatch):
    """What a command prints, and its exit code."""
    monkeypatch.setenv("COLUMNS", "120")

    def command(*words):
        code = run_program(lll, [str(word) for word in words])
        return code, capsys.readouterr().out

    return command


def test_it_is_in_the_summary():
    found = summarize(table_of(RECORDS)).distributions["ttft_tripled_ms"]
    assert (found.max, found.n, found.unit) == (LARGEST, 20, "ms")


@pytest.fixture
def exported(tmp_path):
    """What an export of a run of these records holds, as bytes."""
    from lens.export.formats import format_named, open_export
    from lens.pricing import PriceBook

    def write(name):
        table = table_of(RECORDS, INFO)
        export = open_export(format_named(name), INFO, PriceBook())
        return b"".join(export.write(table, INFO, summarize(table, INFO)))

    return write


def test_it_is_in_json_with_its_distribution(exported):
    document = json.loads(exported("json"))
    assert max(request["ttft_tripled_ms"] for request in document["requests"]) == LARGEST
    assert json.dumps(document).count("ttft_tripled_ms") > len(RECORDS), "in the summary too"


def test_it_is_in_each_line_of_json_lines(exported):
    lines = [json.loads(line) for line in exported("jsonl").splitlines()]
    assert max(line["ttft_tripled_ms"] for line in lines if "request_id" in line) == LARGEST


def test_it_is_a_column_of_csv(exported):
    rows = list(csv.DictReader(exported("csv").decode().splitlines()))
    assert max(float(row["ttft_tripled_ms"]) for row in rows) == LARGEST


def test_it_is_a_column_of_parquet(exported):
    need_module("pyarrow", "pip install 'llm-latency-lens[parquet]'")
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(pa.BufferReader(exported("parquet")))
    assert max(table["ttft_tripled_ms"].to_pylist()) == LARGEST


def test_it_is_in_prometheus_exposition(exported):
    assert "ttft_tripled_ms" in exported("prometheus").decode()


def test_it_is_on_the_html_page(exported):
    assert b"ttft_tripled_ms" in exported("html")


def test_it_is_on_the_terminal_page(saved, run):
    code, page = run("analyze", saved)
    assert code == 0
    assert "ttft_tripled" in page


@pytest.mark.parametrize(("limit", "code"), [(LARGEST + 1, 0), (LARGEST - 1, 3)])
def test_it_is_judged_as_a_threshold(saved, run, limit, code):
    assert run("analyze", saved, "--threshold", f"ttft_tripled_max<{limit}")[0] == code


def test_it_selects_requests(saved, run):
    code, document = run("analyze", saved, "--where", f"ttft_tripled_ms >= {LARGEST}", "--format", "json")
    assert code == 0
    assert json.loads(document)["requests"] == 1


def test_it_is_explained_with_the_stamps_it_was_read_from(saved, run):
    code, page = run("explain", "tripled", saved)
    assert code == 0
    assert "3 x ttft_ms" in page
    assert "event 1" in page
