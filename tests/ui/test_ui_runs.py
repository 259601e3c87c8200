"""What is made of runs is what the commands make of them: page, choice, figures, gates."""

from __future__ import annotations

import msgspec
import pytest
import ui_folder
from click.testing import CliRunner

from lens.cli.main import lll
from lens.errors import ConfigError, FileError
from lens.metrics.builder import read_table
from lens.metrics.summarize import summarize
from lens.pricing import standard_book
from lens.report.html.document import page_json
from lens.ui import runs as ui_runs
from lens.ui.folder import Folder
from lens.ui.runs import Choice, Runs, entries_named

ONE, TWO, THREE = "one.jsonl", "nightly/two.msgpack", "nightly/three.jsonl"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return ui_folder.folder(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def runs():
    return Runs(standard_book())


def entries(root, *names):
    return entries_named(names, Folder(root).entry)


@pytest.mark.parametrize("names", [(ONE,), (ONE, TWO)])
def test_what_is_saved_is_what_the_report_command_writes(runs, root, tmp_path, names):
    path = runs.save(entries(root, *names), tmp_path)
    done = CliRunner().invoke(lll, ["report", *[str(root / name) for name in names], "-o", str(tmp_path / "told.html")])
    assert done.exit_code == 0, done.output
    assert path.read_bytes() == (tmp_path / "told.html").read_bytes()
    assert path.name == ("one.html" if len(names) == 1 else "report.html")
    assert runs.save(entries(root, *names), tmp_path).name == path.name.replace(".", "-2.")


def test_requests_are_chosen_by_where_by_failure_and_by_their_length(runs, root):
    (entry,) = entries(root, ONE)
    table = runs.source(entry).table.measured()
    slow = Choice(where="total_latency_ms > 2000").of(table)
    assert len(slow) == int((table.metric("total_latency_ms") > 2000).sum()) > 0
    assert not Choice(failed=True).of(table).success.any()
    three = Choice(slowest=3).of(table)
    assert sorted(three.stamp("end").tolist()) == sorted(table.stamp("end").tolist())[-3:]
    page = page_json(runs.page([entry], Choice(where="total_latency_ms > 2000", slowest=2)))
    assert page["series"][0]["tiles"]["requests"] == 2
    assert page["title"] == "openai fast-1: where total_latency_ms > 2000, the slowest 2"
    assert page_json(runs.page([entry]))["title"] == "openai fast-1"


@pytest.mark.parametrize("choice", [Choice(where="ttft_ms > 1e12"), Choice(where="modell == 1"), Choice(where="(")])
def test_a_choice_that_means_nothing_says_why(runs, root, choice):
    with pytest.raises(ConfigError):
        runs.page(entries(root, ONE), choice)


def test_a_file_is_read_again_only_when_it_has_changed(runs, root, tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_bytes((root / ONE).read_bytes())
    folder = Folder(tmp_path)
    first = runs.source(folder.entry("run.jsonl"))
    assert runs.source(folder.entry("run.jsonl")) is first
    path.write_bytes((root / THREE).read_bytes())
    assert len(runs.source(folder.entry("run.jsonl")).table) == 40


def test_what_was_not_used_for_longest_leaves_the_memory(runs, root, monkeypatch):
    one, two, three = entries(root, ONE, TWO, THREE)
    monkeypatch.setattr(ui_runs, "MOST_KEPT", one.size + two.size)
    first, second = runs.source(one), runs.source(two)
    assert runs.source(one) is first
    runs.source(three)
    assert runs.source(two) is not second


def test_figures_of_the_list_are_those_of_the_summary(runs, root):
    (entry,) = entries(root, ONE)
    table, _ = read_table(entry.path, standard_book())
    found, summary = runs.figures(entry), summarize(table)
    assert found["ttft_p95"] == summary.distributions["ttft_ms"].percentiles["p95"]
    assert found["failed"] == summary.requests - summary.successes
    assert found["requests_per_second"] == summary.requests_per_second


def test_gates_are_thresholds_and_the_regression_from_the_baseline(runs, root):
    one, two = entries(root, ONE, TWO)
    checks = runs.gates(two, ["ttft_p95<1", "success_rate>0.5"], one)
    assert [check["state"] for check in checks[:2]] == ["failed", "passed"]
    assert {check["suite"] for check in checks} == {"thresholds", "regression"}
    assert any(check["state"] == "failed" for check in checks if check["suite"] == "regression")
    assert runs.gates(two, [], two) == []
    with pytest.raises(ConfigError, match="no metric"):
        runs.gates(two, ["tftt_p95<1"], None)


def test_a_run_brings_thresholds_of_its_own(runs, root):
    (entry,) = entries(root, ONE)
    header = msgspec.structs.replace(entry.info, config={"thresholds": ["ttft_p95<1"]})
    (check,) = runs.gates(msgspec.structs.replace(entry, info=header), [], None)
    assert check["state"] == "failed"


def test_no_run_and_too_many_runs_are_refused(runs, root):
    with pytest.raises(FileError, match="no run is named"):
        entries_named([], Folder(root).entry)
    with pytest.raises(ConfigError, match="choose 1 to 8"):
        runs.page(entries(root, ONE) * 9)
