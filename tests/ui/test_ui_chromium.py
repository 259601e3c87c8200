"""The ui in a real browser: list, live view, comparison, gates; by keyboard too, and nothing leaves this machine.

With LENS_SCREENSHOTS=DIR the pictures are kept there, to be looked at.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

import chromium
import pytest
import ui_folder
from report_runs import EVIL, loaded, write
from served_ui import served
from waiting import wait_until

from lens.ui.folder import Folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium.found()
    with chromium.Page(tmp_path_factory.mktemp("profile")) as page:
        yield page


# What the card of gates says.
GATES = "document.getElementById('gates').innerText"


@pytest.fixture
def root(tmp_path):
    return ui_folder.folder(tmp_path)


@pytest.fixture
def url(browser, root):
    with served(root) as url:
        yield url
        browser.open("about:blank")  # leaves, before the server ends


def show(browser, url, rows=3):
    browser.colours("light")
    browser.open("about:blank")
    browser.events.clear()
    browser.open(url)
    wait_until(lambda: browser.run("document.querySelectorAll('tr[data-file]').length") == rows, "no list")


def click(browser, text, within="document"):
    browser.run(f"[...{within}.querySelectorAll('button')].find((one) => one.textContent.includes({text!r})).click()")


def evaluate_gates(browser, thresholds):
    browser.run(f"""(() => {{
      const input = document.querySelector("#gates input");
      input.value = {thresholds!r};
      input.form.requestSubmit();
    }})()""")


def keep(browser, name):
    folder = os.environ.get("LENS_SCREENSHOTS")
    if folder:
        browser.screenshot(Path(folder) / f"{name}.png", whole=False)


def report(browser):
    """The text of the page in the frame, once it is there; the frame has an origin of its own, so it is asked apart."""
    tree = browser("Page.getFrameTree")["frameTree"]
    frames = [one["frame"] for one in tree.get("childFrames", [])]
    if not frames or "/view" not in frames[0]["url"]:
        return ""
    world = browser("Page.createIsolatedWorld", frameId=frames[0]["id"])["executionContextId"]
    script = "document.documentElement.dataset.ready === 'yes' ? document.body.innerText : ''"
    return (
        browser("Runtime.evaluate", expression=script, contextId=world, returnByValue=True)["result"].get("value") or ""
    )


def alone(browser, url):
    """Nobody else was asked for anything, and nothing was complained about."""
    host = urlsplit(url).netloc
    asked = [urlsplit(one) for one in browser.requested()]
    assert browser.complaints() == []
    return {one.netloc for one in asked if one.scheme.startswith("http")} == {host}


def test_runs_are_listed_with_their_figures(browser, url):
    show(browser, url)
    wait_until(lambda: "–" not in browser.run("document.querySelectorAll('tr[data-file] td')[5].textContent"))
    names = browser.run("[...document.querySelectorAll('tr[data-file]')].map((one) => one.dataset.file)")
    assert names == ["nightly/three.jsonl", "nightly/two.msgpack", "one.jsonl"]
    assert alone(browser, url)
    keep(browser, "ui-list")


def test_a_filter_is_applied_and_one_that_cannot_be_read_says_so(browser, url):
    show(browser, url)
    browser.run("nodes.where.value = \"model == 'deep-2'\"; nodes.where.form.requestSubmit()")
    wait_until(lambda: browser.run("document.querySelectorAll('tr[data-file]').length") == 1)
    assert "1 of 3 runs" in browser.run("document.querySelector('#runs').textContent")
    browser.run("nodes.where.value = 'modell == 1'; nodes.where.form.requestSubmit()")
    wait_until(lambda: "did you mean model" in browser.run("document.querySelector('.problem').textContent"))


def test_a_running_benchmark_is_drawn_as_it_goes_on(browser, root, url):
    journal = ui_folder.begin_journal(root)
    records = sorted(loaded(60), key=lambda one: one.stamps.end)
    ui_folder.go_on(journal, records[:30])
    show(browser, url, rows=4)
    text = "document.getElementById('live').innerText"
    wait_until(lambda: "30 done" in browser.run(text), lambda: browser.run(text))
    ui_folder.go_on(journal, [*records[30:], ui_folder.NOTE])
    wait_until(lambda: "60/100 done" in browser.run(text), lambda: browser.run(text))
    shown = browser.run(text)
    assert all(one in shown for one in ("7 open", "2.000 requests/s", "30 s, 20 s left", "$0.0123 spent")), shown
    assert browser.run("document.querySelectorAll('#live svg[role=img]').length") == 4
    assert "rate_limited" in browser.run(text)
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    keep(browser, "ui-live")
    ui_folder.long_ago(journal)
    wait_until(lambda: not browser.run("document.getElementById('live').innerText"))
    assert alone(browser, url)


def test_runs_are_compared_in_the_page_of_the_report(browser, url):
    show(browser, url)
    browser.run("document.querySelectorAll('tr[data-file] input').forEach((one) => one.click())")
    assert browser.run("nodes.open.textContent") == "Compare 3 runs"
    click(browser, "Compare 3 runs")
    text = wait_until(lambda: report(browser))
    assert "openai deep-2 against openai fast-1" in text.replace(" (three.jsonl)", "").replace(" (one.jsonl)", "")
    assert alone(browser, url)
    keep(browser, "ui-compare")


def test_the_baseline_is_starred_and_kept(browser, root, url):
    show(browser, url)
    browser.run("document.querySelector('tr[data-file=\"one.jsonl\"] .star').click()")
    wait_until(lambda: Folder(root).baseline == "one.jsonl")
    browser.run("document.querySelector('tr[data-file=\"nightly/two.msgpack\"] input').click()")
    wait_until(lambda: not browser.run("nodes.versus.disabled"))
    click(browser, "Compare with baseline")
    wait_until(lambda: "openai deep-2 against openai fast-1: worse in" in report(browser))
    assert browser.run("location.hash").startswith("#run=one.jsonl")


def test_requests_are_chosen_gates_evaluated_and_the_page_is_saved(browser, root, url):
    show(browser, url)
    browser.run("location.hash = runsHash(['nightly/two.msgpack'])")
    wait_until(lambda: report(browser))
    click(browser, "Gates")
    wait_until(lambda: browser.run("document.getElementById('gates') !== null"))
    evaluate_gates(browser, "ttft_p95<1, success_rate>0.5")
    wait_until(lambda: "failed" in browser.run(GATES) and "passed" in browser.run(GATES), lambda: browser.run(GATES))
    keep(browser, "ui-gates")
    click(browser, "Run again")
    wait_until(lambda: "lll benchmark --provider openai" in browser.run("document.body.innerText"))
    click(browser, "Save")
    wait_until((root / "two.html").exists)
    browser.run("location.hash += '&where=total_latency_ms+%3E+2000&slowest=4'")
    wait_until(lambda: "where total_latency_ms > 2000, the slowest 4" in report(browser))
    assert "4\nnone failed" in report(browser)
    browser.run("location.hash = '#run=one.jsonl&where=modell+%3D%3D+1'")
    wait_until(lambda: "did you mean model" in browser.run("document.querySelector('.problem').textContent"))


def test_an_answer_that_comes_late_replaces_no_later_one(browser, root, url):
    show(browser, url)
    browser.run("location.hash = runsHash(['nightly/two.msgpack'])")
    wait_until(lambda: report(browser))
    browser.run("""(() => {
      const usual = window.fetch;
      window.fetch = (...asked) => {
        if (!String(asked[0]).includes("/api/gates") || window.late) return usual(...asked);
        return new Promise((answer) => { window.late = async () => answer(await usual(...asked)); });
      };
    })()""")
    click(browser, "Gates")
    wait_until(lambda: browser.run("document.getElementById('gates') !== null && 'late' in window"))
    evaluate_gates(browser, "ttft_p95<1")
    wait_until(lambda: "failed" in browser.run(GATES))
    browser.run("late().then(() => fetch('/api/runs')).finally(() => { window.cameLate = true; })")
    wait_until(lambda: browser.run("window.cameLate === true"))
    assert "failed" in browser.run(GATES)


def test_the_keyboard_reaches_everything_of_the_list_and_of_a_run(browser, url):
    show(browser, url)
    wait_until(lambda: "–" not in browser.run("document.querySelectorAll('tr[data-file] td')[5].textContent"))
    reach = """[...document.querySelectorAll("a[href], button:not([disabled]), input, iframe")]
      .filter((one) => one.checkVisibility() && !seen.has(one)).map((one) => one.outerHTML)"""
    for hash_ in ("#", "#run=one.jsonl"):
        browser.run(f"location.hash = {hash_!r}; window.seen = new Set()")
        if hash_ != "#":
            wait_until(lambda: report(browser))
        browser.run("document.querySelector('nav a').focus(); seen.add(document.activeElement).size")
        for _ in range(60):
            browser.press("Tab")
            browser.run("seen.add(document.activeElement).size")
            if not browser.run(reach):
                break
        assert browser.run(reach) == []


@pytest.mark.parametrize("width", [1400, 1024, 390])
def test_nothing_overflows(browser, root, url, width):
    ui_folder.go_on(ui_folder.begin_journal(root), loaded(20))
    browser("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    show(browser, url, rows=4)
    wait_until(lambda: browser.run("document.querySelectorAll('#live svg[role=img]').length") == 4)
    assert browser.run("document.documentElement.scrollWidth") <= width
    if width > 1000:  # a phone scrolls within the table
        cut = "[...document.querySelectorAll('.scroll')].filter((one) => one.scrollWidth > one.clientWidth).length"
        assert browser.run(cut) == 0
    keep(browser, f"ui-{width}")
    browser("Emulation.clearDeviceMetricsOverride")


def test_hostile_names_are_shown_as_they_are(browser, root, url):
    evil = "<img src=x onerror=alert(1)>.jsonl"
    write(root, evil, ui_folder.info(EVIL, 7), loaded(3, model=EVIL))
    show(browser, url, rows=4)
    assert evil in browser.run("document.querySelector('#runs').innerText")
    assert browser.run("document.querySelectorAll('img, #page script').length") == 0
    browser.run(f"location.hash = runsHash([{evil!r}])")
    assert EVIL in wait_until(lambda: report(browser))
    assert alone(browser, url)


def test_without_the_token_there_is_nothing(browser, url):
    browser.open("about:blank")
    browser.open(url.replace("a-token", "another"))
    assert "open the whole address" in browser.run("document.body.innerText")
