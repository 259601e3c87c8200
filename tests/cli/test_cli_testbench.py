"""`lll testbench`: reports of suites and of runs, against limits and earlier ones, and their trends."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from handmade import INFO, failed_record, record

from lens.cli.main import lll
from lens.errors import ConfigError
from lens.history.write import write_run
from lens.integrations.testbench import TestBenchReport
from lens.model import Status


def run(*words):
    return CliRunner().invoke(lll, ["testbench", *map(str, words)], standalone_mode=False)


@pytest.fixture
def runs(tmp_path):
    """A run, and the same half as fast again with a failure."""
    named = {"greet": (100, 110, 120), "count": (200, 210, 220)}
    first = [record(at, prompt_id=name, index=i) for i, (name, at) in enumerate(named.items())]
    slower = [record(tuple(1.5 * t for t in at), prompt_id=name, index=i) for i, (name, at) in enumerate(named.items())]
    slower = [*slower, failed_record(index=2, prompt_id="late")]
    write_run(tmp_path / "first.jsonl", INFO, first)
    write_run(tmp_path / "second.jsonl", INFO, slower)
    return tmp_path


def test_a_run_becomes_a_report_that_is_held_to_limits(runs):
    done = run("report", runs / "first.jsonl", "--threshold", "ttft<150", "-o", runs / "report.json")
    assert done.return_value == 3
    assert "count: ttft_ms is 200 ms, limit 150 (error)" in done.output
    assert "first: 2 test cases, TTFT p50 100.0 ms, max 200.0 ms" in done.output
    written = TestBenchReport.read(runs / "report.json")
    assert [case.id for case in written.test_cases] == ["greet", "count"]
    assert written.performance_metrics.total_requests == 2
    again = run("report", runs / "report.json")
    assert (again.return_value, "count: ttft_ms is 200 ms" in again.output) == (3, True)


def test_a_report_alone_is_a_pass_where_nothing_was_broken(runs):
    done = run("report", runs / "first.jsonl", "--sla", "interactive", "--suite", "chat")
    assert (done.return_value, done.output) == (
        0,
        "chat: 2 test cases, TTFT p50 100.0 ms, max 200.0 ms, cost $0.00288\n",
    )


def test_what_got_worse_than_the_baseline_fails(runs):
    done = run("report", runs / "second.jsonl", "--baseline", runs / "first.jsonl")
    assert done.return_value == 3
    assert "worse: greet: ttft_ms 100 -> 150 ms (+50%)" in done.output
    assert "late: RateLimited" in done.output
    tolerant = run("report", runs / "first.jsonl", "--baseline", runs / "second.jsonl", "--tolerance", "60%")
    assert tolerant.return_value == 0
    assert "1 test cases of the baseline are not in it: late" in tolerant.output


def test_a_run_of_which_nothing_was_measured_is_no_pass(runs):
    cut = failed_record(status=Status.CANCELLED, category="interrupted")
    for name, records in (("cut.jsonl", [cut]), ("empty.jsonl", [])):
        write_run(runs / name, INFO, records)
        done = run("report", runs / name, "--threshold", "ttft<1000")
        assert done.return_value == 1
        assert "no request in" in done.output


def test_trends_are_a_row_a_test_case(runs):
    done = run("trends", runs / "first.jsonl", runs / "second.jsonl")
    rows = [line.split() for line in done.output.splitlines()]
    assert rows[1:] == [
        ["greet", "100.0", "150.0", "+50%"],
        ["count", "200.0", "300.0", "+50%"],
        ["late", "-", "-", "-"],
    ]
    told = json.loads(run("trends", runs / "first.jsonl", "--metric", "itl_ms", "--json").output)
    assert told["test_cases"] == {"greet": [10.0], "count": [10.0]}


def test_the_json_goes_to_standard_output_alone(runs):
    done = run("report", runs / "first.jsonl", "-o", "-")
    assert json.loads(done.stdout)["test_suite_id"] == "first"
    assert "2 test cases" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("trends", "first.jsonl", "--metric", "speed"), "test cases have ttft_ms"),
        (("report", "report.json", "--sla", "chat"), "was already checked against its limits"),
        (("report", "first.jsonl", "--tolerance", "much"), "--tolerance"),
    ],
)
def test_what_cannot_be_is_reported(runs, words, says, monkeypatch):
    monkeypatch.chdir(runs)
    run("report", "first.jsonl", "-o", "report.json")
    done = run(*words)
    assert isinstance(done.exception, ConfigError)
    assert says in str(done.exception)
