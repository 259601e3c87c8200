"""What `lll ui` answers: its page, the list of runs, pages of runs, what is done to them, and the live stream.

Who may ask: whoever knows the token, under a name of this machine. Every answer forbids the browser to load anything
from elsewhere. What is read or worked out goes to one thread, so that the live stream goes on meanwhile.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from importlib.resources import files
from ipaddress import ip_address
from pathlib import Path
from secrets import compare_digest
from typing import Any
from urllib.parse import urlsplit

import msgspec
import trio

from lens._version import __version__
from lens.errors import LensError
from lens.parsing import list_in
from lens.pricing import PriceBook
from lens.report.html.document import MOST_RUNS, asset, joined_scripts
from lens.report.terminal import clean
from lens.server import Asked, EventStream, Handler, Page, is_this_machine, url_of
from lens.ui.folder import Entry, Folder, asks_for_figures, figure_names, filtered, now, row_of
from lens.ui.live import LiveRun
from lens.ui.runs import Choice, Runs, entries_named

TICK_S = 1.0  # of the live stream
MOST_ROWS = 500  # of the list in one answer
MOST_UNKNOWN = 10_000  # runs whose figures are not known that are named
# The page's own drawing code, and what is written for the ui.
SHARED, OWN = ("basics.js", "axes.js"), ("list.js", "run.js", "live.js", "ui.js")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SAFE = (("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"))
HEADERS = (("Content-Security-Policy", _POLICY), *_SAFE)
# The page of a run brings its own, stricter policy; here it is only said who may frame it.
_REPORT_HEADERS = (("Content-Security-Policy", "frame-ancestors 'self'"), *_SAFE)
_TEXT = "text/plain; charset=utf-8"
_ACTIONS = frozenset({"/api/star", "/api/save"})


class App:
    """The answers, for one folder."""

    def __init__(self, folder: Folder, book: PriceBook, token: str, listen: str) -> None:
        """listen: the host that is listened on."""
        self.folder, self._token, self._listen = folder, token, listen
        self._runs = Runs(book)
        self._reading = trio.CapacityLimiter(1)
        self._rows: dict[tuple[str, int, int, bool], dict[str, Any]] = {}
        self._answers: dict[str, Callable[[Asked], Awaitable[Page | EventStream]]] = {
            "/": self._page, "/ui.js": self._script, "/ui.css": self._style, "/view": self._view,
            "/api/runs": self._list, "/api/figures": self._figures, "/api/gates": self._gates,
            "/api/read": self._read, "/api/star": self._star, "/api/save": self._save, "/live": self._live,
        }  # fmt: skip

    @property
    def handler(self) -> Handler:
        """What answers the requests of the server."""
        return self._answer

    async def _answer(self, asked: Asked) -> Page | EventStream:
        """Return the answer to a request that may be made; what is wrong with it as a text that says so."""
        refused = self._refusal(asked)
        if refused is not None:
            return refused
        made = self._answers.get(asked.path)
        if made is None:
            return _text(404, "there is no such page")
        wanted = ("POST",) if asked.path in _ACTIONS else ("GET", "HEAD")
        if asked.method not in wanted:
            return _text(405, f"only {' and '.join(wanted)}")
        try:
            return await made(asked)
        except LensError as error:
            return _text(400, clean(str(error), 2000))

    def _refusal(self, asked: Asked) -> Page | None:
        """Return why a request is not answered: from another name, another page, or without the token."""
        if not is_own_name(asked.headers.get("host", ""), self._listen):
            return _text(403, "this name is not served: open the address that `lll ui` printed")
        origin = asked.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != asked.headers.get("host"):
            return _text(403, "not from another page")
        if not compare_digest(asked.first("token").encode(), self._token.encode()):
            return _text(403, "the token is missing or wrong: open the whole address that `lll ui` printed")
        return None

    async def _page(self, asked: Asked) -> Page:  # noqa: ARG002
        return Page(200, "text/html; charset=utf-8", _own("ui.html").replace("@token@", self._token).encode(), HEADERS)

    async def _script(self, asked: Asked) -> Page:  # noqa: ARG002
        text = "\n".join([joined_scripts(SHARED), *map(_own, OWN)])
        return Page(200, "text/javascript; charset=utf-8", text.encode(), HEADERS)

    async def _style(self, asked: Asked) -> Page:  # noqa: ARG002
        return Page(200, "text/css; charset=utf-8", (asset("page.css") + _own("ui.css")).encode(), HEADERS)

    async def _list(self, asked: Asked) -> Page:
        """Answer with a part of the list: of the runs that are meant, in order."""
        return _json(await self._in_thread(self._listed, asked))

    def _listed(self, asked: Asked) -> dict[str, Any]:
        where, sort, down = (
            asked.first("where").strip(),
            asked.first("sort", "started"),
            asked.first("down", "1") == "1",
        )
        rows = self._all_rows()
        kept = filtered(rows, where) if where else rows
        kept = sorted(kept, key=lambda row: _order(_cell(row, sort), down=down), reverse=down)
        offset, limit = _number(asked.first("offset"), 0), min(_number(asked.first("limit"), MOST_ROWS), MOST_ROWS)
        unknown = [row["file"] for row in rows if row["figures"] is None] if asks_for_figures(f"{where} {sort}") else []
        return {
            "folder": str(self.folder.root),
            "version": __version__,
            "baseline": self.folder.baseline,
            "all": len(rows),
            "kept": len(kept),
            "rows": kept[offset : offset + limit],
            "unknown": unknown[:MOST_UNKNOWN],
            "figures": figure_names(),
            "most_runs": MOST_RUNS,
            "trouble": self.folder.trouble,
        }

    def _all_rows(self) -> list[dict[str, Any]]:
        at, rows, made = now(), [], {}
        for entry in self.folder.scan():
            live = entry.is_live(at)
            key = (entry.file, entry.size, entry.mtime_ns, live)
            row = self._rows.get(key) or row_of(entry, None, at)
            row["figures"] = self.folder.figures(entry)
            made[key] = row
            rows.append(row)
        self._rows = made
        return rows

    async def _view(self, asked: Asked) -> Page:
        """Answer with the page of `lll report` of some runs, or of some of their requests."""
        slowest = _number(asked.first("slowest"), 0)
        choice = Choice(where=asked.first("where").strip(), slowest=slowest, failed=asked.first("failed") == "1")
        page = await self._in_thread(lambda: self._runs.page(self._entries(asked), choice))
        return Page(200, "text/html; charset=utf-8", page, _REPORT_HEADERS)

    async def _figures(self, asked: Asked) -> Page:
        def work() -> dict[str, Any]:
            (entry, *_) = self._entries(asked)
            found = self.folder.figures(entry)
            if found is None:
                found = self._runs.figures(entry)
                self.folder.keep_figures(entry, found)
                if asked.first("keep", "1") == "1":
                    self.folder.flush()
            return found

        return _json(await self._in_thread(work))

    async def _read(self, asked: Asked) -> Page:
        """Read runs ahead of a page that will be asked for."""
        await self._in_thread(lambda: [self._runs.source(entry) for entry in self._entries(asked)])
        return _json({})

    async def _gates(self, asked: Asked) -> Page:
        def work() -> dict[str, Any]:
            (entry, *_) = self._entries(asked)
            baseline = None
            if self.folder.baseline is not None:
                with suppress(LensError):
                    baseline = self.folder.entry(self.folder.baseline)
            own = list(map(str, list_in(entry.info.config, "thresholds")))
            return {"own": own, "checks": self._runs.gates(entry, asked.query.get("threshold", []), baseline)}

        return _json(await self._in_thread(work))

    async def _star(self, asked: Asked) -> Page:
        """Make a run the baseline of the folder, or none where it is that already."""

        def work() -> None:
            (entry, *_) = self._entries(asked)
            self.folder.star(None if self.folder.baseline == entry.file else entry.file)

        await self._in_thread(work)
        return _json({"baseline": self.folder.baseline, "trouble": self.folder.trouble})

    async def _save(self, asked: Asked) -> Page:
        path = await self._in_thread(lambda: self._runs.save(self._entries(asked), self.folder.root))
        return _json({"path": str(path), "name": path.name})

    async def _live(self, asked: Asked) -> EventStream:  # noqa: ARG002
        return EventStream(self._events(), HEADERS)

    async def _events(self) -> AsyncGenerator[bytes, None]:
        """Yield what is live and how it goes, once a tick; every slice at first, then those that have changed."""
        followed: dict[str, LiveRun] = {}
        number = 0
        while True:
            found = await trio.to_thread.run_sync(self._followed, followed)
            number += 1
            yield b"data: " + msgspec.json.encode({"tick": number, "live": found}) + b"\n\n"
            await trio.sleep(TICK_S if not any(run["behind"] for run in found) else 0)

    def _followed(self, followed: dict[str, LiveRun]) -> list[dict[str, Any]]:
        """Read what is new of all that is live."""
        at, states = now(), []
        live = {entry.file: entry for entry in self.folder.live(at)}
        for file in [*followed.keys() - live.keys()]:
            del followed[file]
        for file, entry in live.items():
            is_new = file not in followed
            run = followed.setdefault(file, LiveRun(entry))
            with suppress(OSError):
                run.update()
            row = row_of(entry, None, at)
            age_s = round(at - entry.mtime_ns / 1e9, 1)
            about = {name: row[name] for name in ("target", "url", "load", "started", "kind", "command")}
            states.append(run.state(whole=is_new) | about | {"age_s": age_s, "whole": is_new})
        return states

    def _entries(self, asked: Asked) -> list[Entry]:
        return entries_named(asked.query.get("run", []), self.folder.entry)

    async def _in_thread(self, work: Callable[..., Any], *args: Any) -> Any:
        """Work in the one thread that reads; a client that leaves does not end it."""
        return await trio.to_thread.run_sync(work, *args, limiter=self._reading)


def is_own_name(host: str, listen: str) -> bool:
    """Return whether a Host header names this machine: no name that a stranger's DNS could point here.

    listen: the host that is listened on. Where only this machine reaches it: its addresses and localhost.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost" or is_this_machine(name) or name == listen.lower():
        return True
    if is_this_machine(listen) or listen == "localhost":
        return False
    with suppress(ValueError):
        ip_address(name)
        return True
    return name in {socket.gethostname().lower(), socket.getfqdn().lower()}


def _own(name: str) -> str:
    """Return a file of the ui."""
    return files("lens.ui").joinpath("pages", name).read_text(encoding="utf-8")


def _text(status: int, text: str) -> Page:
    return Page(status, _TEXT, f"{text}\n".encode(), HEADERS)


def _json(value: object) -> Page:
    return Page(200, "application/json", msgspec.json.encode(value), HEADERS)


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else otherwise


def _cell(row: dict[str, Any], name: str) -> Any:
    return (row["figures"] or {}).get(name) if name in figure_names() else row.get(name)


def _order(value: Any, *, down: bool) -> tuple[bool, Any]:
    """Return what sorts; what is not known comes last both ways."""
    if value is None:
        return not down, ""
    return down, value if isinstance(value, (int, float)) else str(value)


def folder_of(path: str | None) -> Folder:
    """Return the folder of this name, or the working directory.

    Raises:
        FileError: there is none.
    """
    return Folder(Path(path or "."))


def addresses(hosts: Sequence[tuple[str, int]], token: str) -> list[str]:
    """Return what to open, for each address that is listened on."""
    return [f"{url_of(host)}/?token={token}" for host in hosts]
