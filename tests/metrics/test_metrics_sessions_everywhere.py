"""The figures of sessions are in every output and understood by every option."""

from __future__ import annotations

import csv
import json

import pytest
from handmade import INFO
from handmade_sessions import BROKEN, DAG, FEW
from needs import need_module

from lens.cli.errors import run as run_program
from lens.cli.main import lll
from lens.export.formats import format_named, open_export
from lens.history.write import write_run
from lens.metrics.builder import table_of
from lens.metrics.goodput import parse_slos
from lens.metrics.summarize import summarize
from lens.pricing import PriceBook


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """What a command prints for a file of these records, and its exit code."""
    monkeypatch.setenv("COLUMNS", "120")
    path = tmp_path / "run.jsonl"

    def command(records, *words):
        write_run(path, INFO, records)
        code = run_program(lll, [str(path) if word is None else word for word in words])
        return code, capsys.readouterr().out

    return command


def exported(name, records):
    table = table_of(records, INFO)
    summary = summarize(table, INFO, slos=parse_slos("e2el:200"))
    return b"".join(open_export(format_named(name), INFO, PriceBook()).write(table, INFO, summary))


def test_csv_says_which_turn_a_request_is():
    rows = list(csv.DictReader(exported("csv", [*DAG, *BROKEN]).decode().splitlines()))
    assert [row["turn"] for row in rows] == [*"0123", *"01234"]
    assert rows[3]["session_id"] == "s"
    assert rows[3]["task_ms"] == ""  # two sessions of one name, each with its turns twice
    alone = list(csv.DictReader(exported("csv", DAG).decode().splitlines()))
    assert [row["task_ms"] for row in alone] == ["", "", "", "700.0"]
    assert [row["critical_ms"] for row in alone] == ["100.0", "0.0", "300.0", "300.0"]


def test_parquet_has_the_same_columns():
    need_module("pyarrow", "pip install 'llm-latency-lens[parquet]'")
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(pa.BufferReader(exported("parquet", DAG)))
    assert table["turn"].to_pylist() == [0, 1, 2, 3]
    assert table["task_ms"].to_pylist() == [None, None, None, 700]


def test_json_has_what_the_sessions_come_to():
    found = json.loads(exported("json", FEW))
    assert (found["sessions"]["complete"], found["sessions"]["failed"]) == (2, 1)
    assert [row["requests"] for row in found["sessions"]["turns"]] == [3, 3]
    assert (found["sessions_per_second"], found["goodput_sessions_per_second"]) == (2, 1)
    assert found["stats"]["task_ms"]["max"] == 500


def test_a_line_of_a_run_file_has_the_figures_of_its_turn():
    lines = [json.loads(line) for line in exported("jsonl", DAG).splitlines()]
    assert [line["task_ms"] for line in lines if "task_ms" in line] == [700]
    assert [line["session"]["turn"] for line in lines if "session" in line] == [0, 1, 2, 3]


def test_prometheus_has_a_histogram_of_the_time_of_sessions():
    exposition = exported("prometheus", FEW).decode().splitlines()
    counts = [line for line in exposition if line.startswith("llm_latency_lens_task_ms_count")]
    assert [line.split()[-1] for line in counts] == ["2"]


@pytest.mark.parametrize(
    ("threshold", "code"),
    [("task_p50<=400", 0), ("task_ms_max<450", 3), ("sessions_per_second>=2", 0), ("session_success_rate>0.7", 3)],
)
def test_sessions_are_judged_by_thresholds(run, threshold, code):
    assert run(FEW, "analyze", None, "--threshold", threshold)[0] == code


@pytest.mark.parametrize(
    ("where", "requests"),
    [("session_id == 'x'", 2), ("turn == 1", 3), ("turn == 0 and session == 'y'", 1), ("task_ms > 450", 1)],
)
def test_requests_are_selected_by_their_session_and_turn(run, where, requests):
    code, document = run(FEW, "analyze", None, "--where", where, "--format", "json")
    assert code == 0
    assert json.loads(document)["requests"] == requests


def test_turns_are_groups_in_the_order_of_their_numbers(run):
    long = [one for k in range(3) for one in BROKEN[:1] * (k + 1)]
    turns = [*FEW, *[change(one, 8 + k) for k, one in enumerate(long[:4])]]
    code, page = run(turns, "analyze", None, "--by", "turn")
    rows = [line.split()[0] for line in page.splitlines() if line[:1].isdigit() and "request" not in line]
    assert (code, rows) == (0, ["0", "1", "8", "9", "10", "11"])


def change(one, number):
    import msgspec

    session = msgspec.structs.replace(one.session, session_id="long", turn=number, turns=99)
    return msgspec.structs.replace(one, session=session, request_id=f"long.{number}")


def test_the_time_of_a_session_is_explained_by_its_critical_path(run):
    code, page = run(DAG, "explain", "task_ms", None)
    assert code == 0
    lines = [" ".join(line.split()) for line in page.splitlines()]
    assert "session s, turn 3 of 4, after 1, 2" in lines
    assert "turn 2 300.000 ms: model 249.000, tool 50.000, client 1.000" in lines
    assert not [line for line in lines if line.startswith("turn 1")]


def test_goodput_of_sessions_is_explained_by_its_promises(run):
    code, page = run(FEW, "explain", "goodput_sessions_per_second", None, "--goodput", "e2el:200")
    assert code == 0
    assert "1 met total_latency_ms <= 200 in every turn" in page


def test_the_page_of_a_run_shows_its_sessions(run):
    _, page = run(FEW, "analyze", None)
    assert "2 complete of 2.000 turns (mean), 1 failed" in page
    assert [line.split()[0] for line in page.splitlines() if line.startswith("task ")]
