"""The page in a real browser: no complaint, no request, values under the pointer, light and dark.

With LENS_SCREENSHOTS=DIR the pictures are kept there, to be looked at.
"""

from __future__ import annotations

import csv
import os
from io import StringIO
from pathlib import Path

import chromium
import pytest
import report_runs as runs
from handmade import failed_record
from waiting import wait_until

from lens.metrics.builder import table_of
from lens.metrics.summarize import summarize
from lens.pricing import PriceBook, parse_price
from lens.report.html.document import report_page
from lens.report.html.series import Source
from lens.report.run import print_report
from lens.report.terminal import console_for

BOOK = PriceBook([parse_price("in=3,out=15")])


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium.found()
    with chromium.Page(tmp_path_factory.mktemp("profile")) as page:
        yield page


def run(name, info, records):
    return Source(name, table_of(records, info, BOOK), info)


PAGES = {
    "one": lambda: [run("a", runs.info(), runs.loaded())],
    "two": lambda: [
        run("a", runs.info(), runs.loaded()),
        run("b", runs.info("deep-2"), runs.loaded(model="deep-2", slow=1.4, seed=2, thinking=True)),
    ],
    "sweep": lambda: [run("s", runs.info(), runs.swept(per_stage=30))],
    "hostile": lambda: [run(runs.EVIL, runs.info(runs.EVIL), runs.loaded(8, model=runs.EVIL))],
    "single": lambda: [run("p", runs.info(), runs.loaded(1, failures=False))],
    "nothing": lambda: [run("n", runs.info(), [])],
}


def show(browser, tmp_path, sources):
    path = tmp_path / "report.html"
    path.write_bytes(report_page(sources))
    browser.events.clear()
    browser.colours("light")
    browser.open(path.as_uri())
    return path.as_uri()


def keep(browser, name):
    folder = os.environ.get("LENS_SCREENSHOTS")
    if folder:
        browser.screenshot(Path(folder) / f"{name}.png")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_draws_itself_without_a_complaint_and_asks_nobody_for_anything(browser, tmp_path, name):
    url = show(browser, tmp_path, PAGES[name]())
    assert browser.run("document.documentElement.dataset.ready") == "yes"
    assert browser.complaints() == []
    assert browser.requested() == [url]
    assert "NaN" not in browser.run("document.getElementById('page').innerHTML")
    assert browser.run("document.querySelectorAll('svg[role=img]').length") >= (0 if name == "nothing" else 8)
    keep(browser, name)


