"""A run while it goes on, read from its growing file: its journal, or the segment that a monitor writes.

Only what is new is read, a bounded part at a time, and becomes a small table of its own, so that figures are those
of the metrics. What is kept of it is a slice of time each, so that memory does not grow with the run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
import numpy as np

from lens.columns import UNREADABLE
from lens.history.framing import LENGTH_BYTES, MOST_RECORD, split_pieces
from lens.history.lean import MISSING, listed_decoder, packed_decoder
from lens.history.write import MAGIC, RunProgress
from lens.metrics.builder import TableBuilder
from lens.metrics.columns import Column, Run
from lens.metrics.distribution import percentile
from lens.metrics.table import Table
from lens.report.terminal import clean
from lens.ui.folder import Entry
from lens.units import NS_PER_S

MOST_BYTES = 16 << 20  # read at a time
SLICES = 300  # of time that are kept
MOST_VALUES = 2000  # of a metric in a slice
STEP_S = {"journal": 1, "monitor": 60, "run": 1}  # width of a slice
PERCENTILES = (50, 95)
# The figures beside the drawings are those of the newest requests and gaps, so that a change is seen.
RECENT = {"ttft_ms": 200, "itl_ms": 2000}
_decode_note = msgspec.msgpack.Decoder(RunProgress).decode


class _Slice:
    """What ended in one slice of time."""

    def __init__(self) -> None:
        self.requests = self.failed = 0
        self.tokens = 0.0
        self.values: dict[str, list[float]] = {"ttft_ms": [], "itl_ms": []}

    def row(self, step_s: int) -> dict[str, float | None]:
        """Return it as plain data; percentiles where there is a value."""
        found: dict[str, float | None] = {
            "requests": self.requests / step_s, "failed": self.failed, "tokens": round(self.tokens / step_s, 2),
        }  # fmt: skip
        return found | _percentiles(self.values)


class LiveRun:
    """Follows one file."""

    def __init__(self, entry: Entry) -> None:
        self.file, self._path, self.step_s = entry.file, entry.path, STEP_S[entry.kind]
        self._info = entry.info
        self._at, self._rest = 0, b""
        self._packed = entry.path.suffix == ".msgpack"
        self._decode = packed_decoder() if self._packed else listed_decoder()
        self._slices: dict[int, _Slice] = {}
        self._changed: set[int] = set()
        self.requests = self.failed = 0
        self.by_category: dict[str, int] = {}
        self.tokens = 0.0
        self.progress: RunProgress | None = None  # as the run last noted it
        self._recent = {metric: deque[float](maxlen=most) for metric, most in RECENT.items()}
        self.behind = False  # more has been written than was read

    def update(self) -> bool:
        """Read what is new, at most MOST_BYTES; return whether there was something.

        Raises:
            OSError: the file cannot be read, or is gone.
        """
        with self._path.open("rb") as file:
            file.seek(self._at)
            data = file.read(MOST_BYTES)
            self.behind = len(data) == MOST_BYTES
        if not data:
            return False
        self._at += len(data)
        records = list(self._records(data))
        builder = TableBuilder()
        builder.extend(records)
        if records:
            self._take(builder.table(Run("", self._info, partial(map, _unread))).measured())
        return bool(records)

    def _records(self, data: bytes) -> Iterator[Any]:
        """Yield what a table reads of each whole record; headers, and what cannot be read, are passed over."""
        data = self._rest + data
        if self._packed:
            begins = len(MAGIC) if data.startswith(MAGIC) and self._at == len(data) else 0
            found: list[Any] = []
            end = begins
            for place, piece, is_note in split_pieces((data[begins:],), begins):
                end = place + LENGTH_BYTES + len(piece)
                if is_note:
                    self._take_note(piece)
                else:
                    found.append(piece)
        else:
            end = data.rfind(b"\n") + 1
            found = data[:end].splitlines()
        self._rest = bytes(data[end:]) if len(data) - end <= MOST_RECORD else b""
        for piece in found:
            try:
                yield self._decode(piece)
            except UNREADABLE:
                continue

    def _take_note(self, note: memoryview) -> None:
        with suppress(*UNREADABLE):
            now = _decode_note(note)
            if self.progress is not None and now.elapsed_ns < self.progress.elapsed_ns:
                self.tokens = 0.0  # a search for a load tries the next one
            self.progress = now

    def _take(self, table: Table) -> None:
        """Add some requests to the slices that they belong to."""
        if not len(table):
            return
        good = table.success
        self.requests += len(table)
        self.failed += int((~good).sum())
        categories = table.codes("category")
        for code, count in zip(*np.unique(categories.codes, return_counts=True), strict=True):
            name = categories.values[code]
            self.by_category[name] = self.by_category.get(name, 0) + int(count)
        start, end = table.column("start") - self._info.started_ns, table.stamp("end")
        ends = self._slice_of(start + np.where(end == MISSING, 0, end))
        # Tokens count where their request ends: by their arrival the last slices would lack those of open requests.
        tokens = np.bincount(table.of, table.tokens, len(table))
        self.tokens += float(tokens.sum())
        for number in np.unique(ends).tolist():
            self._slices.setdefault(number, _Slice())
            self._changed.add(number)
        for number, count, failed in _counted(ends, ~good):
            self._slices[number].requests += count
            self._slices[number].failed += failed
        for number, _, total in _counted(ends, tokens):
            self._slices[number].tokens += total
        self._add_values("ttft_ms", table.counted("ttft_ms"), ends)
        values, of = table.pooled("itl_ms")
        self._add_values("itl_ms", values, ends[of])
        for number in sorted(self._slices)[:-SLICES]:
            del self._slices[number]

    def _add_values(self, metric: str, values: Column, slices: Column) -> None:
        known = ~np.isnan(values)
        values, slices = values[known], slices[known]
        self._recent[metric].extend(values[-RECENT[metric] :].tolist())
        order = np.argsort(slices, kind="stable")
        numbers, first = np.unique(slices[order], return_index=True)
        for number, mine in zip(numbers.tolist(), np.split(values[order], first[1:]), strict=False):
            kept = self._slices[number].values[metric]
            kept += mine[:: -(-len(mine) // MOST_VALUES)].tolist()
            if len(kept) > MOST_VALUES:
                self._slices[number].values[metric] = kept[:: -(-len(kept) // MOST_VALUES)]

    def _slice_of(self, at_ns: Column) -> Column:
        found: Column = np.maximum(at_ns, 0) // (self.step_s * NS_PER_S)
        return found

    def state(self, *, whole: bool) -> dict[str, Any]:
        """Return what there is to show; not `whole`: of the slices those that have changed since the last time."""
        shown = sorted(self._slices if whole else self._changed & self._slices.keys())
        self._changed.clear()
        return {
            "file": self.file,
            "step_s": self.step_s,
            "requests": self.requests,
            "failed": self.failed,
            "categories": self.by_category,
            "progress": self._progress(),
            "recent": _percentiles(self._recent),
            "behind": self.behind,
            "slices": {number: self._slices[number].row(self.step_s) for number in shown},
        }

    def _progress(self) -> dict[str, float | str | None] | None:
        """Return what the run last noted of itself: how many are open, how far it is, its spend; None before that."""
        now = self.progress
        if now is None:
            return None
        share = now.done / now.total if now.total else None
        if share is None and now.duration_ns:
            share = now.elapsed_ns / now.duration_ns
        seconds = now.elapsed_ns / NS_PER_S
        return {
            "open": now.begun - now.done,
            "done": now.done,
            "total": now.total,
            "warmup": now.warmup_done,
            "stage": clean(now.stage, 80) if now.stage else None,
            "elapsed_s": round(seconds, 1),
            "share": None if share is None else round(min(share, 1.0), 4),
            "left_s": round(max(seconds / share - seconds, 0.0), 1) if share else None,
            "requests_per_s": round(now.done / seconds, 3) if seconds else None,
            "tokens_per_s": round(self.tokens / seconds, 2) if seconds else None,
            "spent_usd": None if now.spent_nusd is None else now.spent_nusd / 1e9,
        }


def _percentiles(values: Mapping[str, Iterable[float]]) -> dict[str, float | None]:
    """Return the percentiles of each metric by name: ttft_p50_ms; None where there is no value."""
    found: dict[str, float | None] = {}
    for metric, those in values.items():
        ordered = sorted(those)
        for q in PERCENTILES:
            name = f"{metric.removesuffix('_ms')}_p{q}_ms"
            found[name] = round(percentile(ordered, q), 4) if ordered else None
    return found


def _counted(slices: Column, weights: Column) -> Iterator[tuple[int, int, Any]]:
    """Yield each slice, how many are in it, and the sum of their weights."""
    if not len(slices):
        return
    low = int(slices.min())
    counts = np.bincount(slices - low)
    sums = np.bincount(slices - low, weights=weights)
    for offset in np.flatnonzero(counts).tolist():
        total = float(sums[offset])
        yield low + offset, int(counts[offset]), int(total) if weights.dtype == bool else total


def _unread(place: int) -> Any:
    raise LookupError(f"record {place} is not kept")
