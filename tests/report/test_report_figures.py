"""A metric that is defined at run time stands on every page, with nothing else changed."""

from __future__ import annotations

import io

import pytest
import report_runs as runs
from handmade import INFO, record

from lens.metrics import definitions
from lens.metrics.builder import table_of
from lens.metrics.summarize import summarize
from lens.report.figures import ROWS, other_metrics, other_run_figures
from lens.report.html.document import page_json, report_page
from lens.report.html.series import Source
from lens.report.page import TextPage
from lens.report.request import print_profile
from lens.report.run import print_report
from lens.report.terminal import console_for


@pytest.fixture
def defined():
    """Two metrics that nobody knew: of a request, and of a run."""
    common = {"better": "lower", "formula": "made up", "source": "a test"}
    of_request = definitions.Metric(name="chunk_count", unit="count", column=lambda t: t.n.astype(float), **common)
    of_run = definitions.Metric(
        name="tokens_a_success", unit="tokens", kind="run", of_run=lambda s: s.output_tokens / s.successes, **common
    )
    for metric in (of_request, of_run):
        definitions.define(metric)
    yield
    for metric in (of_request, of_run):
        definitions.remove(metric.name)


def text_of(table, width=80):
    out = io.StringIO()
    print_report(console_for(out, width), summarize(table, INFO), INFO, (), table=table)
    return out.getvalue()


@pytest.mark.usefixtures("defined")
def test_it_is_on_the_page_of_a_run():
    shown = text_of(table_of(runs.loaded(40, failures=False, tokens=30)))
    assert "measured     chunk_count p50 30.00, p95 30.00, max 30.00 (40)" in shown
    assert "measured     tokens_a_success 30.00 tokens" in shown


@pytest.mark.usefixtures("defined")
def test_it_is_on_the_page_of_a_request():
    one, out = record((100, 110, 120)), io.StringIO()
    table = table_of([one])
    print_profile(TextPage(out, 80), table, one, INFO, summarize(table, INFO))
    assert "measured     chunk_count 3.000" in out.getvalue()


@pytest.mark.usefixtures("defined")
def test_it_is_on_the_html_page():
    found = page_json(report_page([Source("a", table_of(runs.loaded(40, failures=False, tokens=30)), INFO)]))
    row = next(row for row in found["table"] if row["metric"] == "chunk_count")
    assert (row["label"], row["unit"], row["formula"]) == ("chunk_count", "count", "made up")
    assert row["series"][0]["percentiles"]["p95"] == 30
    assert found["series"][0]["tiles"]["more"] == [["tokens_a_success", 30, "tokens"]]
    assert {"chunk_count", "tokens_a_success"} <= {one["name"] for one in found["definitions"]}


def test_built_in_metrics_have_their_row_or_another_form():
    assert other_metrics() == []
    assert other_run_figures(summarize(table_of([record()]))) == []
    assert "\nmeasured" not in text_of(table_of(runs.loaded(20)))
    assert {name for _, name in ROWS} <= definitions.METRICS.keys()