def test_nothing_overflows_a_wide_or_a_narrow_window(browser, tmp_path):
    show(browser, tmp_path, PAGES["two"]())
    for width in (1280, 800, 380):
        browser("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        browser.run("new Promise(requestAnimationFrame)")
        assert browser.run("document.documentElement.scrollWidth") <= width
    keep(browser, "narrow")
    browser("Emulation.clearDeviceMetricsOverride")


@pytest.mark.parametrize("name", ["one", "two", "sweep", "single"])
def test_no_two_labels_of_a_drawing_lie_on_each_other(browser, tmp_path, name):
    show(browser, tmp_path, PAGES[name]())
    overlaps = browser.run("""(() => {
      let n = 0;
      for (const svg of document.querySelectorAll("svg[role=img]")) {
        const boxes = [...svg.querySelectorAll("text")].map((t) => t.getBoundingClientRect());
        for (let i = 0; i < boxes.length; i++) for (let k = i + 1; k < boxes.length; k++) {
          const [a, b] = [boxes[i], boxes[k]];
          const w = Math.min(a.right, b.right) - Math.max(a.left, b.left);
          const h = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
          if (w > 1 && h > 4) n++;
        }
      }
      return n;
    })()""")
    assert overlaps == 0


@pytest.mark.parametrize("name", ["one", "two", "sweep"])
def test_no_column_is_cut_on_a_desk(browser, tmp_path, name):
    show(browser, tmp_path, PAGES[name]())
    for width in (1400, 1024):
        browser("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        browser.run("new Promise(requestAnimationFrame)")
        cut = """[...document.querySelectorAll(".scroll, nav")]
            .filter((one) => one.clientWidth && one.scrollWidth > one.clientWidth)
            .map((one) => one.textContent.slice(0, 60))"""
        assert browser.run(cut) == []
    browser("Emulation.clearDeviceMetricsOverride")


def test_the_head_says_what_was_measured_how_and_the_outcome(browser, tmp_path):
    show(browser, tmp_path, PAGES["two"]())
    head = browser.run("document.querySelector('header').textContent")
    assert "https://api.example/v1/chat/completions" in head
    assert "closed loop, 8 at a time, 120 requests" in head
    assert "openai deep-2 against openai fast-1: worse in" in head
    assert "20 of 240 requests failed" in head
    shown = browser.run("document.querySelector('#comparison').textContent")
    assert "ttft_ms p50" in shown
    assert "not interleaved" in shown


def test_the_verdict_of_many_runs_is_on_the_first_screen(browser, tmp_path):
    many = [run(f"r{k}", runs.info(f"model-{k}"), runs.loaded(30, model=f"model-{k}", seed=k)) for k in range(6)]
    show(browser, tmp_path, many)
    about = browser.run("[...document.querySelectorAll('header dt')].map((one) => one.textContent)")
    assert about == ["target", "load"], "of six runs at one address under one load"
    assert browser.run("document.querySelector('.verdict').getBoundingClientRect().bottom <= innerHeight")
    shown = browser.run("[...document.querySelectorAll('.warnings > li')].length")
    folded = browser.run("[...document.querySelectorAll('.warnings details li')].length")
    assert shown <= 6
    assert f"{folded} more warnings" in browser.run("document.querySelector('.warnings summary').textContent")


def test_a_page_of_failures_only_has_axes_that_can_be_read(browser, tmp_path):
    show(browser, tmp_path, [run("f", runs.info(), [failed_record(index=k) for k in range(12)])])
    assert browser.complaints() == []
    marks = browser.run("[...document.querySelectorAll('#time svg text')].map((one) => one.textContent)")
    assert not [one for one in marks if len(one) > 5 and one.replace(".", "").isdigit()]
    assert "no latency was measured" in browser.run("document.getElementById('figures').textContent")
    assert "Token timelines" not in browser.run("document.getElementById('page').textContent")


def test_the_page_uses_the_names_of_the_terminal(browser, tmp_path):
    source = PAGES["one"]()[0]
    show(browser, tmp_path, [source])
    text = StringIO()
    summary = summarize(source.table, source.info)
    print_report(console_for(text, width=120), summary, source.info, table=source.table)
    said = text.getvalue()
    names = browser.run(
        """[...document.querySelectorAll("#phases .legend > span, #latency h3")].map((one) => one.textContent)"""
    )
    names += ["TTFT", "ITL", "TPOT", "total", "TTFB", "connect", "requests/s", "output tokens/s", "tokens/s a request"]
    shown = browser.run("document.getElementById('page').textContent")
    for name in names:
        assert name.removesuffix(", cumulative") in said
        assert name in shown


# Of each drawing: its label, how far down to point, and what its tooltip says.
HOVERS = [
    ("Histogram of TTFT", 60, "fast-1"),
    ("Cumulative TTFT", 60, "% are not above"),
    ("TTFT of each request", 60, "Request #"),
    ("Concurrency over time", 60, "requests open"),
    ("Mean time of each phase", 20, "mean of"),
    ("Phases of single requests", 18, "stream"),
    ("Arrival of each token", 18, "event "),
]


def place(browser, label, down):
    """Where to point, once the drawing is in sight."""
    where = browser.run(f"""(() => {{
      const svg = document.querySelector('svg[aria-label^="{label}"]');
      svg.scrollIntoView({{ block: "start", behavior: "instant" }});
      scrollBy({{ top: -100, behavior: "instant" }});
      const box = svg.getBoundingClientRect();
      return [box.left + box.width * 0.35, box.top + {down}];
    }})()""")
    browser.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return where


@pytest.mark.parametrize(("label", "down", "says"), HOVERS)
def test_the_values_under_the_pointer_are_shown(browser, tmp_path, label, down, says):
    show(browser, tmp_path, PAGES["one"]())
    where = place(browser, label, down)
    browser.move(5, 5)
    assert browser.run("document.getElementById('tip').hidden")
    browser.move(*where)
    assert not browser.run("document.getElementById('tip').hidden")
    assert says in browser.run("document.getElementById('tip').textContent")


@pytest.mark.parametrize(("label", "down", "says"), HOVERS)
def test_a_finger_shows_them_too_and_they_stay(browser, tmp_path, label, down, says):
    show(browser, tmp_path, PAGES["one"]())
    browser.touch(*place(browser, label, down))
    assert not browser.run("document.getElementById('tip').hidden")
    assert says in browser.run("document.getElementById('tip').textContent")


FOCUS = """(() => {
  const at = document.activeElement, plot = at.closest("svg") || at;
  const named = at.getAttribute("aria-label") || plot.getAttribute("aria-label") || at.textContent;
  return at === document.body ? null : named;
})()"""
REACHABLE = """[...document.querySelectorAll(
    "a[href], button:not([disabled]), input, summary, .sheet, [data-tip][tabindex='0']"
  )].filter((one) => one.checkVisibility()).length"""


@pytest.mark.parametrize("name", ["two", "sweep"])
def test_tab_reaches_everything_and_comes_to_an_end(browser, tmp_path, name):
    show(browser, tmp_path, PAGES[name]())
    wanted, tips = browser.run(REACHABLE), set()
    browser.run("window.seen = new Set()")
    for number in range(wanted + 20):
        browser.press("Tab")
        where = browser.run(FOCUS)
        if where is None and number:
            break
        browser.run("seen.add(document.activeElement).size")
        if not browser.run("document.getElementById('tip').hidden"):
            tips.add(where)
    assert browser.run("[...seen].filter((one) => one !== document.body).length") >= wanted
    plots = browser.run(
        """[...document.querySelectorAll("svg[role=img]")].map((one) => one.getAttribute("aria-label"))"""
    )
    for label in plots:
        assert any(label in where for where in tips), f"no value of {label} by the keyboard"


@pytest.mark.parametrize(("label", "first", "last"), [
    ("Histogram of TTFT", "to", "and above"),
    ("Cumulative TTFT", "1.0 % are not above", "100.0 % are not above"),
    ("TTFT of each request", "Request #", "Request #"),
    ("Tokens/s over time", "0 to ", "s: tokens/s"),
])  # fmt: skip
def test_arrow_keys_go_through_the_values_of_a_plot(browser, tmp_path, label, first, last):
    show(browser, tmp_path, PAGES["one"]())
    browser.press("Tab")  # the reader uses the keyboard
    said = "document.getElementById('tip').textContent"
    browser.run(f"""document.querySelector('svg[aria-label^="{label}"] .sheet').focus()""")
    begun = browser.run(said)
    assert first in begun
    browser.press("ArrowRight")
    assert browser.run(said) != begun
    browser.press("End")
    assert last in browser.run(said)
    browser.press("Escape")
    assert browser.run("document.getElementById('tip').hidden")


@pytest.mark.parametrize("name", ["two", "sweep"])
def test_every_plot_is_a_table_and_a_csv_too(browser, tmp_path, name):
    show(browser, tmp_path, PAGES[name]())
    browser.run("window.saved = []; save = (name, text) => { saved.push([name, text]); }")
    figures = browser.run("document.querySelectorAll('figure').length")
    browser.run("document.querySelectorAll('figure .tools button').forEach((one) => one.click())")
    assert browser.run("document.querySelectorAll('figure svg[role=img]').length") == 0
    assert browser.run("[...document.querySelectorAll('figure')].every((one) => one.querySelector('tbody tr'))")
    saved = browser.run("saved")
    assert len(saved) == figures
    for file, text in saved:
        rows = list(csv.reader(StringIO(text)))
        assert file.endswith(".csv")
        assert len(rows) > 1
        assert {len(row) for row in rows} == {len(rows[0])}
    browser.run("document.querySelectorAll('figure .tools button[aria-pressed]').forEach((one) => one.click())")
    assert browser.run("document.querySelectorAll('figure svg[role=img]').length") == figures
    assert browser.complaints() == []


def test_a_csv_is_a_file_and_no_formula(browser, tmp_path):
    show(browser, tmp_path, PAGES["one"]())
    browser("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.run("document.querySelector('button[aria-label^=\"Requests: save\"]').click()")
    wait_until(lambda: list(tmp_path.glob("requests.csv")), "no file came")
    rows = list(csv.DictReader(StringIO(wait_until((tmp_path / "requests.csv").read_text, "the file is empty"))))
    assert len(rows) == 120
    assert sum(row["outcome"] == "failed" for row in rows) == 10
    evil = browser.run("""csvOf({ head: ["a"], rows: [["=1+1"], [-2], ['say "x",\\n']] })""")
    assert evil == 'a\r\n\'=1+1\r\n-2\r\n"say ""x"",\n"\r\n'


ROWS = """document.querySelectorAll('svg[aria-label^="Phases of single"] g.row').length"""


def test_a_part_of_the_time_is_zoomed_into_and_chosen(browser, tmp_path):
    show(browser, tmp_path, PAGES["one"]())
    every = browser.run(ROWS)
    x, y = place(browser, "TTFT of each request", 60)
    browser.drag((x, y), (x + 200, y))
    low, high = browser.run("[view.from, view.to]")
    assert 0 < low < high < browser.run("SPAN_S")
    assert 0 < browser.run(ROWS) < every
    started = browser.run("rowsShown().flat().map((row) => row.at)")
    assert all(low <= at <= high for at in started)
    browser.run("[...document.querySelectorAll('.view button')].find((one) => one.textContent === 'Reset').click()")
    assert browser.run(ROWS) == every


def test_only_failures_and_only_the_slowest_can_be_looked_at(browser, tmp_path):
    show(browser, tmp_path, PAGES["one"]())
    browser.run("document.querySelector('.view input[type=checkbox]').click()")
    assert browser.run("rowsShown().flat().length") > 0
    assert browser.run("rowsShown().flat().some((row) => row.ok) || dotsShown().flat().some((dot) => !dot[4])") is False
    browser.run("document.querySelector('.view input[type=checkbox]').click()")
    browser.run("""(() => {
      const slowest = document.querySelector('[aria-label="slowest"]');
      slowest.value = 3;
      slowest.dispatchEvent(new Event("change"));
    })()""")
    assert browser.run(ROWS) == 3
    slowest = browser.run("DATA.requests[0].rows.map((row) => row.total).sort((a, b) => b - a).slice(0, 3)")
    assert sorted(browser.run("rowsShown()[0].map((row) => row.total)"), reverse=True) == slowest
    assert browser.complaints() == []


def test_a_figure_says_how_sure_it_is(browser, tmp_path):
    show(browser, tmp_path, PAGES["one"]())
    where = browser.run("""(() => {
      const box = document.querySelector("td.sure").getBoundingClientRect();
      return [box.left + box.width / 2, box.top + box.height / 2];
    })()""")
    browser.move(*where)
    assert "95 % interval" in browser.run("document.getElementById('tip').textContent")


def test_the_colours_follow_the_system_and_the_button(browser, tmp_path):
    show(browser, tmp_path, PAGES["one"]())
    ground = "getComputedStyle(document.body).backgroundColor"
    light = browser.run(ground)
    browser.colours("dark")
    dark = browser.run(ground)
    assert light != dark
    keep(browser, "dark")
    browser.run("document.getElementById('theme').click()")
    assert browser.run(ground) == light
    browser.run("document.getElementById('theme').click()")
    assert browser.run(ground) == dark


def test_it_prints(browser, tmp_path):
    show(browser, tmp_path, PAGES["one"]())
    assert browser.pdf().startswith(b"%PDF-")


def test_what_is_printed_has_no_buttons_and_is_not_cut(browser, tmp_path):
    show(browser, tmp_path, PAGES["two"]())
    browser("Emulation.setEmulatedMedia", media="print")
    browser("Emulation.setDeviceMetricsOverride", width=718, height=1000, deviceScaleFactor=1, mobile=False)  # A4
    browser.run("new Promise(requestAnimationFrame)")
    assert (
        browser.run(
            "[...document.querySelectorAll('button, input, nav')].filter((one) => one.checkVisibility()).length"
        )
        == 0
    )
    assert browser.run("document.documentElement.scrollWidth") <= 718
    keep(browser, "print")
    browser("Emulation.setEmulatedMedia", media="")
    browser("Emulation.clearDeviceMetricsOverride")


def test_a_hostile_name_is_shown_as_it_is(browser, tmp_path):
    show(browser, tmp_path, PAGES["hostile"]())
    assert runs.EVIL in browser.run("document.querySelector('h1').textContent")
    assert browser.run("document.title").endswith(runs.EVIL)
    assert browser.run("document.querySelectorAll('body b script, h1 b').length") == 0
