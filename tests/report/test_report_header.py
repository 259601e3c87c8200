"""The head of the page: target, load and verdict are there, and say what the run's header and its figures say."""

from __future__ import annotations

import pytest
import report_runs as runs
from handmade import INFO, failed_record, record
from msgspec.structs import replace

from lens.history.write import KILLED, NOT_ENDED
from lens.metrics.builder import table_of
from lens.metrics.summarize import summarize
from lens.model import Status
from lens.report.html.header import gate_lines, heads, killed_lines, load_text, verdict
from lens.report.html.series import Source


def test_the_head_names_each_target_with_its_address_and_the_load():
    header = runs.info("deep-2")
    (found,) = heads([Source("r", table_of([record()]), header)])
    assert found["targets"] == [["openai deep-2", "https://api.example/v1/chat/completions"]]
    assert found["load"] == "closed loop, 8 at a time, 120 requests"
    assert heads([Source("r", table_of([record()]), None)]) == [{"targets": [], "load": ""}]


@pytest.mark.parametrize(
    ("load", "says"),
    [
        ({}, "closed loop, 1 at a time"),
        ({"iterations": 1}, "closed loop, 1 at a time, 1 request"),
        ({"rate_per_s": 10.0, "duration_ns": 60 * 10**9}, "open loop, 10 requests/s, 60 s"),
        ({"rate_per_s": 2.5, "arrival": "poisson", "until": "i 5%"}, "open loop, 2.5 requests/s, poisson, until i 5%"),
        ({"rate_per_s": 1.0, "ramp_to_per_s": 20.0, "duration_ns": 9 * 10**9}, "open loop, 1 to 20 requests/s, 9 s"),
        ({"sweep_concurrency": [1, 2, 4]}, "sweep of concurrency 1, 2, 4"),
        ({"sweep_min_per_s": 1.0, "sweep_max_per_s": 9.0}, "sweep from 1 to 9 requests/s"),
        ({"idle_gaps_ns": [1, 2]}, "one request after each of 2 idle gaps"),
        ({"trace": "t.csv"}, "replay of t.csv"),
        ({"search_slo": ["ttft_p95<800"]}, "search for the highest load that keeps ttft_p95<800"),
        ({"pattern": "burst", "iterations": 5, "workers": 2}, "burst, 5 requests, 2 processes"),
        ({"concurrency": "of a later version"}, ""),
    ],
)  # fmt: skip
def test_the_load_is_told_in_words(load, says):
    assert load_text(replace(INFO, config={"load": load})) == says


@pytest.mark.parametrize(
    ("sessions", "says"),
    [
        ({"turns": "3-6"}, "closed loop, 4 at a time, 12 sessions"),
        ({"rate_per_s": 0.5}, "open loop, 0.5 sessions/s, 12 sessions"),
    ],
)
def test_a_load_of_sessions_counts_sessions(sessions, says):
    assert load_text(replace(INFO, config={"load": {"iterations": 12, "concurrency": 4}, "sessions": sessions})) == says


def test_a_run_whose_header_has_no_load_says_nothing():
    assert load_text(replace(INFO, config={})) == ""


def test_the_verdict_of_one_run_is_how_its_requests_ended():
    assert verdict([summarize([record()])], []) == [{"level": "good", "says": "the request succeeded"}]
    (line,) = verdict([summarize([record(), failed_record()])], [])
    assert line["level"] == "bad"
    assert line["says"].startswith("1 of 2 requests failed: 1 ")
    assert verdict([], []) == []


def judged(*texts, names=("a",)):
    header = replace(INFO, config={"thresholds": list(texts)})
    return gate_lines([Source(name, table_of([record((100, 200))] * 20, header), header) for name in names])


def test_thresholds_of_the_run_stand_in_its_verdict():
    (kept,) = judged("ttft_p50<200", "success_rate>0.5")
    assert kept == {
        "level": "good",
        "says": "thresholds met: openai/gpt-4: ttft_ms p50 < 200, openai/gpt-4: success_rate > 0.5",
    }
    (missed,) = judged("ttft_p50<50", "success_rate>0.5")
    assert missed["level"] == "bad"
    assert missed["says"] == "threshold not met: openai/gpt-4: ttft_ms p50 < 50: 100 ms"
    assert [line["says"][:3] for line in judged("ttft_p50<50", names=("a", "b"))] == ["a: ", "b: "]
    assert judged() == judged("of a later version", "ttft") == []
    assert gate_lines([Source("r", table_of([]), None)]) == []


@pytest.mark.parametrize(
    ("verdicts", "level"), [(["same"], "warn"), (["better", "same"], "good"), (["better", "worse"], "bad")]
)
def test_a_comparison_comes_first_and_is_as_bad_as_its_worst_shift(verdicts, level):
    compared = [{"says": "b against a", "shifts": [{"verdict": one} for one in verdicts]}]
    lines = verdict([summarize([record()])], compared)
    assert lines[0] == {"level": level, "says": "b against a"}
    assert len(lines) == 2


@pytest.mark.parametrize("stopped_by", [KILLED, NOT_ENDED])
def test_no_verdict_is_green_of_a_run_that_left_requests_open(stopped_by):
    header = replace(INFO, stopped_by=stopped_by, unrecorded=4)
    table = table_of([record(index=index) for index in range(3)], header)
    killed = killed_lines([Source("r", table, header), Source("whole", table, INFO)])
    found = verdict([summarize(table)], [], killed=killed)
    assert [line["level"] for line in found] == ["warn", "warn"]
    assert found[0]["says"].startswith("r: this run was killed")
    assert found[0]["says"].endswith("at least 4 requests that were under way are not in it")
    assert found[1]["says"] == "all 3 requests that ended succeeded"
    assert verdict([], [], killed=killed) == killed, "also where none ended"


def test_no_verdict_is_green_of_a_run_whose_end_cut_requests():
    cut = [failed_record(index=9, status=Status.CANCELLED, category="interrupted") for _ in range(2)]
    (found,) = verdict([summarize(table_of([record(), *cut], INFO))], [])
    assert found == {"level": "warn", "says": "the request that ended succeeded; 2 were interrupted"}


def test_no_verdict_is_green_where_answers_were_empty():
    some = [summarize([record(), record(), record(())]), summarize([record(), record(())])]
    says = "all 5 requests succeeded; 2 of 5 answers brought no text, reasoning or tool call"
    assert verdict(some, []) == [{"level": "warn", "says": says}]
    says = "the request succeeded; the answer brought no text, reasoning or tool call"
    assert verdict([summarize([record(())])], []) == [{"level": "warn", "says": says}]
    (line,) = verdict([summarize([record(), record(()), failed_record()])], [])
    assert (line["level"], "; 1 of 2 answers brought no text" in line["says"]) == ("bad", True)
