"""`lll analyze` in a process of its own: runs that a simulator's script stands behind, gates, and what CI reads."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from cli_program import environment, lll, scripted
from handmade import paced
from waiting import HANG_S, holds, wait_until

from lens.history.read import read_run
from lens.history.write import write_run
from lens.simulator import make_script, start

PRICES = ("--price", "in=1,out=2")
SLA = "name: chat\nthresholds: [ttft_p95<1000, success_rate>=99%]\nwarnings: [ttft_p50<0.1]\n"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same run in each format that can be read again, a slower one, and the same script once more.

    Their answers were measured and their times are those of a script, so that a busy machine has no part in them.
    """
    place = tmp_path_factory.mktemp("analyze")
    words = ("benchmark", "-n", 40, "-c", 4, "-o", place / "measured.jsonl", "--ui", "none")
    assert scripted(*words, ttft="20ms", itl="1ms", tokens=5).returncode == 0
    measured = read_run(place / "measured.jsonl")
    for number, (name, ttft_ms) in enumerate((("base.jsonl", 20), ("again.jsonl", 20), ("slow.jsonl", 40))):
        write_run(place / name, *of_script(measured, ttft_ms, kind=name[0], seed=number))
    write_run(place / "base.msgpack", *of_script(measured, 20, kind="b", seed=0))
    return place


def of_script(run, ttft_ms, *, kind, seed):
    """Header and records of a run in which four requests at a time take what a script says, give or take a little."""
    chance = random.Random(seed)
    at, records = run.info.started_ns, []
    for one in run.records:
        made = paced(one, at, ttft_ms=ttft_ms + chance.uniform(0.2, 1.2), itl_ms=1)
        records.append(msgspec.structs.replace(made, labels={"kind": kind}, request_id=f"{kind}-{one.request_id}"))
        at += made.stamps.end - made.stamps.start if one.index % 4 == 3 else 0
    info = msgspec.structs.replace(run.info, run_id=f"{kind}{seed}", labels={"kind": kind}, ended_ns=at)
    return info, records


def failing(ended):
    return [line for line in ended.stdout.splitlines() if line.startswith("FAIL")]


def test_a_file_of_which_nothing_was_measured_passes_no_gate(runs, tmp_path):
    empty = tmp_path / "empty.jsonl"
    write_run(empty, msgspec.structs.replace(read_run(runs / "base.jsonl").info, run_id="none"), [])
    ended = lll("analyze", runs / "base.jsonl", empty, "--threshold", "ttft_p50<1000")
    assert ended.returncode == 3
    assert failing(ended) == ["FAIL         complete: empty.jsonl: no request in it was measured"]


@pytest.mark.parametrize("name", ["base.jsonl", "base.msgpack"])
def test_one_run_is_shown_as_it_was_when_it_was_measured(runs, name):
    ended = lll("analyze", runs / name)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "40 requests in" in ended.stdout
    assert "TTFT  " in ended.stdout
    assert "\ntrend  " in ended.stdout


def test_where_too_little_was_measured_for_a_trend_it_says_so(runs, tmp_path):
    base = read_run(runs / "base.jsonl")
    write_run(tmp_path / "few.jsonl", base.info, base.records[:9])
    assert re.search(r"^trend +too few requests", lll("analyze", tmp_path / "few.jsonl").stdout, re.MULTILINE)


def test_several_runs_have_a_row_each_and_one_for_all(runs):
    ended = lll("analyze", runs / "base.jsonl", runs / "slow.jsonl", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(ended.stdout)))
    assert [(row["file"], row["requests"]) for row in rows] == [
        ("base.jsonl", "40"),
        ("slow.jsonl", "40"),
        ("all", "80"),
    ]
    assert 20 <= float(rows[0]["ttft_ms_p50"]) < 22 < 40 <= float(rows[1]["ttft_ms_p50"]) < 42


def test_groups_filters_and_chosen_figures(runs):
    words = ("--by", "kind,status", "--where", "kind != 'a' and ttft_ms > 1", "--metrics", "ttft_p50,success_rate")
    ended = lll("analyze", *(runs / f"{name}.jsonl" for name in ("base", "again", "slow")), *words, "--format", "csv")
    rows = [line.split(",") for line in ended.stdout.splitlines()]
    assert rows[0] == ["kind", "status", "requests", "failed", "ttft_ms_p50", "success_rate"]
    assert [row[:4] for row in rows[1:]] == [
        ["b", "Success", "40", "0"],
        ["s", "Success", "40", "0"],
        ["all", "", "80", "0"],
    ]


def test_sql_asks_the_table(runs):
    sql = "select model, count(*) as n, quantile_cont(ttft_ms, 0.95) > 20 as slow from runs group by model"
    ended = lll("analyze", runs / "base.jsonl", "--sql", sql, "--format", "json")
    assert json.loads(ended.stdout) == {"columns": ["model", "n", "slow"], "rows": [["test-1", 40, True]]}
    assert lll("analyze", runs / "base.jsonl", "--sql", sql).stdout.splitlines()[0].split() == ["model", "n", "slow"]


