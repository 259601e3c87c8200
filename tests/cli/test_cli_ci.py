"""What CI reads: texts that hold a format's own marks come out of it as they went in."""

from __future__ import annotations

from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from handmade import INFO, record
from hypothesis import given
from hypothesis import strategies as st

from lens.analysis.explore.findings import Findings
from lens.analysis.explore.groups import Sheet
from lens.analysis.gates.checks import Check
from lens.errors import FileError
from lens.metrics.builder import table_of
from lens.metrics.summarize import summarize
from lens.report.analyze_text import csv_of, markdown_of, shown
from lens.report.ci import append_summary, github_lines, junit

NOW = "2026-03-01T12:00:00"


def check(state="failed", name="ttft_ms p95 < 1", says="2 ms", suite="thresholds"):
    return Check(suite=suite, name=name, state=state, says=says)


@given(st.text(max_size=40), st.text(max_size=40), st.sampled_from(["passed", "failed", "warned", "skipped"]))
def test_any_text_makes_xml_that_can_be_read(name, says, state):
    top = ElementTree.fromstring(junit([check(state, name, says)], "run.jsonl", NOW))
    (case,) = top.iter("testcase")
    plain = [c for c in name if c.isprintable() and ord(c) < 0xFFFE]
    assert all(c in case.get("name") for c in plain)


def test_each_state_is_what_readers_of_junit_take_it_for():
    states = ("passed", "failed", "warned", "skipped")
    top = ElementTree.fromstring(junit([check(state, state) for state in states], "run", NOW))
    inside = {case.get("name"): [node.tag for node in case] for case in top.iter("testcase")}
    assert inside == {"passed": ["system-out"], "failed": ["failure"], "warned": ["system-out"], "skipped": ["skipped"]}
    assert (top.get("tests"), top.get("failures"), top.get("skipped")) == ("4", "1", "1")
    assert top.find("testsuite").get("timestamp") == NOW


@given(st.text(max_size=40), st.text(max_size=40))
def test_an_annotation_is_one_line_that_is_read_back_as_it_was(name, says):
    (line,) = github_lines([check(name=name, says=says)])
    assert "\n" not in line
    assert "\r" not in line
    command, _, message = line.removeprefix("::").partition("::")
    assert command.startswith("error title=")
    assert "," not in command
    assert unquote(command.removeprefix("error title=")) == f"thresholds: {name}"
    assert unquote(message) == says


def test_only_what_failed_or_warns_is_annotated():
    lines = github_lines([check("passed"), check("warned"), check("skipped"), check("failed")])
    assert [line.split()[0] for line in lines] == ["::warning", "::error"]


def test_a_summary_is_added_where_one_is_asked_for(tmp_path):
    assert append_summary("x", {}) is False
    file = tmp_path / "summary.md"
    for part in ("a\n", "b\n"):
        assert append_summary(part, {"GITHUB_STEP_SUMMARY": str(file)})
    assert file.read_text() == "a\nb\n"
    with pytest.raises(FileError, match="GITHUB_STEP_SUMMARY"):
        append_summary("x", {"GITHUB_STEP_SUMMARY": str(tmp_path / "no" / "such" / "place")})


def findings(*rows, columns=("model", "requests", "failed", "ttft_ms_p50"), checks=()):
    total = summarize(table_of([record()], INFO, name="a|b.jsonl"))
    sheet = Sheet(columns, list(rows), keys=1)
    return Findings(
        files=("a|b.jsonl",), requests=1, where="model == '`x`'", by=("model",), sheet=sheet, total=total, checks=checks
    )


def test_markdown_keeps_its_tables_whatever_a_model_is_called():
    page = markdown_of(findings(("x|<img src=y>[z](w)\n`", 1, 0, None), checks=(check(name="a|b"),))).decode()
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert rows[2] == r"| x\|\<img src=y\>\[z\](w) \` | 1 | 0 |  |"
    assert r"| FAILED | thresholds | a\|b | 2 ms |" in rows
    assert "`model == ' x '`" in page


def test_a_cell_of_csv_is_no_formula_and_loses_no_digit():
    assert csv_of(findings(("=1+1", 1, 0, 0.1234567890123), ("-a,b", 1, 0, None))).decode().splitlines()[1:] == [
        "'=1+1,1,0,0.1234567890123",
        '"\'-a,b",1,0,',
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "True"),
        (12345, "12,345"),
        (0.0000123, "1.23e-05"),
        (0.0, "0.000"),
        (12.345, "12.35"),
        ("x", "x"),
    ],
)
def test_a_cell_for_people_has_the_digits_that_tell_values_apart(value, text):
    assert shown(value) == text
