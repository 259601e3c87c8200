"""The run files of a folder: a row a run, from its header alone, so that ten thousand are listed in a moment.

What a folder does not say by itself (the baseline, figures that were worked out once) is kept in one small file in it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG
from typing import Any

import msgspec

from lens.analysis.explore.filters import compile_row_filter
from lens.errors import FileError
from lens.history.files import SUFFIXES, is_text
from lens.history.read import read_header
from lens.history.write import JOURNAL, MONITOR_COMMAND, UI_STATE, NewFile
from lens.model import RunInfo
from lens.parsing import read_small
from lens.report.html.header import load_text
from lens.report.terminal import clean
from lens.units import NS_PER_S

# A journal or a segment of a monitor that has not grown for so long belongs to nobody who still measures.
JOURNAL_LIVE_S, MONITOR_LIVE_S = 120.0, 900.0
MOST_FILES, MOST_FOLDERS = 100_000, 10_000
SCAN_S = 3.0  # between looks for new files while what is live is followed
# Figures of a run that a list shows and a filter may ask for: name, metric and statistic of the summary.
FIGURES = (
    ("ttft_p50", "ttft_ms", "p50"), ("ttft_p95", "ttft_ms", "p95"), ("itl_p50", "itl_ms", "p50"),
    ("itl_p95", "itl_ms", "p95"), ("total_p50", "total_latency_ms", "p50"), ("total_p95", "total_latency_ms", "p95"),
)  # fmt: skip
COUNTS = ("requests", "failed", "success_rate", "requests_per_second", "output_tokens_per_second", "cost_usd")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A run file as it was found."""

    file: str  # relative to the folder, with /
    place: str  # its whole path
    size: int
    mtime_ns: int
    info: RunInfo

    @property
    def path(self) -> Path:
        """Where the file is."""
        return Path(self.place)

    @property
    def kind(self) -> str:
        """How it is written: a finished run, a journal, or a segment of a monitor."""
        if self.file.endswith(JOURNAL):
            return "journal"
        return "monitor" if self.info.command == MONITOR_COMMAND else "run"

    def is_live(self, now_s: float) -> bool:
        """Return whether it is still written to, as far as its age tells."""
        if self.info.ended_ns is not None or self.kind == "run":
            return False
        age_s = now_s - self.mtime_ns / NS_PER_S
        return age_s < (JOURNAL_LIVE_S if self.kind == "journal" else MONITOR_LIVE_S)


class Known(msgspec.Struct, kw_only=True):
    """Figures of a file of this size and age."""

    size: int
    mtime_ns: int
    values: dict[str, float | None]


class State(msgspec.Struct, kw_only=True):
    """What is kept in the folder."""

    baseline: str | None = None
    figures: dict[str, Known] = {}


class Folder:
    """The folder; not for several threads at once."""

    def __init__(self, root: Path) -> None:
        """
        Raises:
            FileError: it is no folder.
        """
        self.root = root.resolve()
        if not self.root.is_dir():
            raise FileError(f"{root} is no folder; name one with run files (--export jsonl or msgpack writes them)")
        self._headers: dict[str, tuple[int, int, RunInfo | None]] = {}
        self._state = self._read_state()
        self._kept = True
        self._live: list[Entry] = []
        self._scanned_s = 0.0
        self.trouble: str | None = None  # why the state cannot be kept

    def scan(self) -> list[Entry]:
        """Return all run files, the newest first. Headers are read of what is new or has changed."""
        found, seen = [], {}
        for file, place, state in self._files():
            size, mtime_ns = state.st_size, state.st_mtime_ns
            known = self._headers.get(file)
            if known is None or known[:2] != (size, mtime_ns):
                info = None
                if known is not None and known[2] is not None and size > known[0]:
                    info = known[2]  # it has grown: its header stands
                else:
                    with suppress(OSError):
                        info = read_header(Path(place))
                known = (size, mtime_ns, info)
            seen[file] = known
            if known[2] is not None:
                found.append(Entry(file=file, place=place, size=size, mtime_ns=mtime_ns, info=known[2]))
        self._headers = seen
        found.sort(key=lambda one: (one.info.started_at, one.file), reverse=True)
        return found

    def live(self, now_s: float) -> list[Entry]:
        """Return the files that are written to; whether there are new ones is looked for every SCAN_S."""
        if not self._scanned_s or not 0 <= now_s - self._scanned_s < SCAN_S:
            self._scanned_s, self._live = now_s, self.scan()
        else:
            self._live = [new for old in self._live if (new := self._again(old)) is not None]
        self._live = [entry for entry in self._live if entry.is_live(now_s)]
        return self._live

    def _again(self, entry: Entry) -> Entry | None:
        """Return a run file as it is now; None where it is gone."""
        try:
            state = os.stat(entry.place)
        except OSError:
            return None
        return msgspec.structs.replace(entry, size=state.st_size, mtime_ns=state.st_mtime_ns)

    def entry(self, file: str) -> Entry:
        """Return a run file by its name in the list.

        Raises:
            FileError: there is none of that name.
        """
        path = self.root / file
        if file.endswith(JOURNAL) and not path.exists():  # the run has ended, and is in the file that it was for
            return self.entry(file.removesuffix(JOURNAL))
        with suppress(OSError, ValueError):
            inside = path.resolve().is_relative_to(self.root)
            state = path.stat()
            is_file = inside and file.endswith(SUFFIXES) and S_ISREG(state.st_mode)
            info = read_header(path) if is_file else None
            if info is not None:
                return Entry(file=file, place=str(path), size=state.st_size, mtime_ns=state.st_mtime_ns, info=info)
        raise FileError(f"{clean(file, 200)} is no run file of this folder")

    def _files(self) -> Iterator[tuple[str, str, os.stat_result]]:
        """Yield name and path of what may be run files, here and below.

        Links, what begins with a dot and names that are no text, which no page can hold, are not.
        """
        folders, number, looked = [str(self.root)], 0, 0
        begins = len(os.path.join(self.root, ""))
        while folders and looked < MOST_FOLDERS:
            looked += 1
            with suppress(OSError), os.scandir(folders.pop()) as entries:
                for one in entries:
                    if one.name.startswith(".") or not is_text(one.name):
                        continue
                    if one.is_dir(follow_symlinks=False):
                        folders.append(one.path)
                    elif one.name.endswith(SUFFIXES) and one.is_file(follow_symlinks=False):
                        number += 1
                        if number > MOST_FILES:
                            return
                        with suppress(OSError):
                            yield one.path[begins:].replace(os.sep, "/"), one.path, one.stat()

    @property
    def baseline(self) -> str | None:
        """The file that others are compared with; None where none was chosen."""
        return self._state.baseline

    def star(self, file: str | None) -> None:
        """Choose the baseline, or none."""
        self._state.baseline = file
        self._kept = False
        self.flush()

    def figures(self, entry: Entry) -> dict[str, float | None] | None:
        """Return the figures of a run; None where they were not worked out of the file as it is now."""
        known = self._state.figures.get(entry.file)
        return (
            known.values if known is not None and (known.size, known.mtime_ns) == (entry.size, entry.mtime_ns) else None
        )

    def keep_figures(self, entry: Entry, values: dict[str, float | None]) -> None:
        """Keep the figures of a run, on disk after the next `flush`."""
        self._state.figures[entry.file] = Known(size=entry.size, mtime_ns=entry.mtime_ns, values=values)
        self._kept = False

    def _read_state(self) -> State:
        if not self._own_state():
            return State()
        try:
            return msgspec.json.decode(read_small(self.root / UI_STATE), type=State)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return State()

    def _own_state(self) -> bool:
        """Return whether the state is a file; a link, which others may have put there, would lead to another."""
        path = self.root / UI_STATE
        return path.is_file() and not path.is_symlink()

    def flush(self) -> None:
        """Write what is to be kept, if it has changed."""
        if self._kept:
            return
        self._kept = True
        path = self.root / UI_STATE
        if not self._own_state() and (path.is_symlink() or path.exists()):
            self.trouble = f"{path} is a link or no file, and is left alone: kept until the end only"
            return
        try:
            with NewFile(path, force=True) as file:
                file.write(msgspec.json.encode(self._state))
        except FileError as error:
            self.trouble = f"{error}: kept until the end only"


