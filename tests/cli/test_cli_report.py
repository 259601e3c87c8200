"""`lll report` as people run it: which files it takes, where it writes, what it says of a bad one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from cli_program import lll

from lens.report.html.document import page_json

sys.path.insert(0, str(Path(__file__).parent.parent / "report"))
import report_runs as runs


@pytest.fixture
def run(tmp_path):
    return runs.write(tmp_path, "run.jsonl", runs.info(), runs.loaded(20))


def test_both_layouts_of_a_run_file_stand_on_one_page(tmp_path, run):
    packed = runs.write(tmp_path, "other.msgpack", runs.info("deep-2"), runs.loaded(10, model="deep-2"))
    done = lll("report", run, packed, "-o", tmp_path / "page.html")
    assert done.returncode == 0, done.stderr
    assert "page.html" in done.stdout
    found = page_json((tmp_path / "page.html").read_bytes())
    assert [series["name"] for series in found["series"]] == ["openai fast-1", "openai deep-2"]


def test_the_page_has_the_runs_name_and_several_are_a_report(tmp_path, run):
    assert lll("report", run, cwd=tmp_path).returncode == 0
    assert lll("report", run, run, cwd=tmp_path).returncode == 0
    assert (tmp_path / "run.html").exists()
    assert (tmp_path / "report.html").exists()


def test_a_page_that_exists_is_replaced_only_by_force(tmp_path, run):
    page = tmp_path / "run.html"
    page.write_text("precious")
    refused = lll("report", run, "-o", page)
    assert (refused.returncode, page.read_text()) == (2, "precious")
    assert "--force" in refused.stderr
    assert lll("report", run, "-o", page, "--force").returncode == 0
    assert page.read_text().startswith("<!doctype html>")


def test_a_dash_is_standard_output(run):
    done = lll("report", run, "-o", "-", "--title", "Tuesday <night>")
    assert "<title>Tuesday &lt;night&gt;</title>" in done.stdout


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "No such file"), (b"", "it is empty"), (b"\x89PNG\0", "is not a run file"), (b"{}", "is not a run file")],
)
def test_a_bad_file_is_named_and_nothing_is_written(tmp_path, run, content, says):
    bad = tmp_path / "bad.jsonl"
    if content is not None:
        bad.write_bytes(content)
    done = lll("report", run, bad, "-o", tmp_path / "page.html")
    assert done.returncode == 2
    assert "bad.jsonl" in done.stderr
    assert says in done.stderr
    assert list(tmp_path.glob("page*")) == []


def test_a_file_that_was_cut_off_is_shown_up_to_the_cut_and_says_so(tmp_path, run):
    *lines, _ = run.read_bytes().splitlines(keepends=True)
    run.write_bytes(b"".join(lines)[:-300])
    done = lll("report", run, "-o", tmp_path / "page.html")
    assert done.returncode == 0
    assert "cut off" in done.stderr
    assert page_json((tmp_path / "page.html").read_bytes())["series"][0]["tiles"]["requests"] == 19


def test_a_run_that_measured_nothing_has_a_page_and_exit_code_1(tmp_path):
    empty = runs.write(tmp_path, "empty.jsonl", runs.info(), [])
    done = lll("report", empty, "-o", tmp_path / "page.html")
    assert done.returncode == 1
    assert (tmp_path / "page.html").exists()


def test_too_many_runs_are_refused(run):
    done = lll("report", *[run] * 9)
    assert done.returncode == 2
    assert "up to 8" in done.stderr
