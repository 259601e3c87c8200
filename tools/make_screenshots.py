"""Pictures of the HTML page and of `lll ui` for the documentation, from made-up runs in a headless Chromium.

    python tools/make_screenshots.py

Runs come from a seed, so a picture changes only where the page does. Needs Chromium and the packages of the tests.
"""

# ruff: noqa: E402  what the tests have in common lies in their folders

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests" / name) for name in ("ui", "report", ".")]

import chromium
import msgspec
import report_runs as runs
import ui_folder
from served_ui import served
from waiting import wait_until

from lens.history.write import write_run
from lens.metrics.builder import table_of
from lens.pricing import PriceBook, parse_price
from lens.report.html.document import report_page
from lens.report.html.series import Source
from lens.units import NS_PER_S

FOLDER = ROOT / "docs" / "images"
WIDTH, HEIGHT = 1200, 1000
# The running run is drawn, and all others have their figures.
READY = """document.querySelectorAll("#live svg[role=img]").length === 4
  && list.answer !== null && list.answer.rows.every((row) => row.live || row.figures)"""
BOOK = PriceBook([parse_price("in=3,out=15")])


def report(browser: chromium.Page, folder: Path) -> None:
    """Write the picture of a page that compares two runs."""
    sources = [
        Source(name, table_of(records, runs.info(model), BOOK), runs.info(model))
        for name, model, records in (
            ("before.jsonl", "fast-1", runs.loaded(240, failures=False)),
            ("after.jsonl", "deep-2", runs.loaded(240, model="deep-2", slow=1.2, seed=2, failures=False)),
        )
    ]
    page = folder / "report.html"
    page.write_bytes(report_page(sources, "Release 2.1"))
    browser.open(page.as_uri())
    browser.screenshot(FOLDER / "report.png", whole=False)


def ui(browser: chromium.Page, folder: Path) -> None:
    """Write the picture of the list of runs, with one that is running."""
    (folder / "nightly").mkdir()
    for day in range(1, 6):
        model = "fast-1" if day % 2 else "deep-2"
        records = runs.loaded(120, model=model, slow=1 + day / 20, seed=day, failures=day == 3)
        write_run(folder / "nightly" / f"2026-03-0{day}.jsonl", ui_folder.info(model, day), records)
    changes = {"elapsed_ns": 55 * NS_PER_S, "begun": 248, "done": 240, "total": 400, "failed": 0, "spent_nusd": None}
    note = msgspec.structs.replace(ui_folder.NOTE, stage=None, **changes)
    ui_folder.go_on(ui_folder.begin_journal(folder), [*runs.loaded(240, failures=False), note])
    browser("Emulation.setDeviceMetricsOverride", width=WIDTH, height=1300, deviceScaleFactor=1, mobile=False)
    with served(folder) as url:
        browser.open(url)
        wait_until(lambda: browser.run(READY))
        browser.run("document.getElementById('folder').textContent = '/srv/runs'")
        browser.screenshot(FOLDER / "ui-list.png", whole=False)
        browser.open("about:blank")


def main() -> None:
    """Write all pictures."""
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        chromium.Page(Path(folder) / "profile") as browser,
    ):
        browser("Emulation.setDeviceMetricsOverride", width=WIDTH, height=HEIGHT, deviceScaleFactor=1, mobile=False)
        browser.colours("light")
        (Path(folder) / "runs").mkdir()
        report(browser, Path(folder))
        ui(browser, Path(folder) / "runs")


if __name__ == "__main__":
    main()