def row_of(entry: Entry, figures: Mapping[str, float | None] | None, now_s: float) -> dict[str, Any]:
    """Return a run as a row of the list: plain data, texts cleaned."""
    info, ended = entry.info, entry.info.ended_ns
    return {
        "file": entry.file,
        "kind": entry.kind,
        "live": entry.is_live(now_s),
        "started": _clean(info.started_at, 40),
        "duration_s": None if ended is None else (ended - info.started_ns) / NS_PER_S,
        "provider": _joined(target.provider for target in info.targets),
        "model": _joined(target.model for target in info.targets),
        "url": _joined(target.url for target in info.targets),
        "target": _joined(target.name or f"{target.provider} {target.model}" for target in info.targets),
        "load": load_text(info),
        "command": _clean(info.command, 2000),
        "labels": {_clean(name, 80): _clean(value, 200) for name, value in info.labels.items()},
        "size": entry.size,
        "warnings": len(info.warnings),
        "figures": None if figures is None else dict(figures),
    }


def _joined(texts: Iterator[str]) -> str:
    return _clean(", ".join(dict.fromkeys(texts)), 400)


@lru_cache(maxsize=50_000)
def _clean(text: str, most: int) -> str:
    """Return a text cleaned; those of ten thousand runs are few."""
    return clean(text, most)


_PLAIN = (
    "file", "kind", "live", "started", "duration_s", "provider", "model", "url", "target", "load", "command", "size",
    "warnings",
)  # fmt: skip


def filtered(rows: Sequence[dict[str, Any]], where: str) -> list[dict[str, Any]]:
    """Return the rows of which the expression is true: the language of --where, over runs.

    Names are the columns of the list, label.NAME, and the figures; a figure that is not known is None.

    Raises:
        ConfigError: it is no such expression.
    """
    readers: dict[str, Callable[[Any], list[Any]]] = {name: _reader(name) for name in _PLAIN}
    readers |= {name: _figure_reader(name) for name in figure_names()}
    for name in sorted({name for row in rows for name in row["labels"]}):
        readers[f"label.{name}"] = _label_reader(name)
        readers.setdefault(name, readers[f"label.{name}"])
    kept = compile_row_filter(where, readers)(rows)
    return [row for row, is_kept in zip(rows, kept, strict=True) if is_kept]


def figure_names() -> list[str]:
    """Return the names of the figures of a run."""
    return [*COUNTS, *[name for name, _, _ in FIGURES]]


def asks_for_figures(where: str) -> bool:
    """Return whether an expression may need figures."""
    return any(name in where for name in figure_names())


def _reader(name: str) -> Callable[[Any], list[Any]]:
    return lambda rows: [row[name] for row in rows]


def _figure_reader(name: str) -> Callable[[Any], list[Any]]:
    return lambda rows: [(row["figures"] or {}).get(name) for row in rows]


def _label_reader(name: str) -> Callable[[Any], list[Any]]:
    return lambda rows: [row["labels"].get(name) for row in rows]


def now() -> float:
    """Return the wall clock, s."""
    return time.time()
