"""Run files as one body of records: in the order of the wall clock, each knowing the file it came from.

Stamps of different runs are of different clocks and are never set against each other; what orders and
spans several runs is the time of day. A request that stands in two files (a journal and what it
became) is taken once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from lens.analysis.explore.filters import Fields, Reader
from lens.errors import FileError
from lens.history.read import Run, read_run
from lens.metrics.summary import PERCENTILES, Collector, Summary
from lens.model import Record, RunInfo
from lens.pricing import PriceBook
from lens.units import NS_PER_S

PARQUET = b"PAR1"


def wall_s(record: Record) -> float:
    """Seconds of the time of day at which a request started, since 1970."""
    return datetime.fromisoformat(record.timestamp).timestamp()


class Source:
    """One run file."""

    def __init__(self, name: str, run: Run) -> None:
        self.name, self.run = name, run

    @property
    def info(self) -> RunInfo | None:
        return self.run.info


class Sources:
    """Several run files and what is known of each record beyond the record itself."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = tuple(sources)
        self.warnings = [f"{one.name}: {says}" for one in sources for says in one.run.warnings]
        self._of: dict[int, Source] = {}
        self.records: list[Record] = []
        earlier: set[str] = set()
        twice = 0
        for source in sources:
            kept = [record for record in source.run.records if record.request_id not in earlier]
            twice += len(source.run.records) - len(kept)
            earlier.update([record.request_id for record in kept])
            self._of.update((id(record), source) for record in kept)
            self.records += kept
        if twice:
            self.warnings.append(
                f"{twice} request{'s stand' if twice > 1 else ' stands'} in more than one of the files: taken once"
            )
        if len(sources) > 1:
            self.records.sort(key=wall_s)

    def of(self, record: Record) -> Source:
        return self._of[id(record)]

    @cached_property
    def fields(self) -> Fields:
        """Names beyond a record's own: file, run, and every label of a record or of its run."""
        found: dict[str, Reader] = {
            "file": lambda r: self.of(r).name,
            "run": lambda r: info.run_id if (info := self.of(r).info) else None,
        }
        labels = {name for record in self.records for name in record.labels}
        for source in self.sources:
            labels.update(source.info.labels if source.info else ())
        for name in sorted(labels):
            reader = self._label(name)
            found[f"label.{name}"] = found[f"labels.{name}"] = reader
            found.setdefault(name, reader)
        return found

    def _label(self, name: str) -> Reader:
        def read(record: Record) -> Any:
            info = self.of(record).info
            return record.labels.get(name, info.labels.get(name) if info else None)

        return read

    def where(self, wanted: Callable[[Record], bool]) -> list[Record]:
        """The records that are meant, of the measured windows."""
        return [record for record in self.records if not record.warmup and wanted(record)]

    def parts(self, records: Sequence[Record]) -> list[list[Record]]:
        """These records, by the file they are from."""
        found: dict[str, list[Record]] = {}
        for record in records:
            found.setdefault(self.of(record).name, []).append(record)
        return list(found.values())


def read_sources(paths: Sequence[Path]) -> Sources:
    """Read run files of any layout.

    Raises:
        FileError: one cannot be read or is no run file.
    """
    names = [path.name for path in paths]
    unique = len(set(names)) == len(names)
    found = []
    for path, name in zip(paths, names, strict=True):
        _refuse_parquet(path)
        found.append(Source(name if unique else str(path), read_run(path)))
    return Sources(found)


def _refuse_parquet(path: Path) -> None:
    """A table of figures has no stamps, from which all figures are made.

    Raises:
        FileError: it is one.
    """
    try:
        with path.open("rb") as file:
            head = file.read(len(PARQUET))
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}") from error
    if head == PARQUET:
        raise FileError(f"{path} is a Parquet table: figures without the stamps they came from; give the run's json, "
                        "jsonl or msgpack file")  # fmt: skip


def summary_of(
    parts: Sequence[Sequence[Record]],
    book: PriceBook,
    *,
    info: RunInfo | None = None,
    slos: Sequence[Any] = (),
    percents: Sequence[float] = PERCENTILES,
) -> Summary:
    """The figures of records of several runs together; rates are over the sum of the runs' windows."""
    import msgspec

    collector = Collector(book, slos=slos)
    for part in parts:
        collector.extend(part)
    found = collector.summary(info, percents)
    if len(parts) < 2:
        return found
    spans = [_span_ns(part) for part in parts]
    window_s = sum(window for window, _ in spans) / NS_PER_S
    busy_s = sum(busy for _, busy in spans) / NS_PER_S
    return msgspec.structs.replace(
        found,
        window_s=window_s or None,
        requests_per_second=found.successes / window_s if window_s else None,
        output_tokens_per_second=found.output_tokens / window_s if window_s and found.output_tokens else None,
        concurrency_mean=busy_s / window_s if window_s else None,
        goodput_rps=found.good / window_s if window_s and found.good is not None else None,
    )


def _span_ns(part: Sequence[Record]) -> tuple[int, int]:
    """From the first start to the last end, and the sum of all latencies."""
    stamps = [record.stamps for record in part if not record.warmup]
    ends = [one.end for one in stamps if one.end is not None]
    if not ends:
        return 0, 0
    busy = sum(one.end - one.start for one in stamps if one.end is not None)
    return max(max(ends) - min(one.start for one in stamps), 0), busy
