"""What a notebook shows: the figures of a run, clean, and well-formed."""

from __future__ import annotations

from xml.etree import ElementTree

from handmade import INFO, full_record, record

from lens.history.read import Run
from lens.model import Failure, Status
from lens.pricing import PriceBook
from lens.results.request_metrics import RequestMetrics
from lens.results.saved_run import SavedRun

EVIL = "<script>alert(1)</script>\x1b[31m"


def cells(html: str) -> list[list[str]]:
    """The rows of all tables; fails where the text is no well-formed XML."""
    return [["".join(cell.itertext()) for cell in row] for row in ElementTree.fromstring(html).iter("tr")]


def test_a_run_shows_its_target_requests_and_latency_table():
    failed = record(status=Status.SERVER_ERROR, category="server_error", failure=Failure(message="no"), http_status=500)
    rows = cells(SavedRun(Run(info=INFO, records=[full_record(), record(), failed]), PriceBook())._repr_html_())
    assert rows[0] == ["target", "openai/gpt-4"]
    assert rows[1] == ["requests", "3, 1 failed (ServerError 1)"]
    assert [row[0] for row in rows[2:4]] == ["throughput", "cost"]
    assert rows[4] == ["metric", "unit", "n", "mean", "p50", "p90", "p95", "p99", "max"]
    (ttft,) = [row for row in rows if row[0] == "ttft_ms"]
    assert ttft[1] == "ms"
    assert ttft[-2] == "-", "so few requests have no p99"


def test_warnings_are_listed_and_name_arguments_of_python():
    html = SavedRun(Run(info=INFO, records=[record()], warnings=("line 3 is cut off",)), PriceBook())._repr_html_()
    said = [item.text for item in ElementTree.fromstring(html).iter("li")]
    assert said[0] == "line 3 is cut off"
    assert not [text for text in said if "--" in text]


def test_a_request_shows_what_was_measured_and_what_went_wrong():
    rows = {row[0]: row[-1] for row in cells(RequestMetrics(full_record())._repr_html_())}
    assert rows["status"] == "Success"
    assert rows["ttft_ms"]
    failed = record((), status=Status.NETWORK_ERROR, category="network_error", failure=Failure(message="refused"))
    rows = {row[0]: row[-1] for row in cells(RequestMetrics(failed)._repr_html_())}
    assert "refused" in rows["error"]
    assert "ttft_ms" not in rows


def test_no_text_of_a_server_becomes_markup():
    failed = record(
        model=EVIL, status=Status.NETWORK_ERROR, category="network_error", failure=Failure(message=EVIL), provider=EVIL
    )
    for html in (
        RequestMetrics(failed)._repr_html_(),
        SavedRun(Run(info=INFO, records=[failed], warnings=(EVIL,)), PriceBook())._repr_html_(),
    ):
        assert "<script" not in html
        assert "\x1b" not in html
        assert cells(html)
