"""`lll benchmark` in a process of its own: the page, the files, the end of a run that is interrupted."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import pytest
from cli_program import environment, lll, scripted
from waiting import HANG_S, holds, wait_until

from lens.history.read import read_run
from lens.history.write import JOURNAL, PARTIAL


def test_the_page_sums_up_a_closed_loop(target):
    ended = lll("benchmark", *target, "-n", 12, "-c", 4)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "12 requests in" in ended.stdout
    assert "12 succeeded, 0 failed" in ended.stdout
    row = next(line for line in ended.stdout.splitlines() if line.startswith("TTFT")).split()
    assert float(row[1]) >= 40
    assert row[-1] == "12"
    assert "-" in row
    assert "p95 needs at least 20 requests" in ended.stdout
    assert re.search(r"throughput +[\d.]+ requests/s, [\d.]+ output tokens/s", ended.stdout)
    assert max(map(len, ended.stdout.splitlines())) <= 80


def test_the_run_file_holds_every_request_in_order(target, tmp_path):
    path = tmp_path / "run.jsonl"
    assert lll("benchmark", *target, "-n", 9, "-c", 3, "-o", path, "--label", "who=me").returncode == 0
    run = read_run(path)
    assert [r.index for r in run.records] == list(range(9))
    assert run.info.ended_ns > run.info.started_ns
    assert run.info.labels == {"who": "me"}
    assert not path.with_name(path.name + PARTIAL).exists()


def test_the_document_sums_up_what_it_lists(target):
    ended = lll("benchmark", *target, "--iterations", 5, "--export", "json")
    found = json.loads(ended.stdout)
    assert found["total_requests"] == len(found["requests"]) == 5
    assert found["ttft_stats"]["min"] == min(r["ttft_ms"] for r in found["requests"])
    assert found["total_output_tokens"] == 50


def test_an_open_loop_starts_on_time_whatever_comes_back(target):
    ended = lll("benchmark", *target, "--rate", "100", "--duration", "200ms", "--export", "json", "--ui", "none")
    found = json.loads(ended.stdout)
    assert found["total_requests"] == 20
    assert found["stats"]["ttft_from_schedule_ms"]["n"] == 20


def test_failures_are_counted_with_an_example_and_all_failing_exits_with_1():
    ended = scripted("benchmark", "-n", 4, status=500)
    assert ended.returncode == 1
    assert "0 succeeded, 4 failed" in ended.stdout
    assert re.search(r"4 x +server_error: ", ended.stdout)
    some = scripted("benchmark", "-n", 4, status=500, fail_first=2, ttft="1ms", itl="1ms", tokens=3)
    assert some.returncode == 0
    assert "2 succeeded, 2 failed" in some.stdout


@pytest.mark.parametrize("whole_group", [True, False])
def test_an_interrupted_run_keeps_what_it_measured(target, tmp_path, whole_group):
    path = tmp_path / "run.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "lens", "benchmark", *target, "-n", "100000", "-o", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )
    wait_until(holds(path.with_name(path.name + JOURNAL), 5_000))
    if whole_group:
        import os

        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=HANG_S)
    assert process.returncode == 130
    assert "interrupted (SIGINT)" in err
    assert "succeeded" in out
    run = read_run(path)
    assert any(r.category == "success" for r in run.records)
    assert run.info.ended_at


def test_the_simulator_is_built_in_and_gone_afterwards(tmp_path):
    path = tmp_path / "run.jsonl"
    ended = lll("benchmark", "--provider", "simulator", "-n", 3, "-c", 3, "--max-tokens", 4, "-o", path)
    assert ended.returncode == 0
    assert "3 succeeded" in ended.stdout
    where = read_run(path).info.targets[0].url
    after = lll("profile", "--provider", "openai", "-m", "x", "--base-url", where)
    assert "refused" in after.stdout


def test_the_environment_says_how_many_at_a_time(target):
    ended = lll("benchmark", *target, "-n", 8, "--export", "json", env={"LLL_CONCURRENCY": "4"})
    assert json.loads(ended.stdout)["test_config"]["load"]["concurrency"] == 4


def test_a_file_sets_what_flags_do_not(target, tmp_path):
    (tmp_path / "run.toml").write_text('[load]\niterations = 3\nconcurrency = 2\n[labels]\nteam = "a"\n')
    ended = lll("benchmark", "--config", tmp_path / "run.toml", *target, "-n", 4, "--export", "json")
    found = json.loads(ended.stdout)
    assert (found["total_requests"], found["test_config"]["load"]["concurrency"]) == (4, 2)
    assert found["run"]["labels"] == {"team": "a"}
