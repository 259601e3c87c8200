"""The page in a real browser: no complaint, no request, values under the pointer, light and dark.

With LENS_SCREENSHOTS=DIR the pictures are kept there, to be looked at.
"""

from __future__ import annotations

import os
from pathlib import Path

import chromium
import pytest
import report_runs as runs

from lens.metrics.builder import table_of
from lens.pricing import PriceBook, parse_price
from lens.report.html.document import report_page
from lens.report.html.series import Source

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


# Of each drawing: its label, how far down to point, and what its tooltip says.
HOVERS = [
    ("Histogram of TTFT", 60, "fast-1"),
    ("Cumulative TTFT", 60, "% are not above"),
    ("TTFT of each request", 60, "Request #"),
    ("Concurrency over time", 60, "requests open"),
    ("Mean time of each phase", 20, "mean of"),
    ("Phases of single requests", 18, "decode"),
    ("Arrival of each token", 18, "event "),
]


@pytest.mark.parametrize(("label", "down", "says"), HOVERS)
def test_the_values_under_the_pointer_are_shown(browser, tmp_path, label, down, says):
    show(browser, tmp_path, PAGES["one"]())
    where = browser.run(f"""(() => {{
      const svg = document.querySelector('svg[aria-label^="{label}"]');
      svg.scrollIntoView({{ block: "start", behavior: "instant" }});
      scrollBy({{ top: -100, behavior: "instant" }});
      const box = svg.getBoundingClientRect();
      return [box.left + box.width * 0.35, box.top + {down}];
    }})()""")
    browser.move(5, 5)
    assert browser.run("document.getElementById('tip').hidden")
    browser.move(*where)
    assert not browser.run("document.getElementById('tip').hidden")
    assert says in browser.run("document.getElementById('tip').textContent")


def test_a_figure_says_how_sure_it_is(browser, tmp_path):
    show(browser, tmp_path, PAGES["one"]())
    where = browser.run("""(() => {
      const box = document.querySelector("td.sure").getBoundingClientRect();
      return [box.left + box.width / 2, box.top + box.height / 2];
    })()""")
    browser.move(*where)
    assert "95 % sure" in browser.run("document.getElementById('tip').textContent")


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


def test_a_hostile_name_is_shown_as_it_is(browser, tmp_path):
    show(browser, tmp_path, PAGES["hostile"]())
    assert runs.EVIL in browser.run("document.querySelector('h1').textContent")
    assert browser.run("document.title").endswith(runs.EVIL)
    assert browser.run("document.querySelectorAll('body b script, h1 b').length") == 0