def test_thresholds_kept_are_0_and_broken_are_3(runs):
    kept = lll("analyze", runs / "base.jsonl", "--threshold", "ttft_p95<1000", "--threshold-ttft", 900)
    assert (kept.returncode, kept.stderr, failing(kept)) == (0, "", [])
    broken = lll("analyze", runs / "base.jsonl", "--threshold", "ttft_p95<1", "--threshold-tps", 1e9)
    assert broken.returncode == 3
    assert len(failing(broken)) == 2


def test_the_specified_commands_work_with_their_flags(runs, tmp_path):
    (tmp_path / "sla-config.yaml").write_text(SLA)
    ended = scripted(
        "benchmark", "-n", 25, "-c", 5, "--export", "json", "--output", tmp_path / "baseline.json", *PRICES,
        ttft="5ms", itl="1ms", tokens=5,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    (tmp_path / "historical-data.jsonl").write_bytes((runs / "base.jsonl").read_bytes())
    limits = "--threshold 'ttft_p95<1000' --threshold 'tokens_per_second>15' --threshold 'cost_per_request<0.05'"
    for line in (f"analyze baseline.json {limits}", "analyze historical-data.jsonl --sla sla-config.yaml"):
        ended = lll(*shlex.split(line), *PRICES, cwd=tmp_path)
        assert (ended.returncode, ended.stderr) == (0, ""), line
    assert "warn " in ended.stdout, "a warning of the SLA is told, and fails nothing"


def test_rates_of_a_target_are_over_the_windows_of_its_runs_not_over_the_time_between_them(runs, tmp_path):
    sla = tmp_path / "sla.yaml"
    sla.write_text("thresholds: [rps>1e6, goodput_rps>1e6]\ntargets: {openai/test-1: [rps>1e6, goodput_rps>1e6]}")
    ended = lll("analyze", runs / "base.jsonl", runs / "slow.jsonl", "--sla", sla, "--goodput", "ttft:5000")
    found = [line.rsplit("1e+06: ", 1)[1] for line in failing(ended)]
    assert len(found) == 4
    assert found[:2] == found[2:], "all requests are this target's"
    assert float(found[0].split()[0]) > 1


def test_the_thresholds_of_a_config_file_are_held(runs, tmp_path):
    """A config whose thresholds hold one that cannot be met."""
    file = tmp_path / "llm-latency-lens.toml"
    file.write_text(
        "[thresholds]\nttft_p95_ms = 1000.0\ntokens_per_second_min = 15.0\nsuccess_rate_min = 0.99\n"
        "cost_per_request_max = 0.10\nttft_p50_ms = 0.001\n"
    )
    for words, env in ((("--config", file), {}), ((), {"LLL_CONFIG_FILE": str(file)})):
        ended = lll("analyze", runs / "base.jsonl", *words, *PRICES, env=env)
        assert (ended.returncode, ended.stderr) == (3, "")
        assert [line.split()[1:3] for line in failing(ended)] == [["ttft_ms", "p50"]]
        assert ended.stdout.count("\nok  ") == 4


def test_a_regression_is_3_and_the_same_again_is_0(runs):
    slow = lll("analyze", runs / "slow.jsonl", "--baseline", runs / "base.jsonl")
    assert slow.returncode == 3
    assert any("ttft_ms mean regressed:" in line for line in failing(slow))
    assert "WORSE" in slow.stdout
    assert "how much figures move from run to run" in slow.stdout
    same = lll("analyze", runs / "again.jsonl", "--baseline", runs / "base.jsonl", "--tolerance", "10%")
    assert (same.returncode, failing(same)) == (0, [])


def test_junit_annotations_and_summaries_say_what_failed(runs, tmp_path):
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    ended = lll(
        "analyze", runs / "slow.jsonl", "--baseline", runs / "base.jsonl", "--threshold", "ttft_p95<1",
        "--threshold", "ttft_p95<1000", "--junit", "junit.xml", "--markdown", "page.md", "--github",
        cwd=tmp_path, env={"GITHUB_STEP_SUMMARY": str(summary)},
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (3, "")
    lines = [line for line in ended.stdout.splitlines() if line.startswith("::")]
    assert any(line.startswith("::error title=thresholds%3A ttft_ms p95 < 1::") for line in lines)
    assert any(line.startswith("::error title=regression%3A ttft_ms mean::regressed") for line in lines)
    assert summary.read_text() == "before\n" + (tmp_path / "page.md").read_text()
    assert "| FAILED | thresholds | ttft_ms p95 \\< 1 |" in summary.read_text()
    check_junit(tmp_path / "junit.xml", failed={"ttft_ms p95 < 1", "ttft_ms mean"}, passed={"ttft_ms p95 < 1000"})


def check_junit(path, failed, passed):
    """The structure that readers of JUnit files share: counts that are true, names that are unique."""
    top = ElementTree.parse(path).getroot()
    assert top.tag == "testsuites"
    suites = list(top)
    assert [suite.tag for suite in suites] == ["testsuite"] * len(suites)
    cases = [case for suite in suites for case in suite]
    for node, below in [(top, cases), *[(suite, list(suite)) for suite in suites]]:
        assert int(node.get("tests")) == len(below)
        assert int(node.get("failures")) == sum(case.find("failure") is not None for case in below)
        assert int(node.get("skipped")) == sum(case.find("skipped") is not None for case in below)
        assert (node.get("errors"), node.get("time")) == ("0", "0")
    assert all(time.strptime(suite.get("timestamp"), "%Y-%m-%dT%H:%M:%S") for suite in suites)
    names = [(case.get("classname"), case.get("name")) for case in cases]
    assert all(case.tag == "testcase" for case in cases)
    assert len(set(names)) == len(names)
    broken = {case.get("name") for case in cases if case.find("failure") is not None}
    assert failed <= broken
    assert passed <= {case.get("name") for case in cases} - broken
    assert all(case.find("failure").get("message") for case in cases if case.get("name") in broken)


def test_the_document_holds_it_all(runs, tmp_path):
    out = tmp_path / "out.json"
    words = ("--baseline", runs / "base.jsonl", "--format", "json", "-o", out, "--threshold", "ttft<1000")
    assert lll("analyze", runs / "slow.jsonl", *words).returncode == 3
    found = json.loads(out.read_text())
    assert found["requests"] == found["total"]["requests"] == 40
    assert found["failed"] is True
    assert {one["suite"] for one in found["checks"]} == {"thresholds", "regression"}
    assert {"trends", "steps", "anomalies"} <= found["course"].keys()
    again = lll("analyze", runs / "slow.jsonl", *words)
    assert again.returncode == 2
    assert "--force" in again.stderr


def test_the_commands_of_the_docs_page_run(runs, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "analyze.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith("lll ")]
    assert len(lines) >= 6
    (tmp_path / "run.jsonl").write_bytes((runs / "base.jsonl").read_bytes())
    for line in lines:
        ended = lll(*shlex.split(line)[1:], cwd=tmp_path)
        assert (ended.returncode, ended.stderr) == (0, ""), line


def test_the_journal_of_a_killed_run_is_analysed_up_to_the_cut(tmp_path):
    with start(make_script(ttft="5ms", itl="1ms", tokens=3)) as running:
        words = ["benchmark", "--provider", "openai", "-m", "m", "--base-url", f"{running.url}/v1", "--rate", "50"]
        words += ["--duration", "60s", "-o", str(tmp_path / "run.jsonl"), "--ui", "none"]
        child = subprocess.Popen(
            [sys.executable, "-m", "lens", *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(),
        )
        journal = tmp_path / "run.jsonl.journal.msgpack"
        wait_until(holds(journal, 20_000))
        child.send_signal(signal.SIGKILL)
        child.wait(HANG_S)
    journal.write_bytes(journal.read_bytes()[:-7])
    ended = lll("analyze", journal, "--threshold", "ttft_p50<1")
    assert ended.returncode == 3
    assert "is cut off; the rest was kept" in ended.stderr
    assert ["complete:" in one for one in failing(ended)] == [True, False]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("base.jsonl", "--where", "tfft_ms > 5"), 2, "did you mean ttft_ms"),
        (("base.jsonl", "--where", "ttft_ms >"), 2, "--where: filter 'ttft_ms >': cannot be read"),
        (("base.jsonl", "--by", "modle"), 2, "did you mean model"),
        (("base.jsonl", "--metrics", "tfft"), 2, "did you mean ttft"),
        (("base.jsonl", "--sql", "select tfft_ms from runs"), 2, "tfft_ms -> ttft_ms"),
        (("base.jsonl", "--sql", "select 1", "--by", "model"), 2, "--sql answers alone"),
        (("base.jsonl", "--threshold", "ttft_p95"), 2, "in quotes"),
        (("base.jsonl", "--junit", "x.xml"), 2, "nothing to evaluate"),
        (("base.jsonl", "--baseline", "base.jsonl", "--tolerance", "much"), 2, "like 5% or 0.05"),
        (("base.jsonl", "--baseline", "none.jsonl"), 2, "none.jsonl"),
        (("none.jsonl",), 2, "cannot read none.jsonl"),
        (("base.jsonl", "--where", "ttft_ms > 1e9"), 1, "no request of which --where is true"),
        ((), 2, "Missing argument"),
    ],
)
def test_what_cannot_be_asked_is_one_line(runs, words, code, says):
    ended = lll("analyze", *words, cwd=runs)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert says in ended.stderr
    assert ended.stderr.count("\n") == 1
