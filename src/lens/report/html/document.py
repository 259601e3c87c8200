"""Runs as one page of HTML that needs nothing else: no network, no library, no second file.

Data stands in the page as JSON in which no "<" is left, the drawing code puts text in only as
text, and a content policy names the page's own style and scripts by their hashes. So neither a
model's name nor a server's error can become markup, and nothing can be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from lens.metrics.summary import Summary
from lens.metrics.table import Table
from lens.model import RunInfo
from lens.pricing import PriceBook
from lens.report.html.data import page_data
from lens.report.html.series import Source

# Joined in this order into one script.
_SCRIPTS = (
    "basics.js",
    "axes.js",
    "view.js",
    "distributions.js",
    "timeplots.js",
    "requests.js",
    "sessions.js",
    "sections.js",
    "page.js",
)
_STYLE = "page.css"
# Runs of one page: colours and letters beyond this are no longer told apart.
MOST_RUNS = 8


def report_page(sources: Sequence[Source], title: str | None = None, summary: Summary | None = None) -> bytes:
    """Return the page of one run, or of several laid over each other.

    summary: of the only run, where it is known already.
    """
    named = title or title_of(sources)
    data = _harmless(msgspec.json.encode(page_data(sources, named, summary)).decode())
    style, script = asset(_STYLE), joined_scripts(_SCRIPTS)
    fields = {
        "@title@": html.escape(named),
        "@policy@": html.escape(_policy(style, script)),
        "@style@": style,
        "@script@": script,
        "@data@": data,
    }
    page = asset("page.html")
    # One pass over the template, so that nothing which is put in is looked at again.
    parts = []
    while page:
        at, name = min(((page.find(name), name) for name in fields if name in page), default=(len(page), ""))
        parts += [page[:at], fields.get(name, "")]
        page = page[at + len(name) :]
    return "".join(parts).encode()


def default_name(paths: Sequence[Path]) -> str:
    """Return the name of the file of a page; of one run: the run's name."""
    return f"{paths[0].stem}.html" if len(paths) == 1 else "report.html"


def title_of(sources: Sequence[Source]) -> str:
    """Return what was measured: each target once."""
    targets = [t for source in sources if source.info for t in source.info.targets]
    names = list(dict.fromkeys(f"{t.provider} {t.model}" for t in targets))
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return shown or "Latency report"


def _harmless(json: str) -> str:
    """Return JSON that no HTML parser can see the end of, nor a script reader a line end in."""
    for char in "<>&\u2028\u2029":
        json = json.replace(char, f"\\u{ord(char):04x}")
    return json


def _policy(style: str, script: str) -> str:
    """Return a policy that allows only this style and this script; nothing is loaded, sent, framed or submitted."""
    own = f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    return f"default-src 'none'; {own}; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def joined_scripts(names: Sequence[str]) -> str:
    """Return scripts of the page as one."""
    return '"use strict";\n' + "\n".join(map(asset, names))


def asset(name: str) -> str:
    """Return a file of the page, from the package wherever it is installed."""
    return files("lens.report.html").joinpath("page", name).read_text(encoding="utf-8")


class HtmlPage:
    """The page as an export of one run."""

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:
        """Take what every export is given; the page needs none of it, for its table has the prices."""

    def write(self, table: Table, info: RunInfo, summary: Summary) -> Iterator[bytes]:
        """Yield the page of these requests."""
        yield report_page([Source("this run", table, info)], summary=summary)


def page_json(page: bytes) -> dict[str, Any]:
    """Return the data of a page, read back from it: what a script that finds only the page can use."""
    start = page.index(b'id="data">') + len(b'id="data">')
    found: dict[str, Any] = msgspec.json.decode(page[start : page.index(b"</script>", start)])
    return found
