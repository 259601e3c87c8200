"""Turn what a run that was killed had left on disk, its journal, into the files that it would have written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from lens.config.settings import LoadConfig
from lens.errors import FileError
from lens.export.formats import format_named, format_of_suffix, open_export, write_export
from lens.history.lean import MISSING
from lens.history.write import JOURNAL, KILLED, NOT_ENDED, PARTIAL, unrecorded_says
from lens.metrics.builder import read_table
from lens.metrics.summarize import summarize
from lens.metrics.table import Table
from lens.model import RunInfo
from lens.orchestrator.run_info import new_run_info
from lens.pricing import PriceBook
from lens.run.outputs import without_text
from lens.run.result import finish_table

# What a second run beside a journal is numbered with: run.json.2.journal.msgpack
_NUMBERED = re.compile(r"\.\d+$")
ENDED = "recovered from the journal of a run that was killed"


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """A run as its journal tells it."""

    table: Table
    info: RunInfo
    warnings: tuple[str, ...]  # of what could not be read


def recover(path: Path, book: PriceBook) -> Recovered:
    """Read a journal and carry out what a run does when it ends: order, warm-up, cool-down.

    Raises:
        FileError: it cannot be read, or is no run file.
    """
    table, warnings = read_table(path, book)
    info = table.info or new_run_info()
    table, notes = finish_table(table, _load(info))
    if not _saves_text(info):
        table = table.with_records(without_text)
    return Recovered(table=table, info=_with_end(info, table, notes), warnings=warnings)


def write_recovered(run: Recovered, path: Path, book: PriceBook) -> Iterator[bytes]:
    """Yield the bytes of the run in the format that the name of the file asks for, else JSON."""
    chosen = format_of_suffix(path.suffix) or format_named("json")
    export = open_export(chosen, run.info, book)
    yield from write_export(chosen, export, run.table, run.info, summarize(run.table, run.info))


def name_of_run(journal: Path) -> Path:
    """Return the output that a journal lies beside.

    Raises:
        FileError: the name is not that of a journal.
    """
    for suffix in (JOURNAL, PARTIAL):
        if journal.name.endswith(suffix):
            return journal.with_name(_NUMBERED.sub("", journal.name.removesuffix(suffix)))
    raise FileError(f"{journal} is not named like a journal (NAME{JOURNAL}); say with --output where the run goes")


def _load(info: RunInfo) -> LoadConfig:
    """Return the load of the run as its header has it; that of a run without settings where it cannot be read."""
    try:
        return msgspec.convert(info.config.get("load", {}), LoadConfig)
    except msgspec.ValidationError:
        return LoadConfig()


def _saves_text(info: RunInfo) -> bool:
    output = info.config.get("output")
    return isinstance(output, dict) and bool(output.get("save_text"))


def _with_end(info: RunInfo, table: Table, notes: tuple[str, ...]) -> RunInfo:
    """Return the header with the end of the last request that ended, or when the run was last seen after that."""
    after = table.stamp("end")
    ends = (table.column("start") + after)[after != MISSING]
    ended_ns = max(int(ends.max()) if len(ends) else info.started_ns, info.ended_ns or 0)
    says = f"{ENDED}{unrecorded_says(info.unrecorded)}"
    return msgspec.structs.replace(
        info,
        ended_ns=ended_ns,
        ended_at=_later(info, ended_ns),
        stopped_by=KILLED,
        warnings=(says, *[warning for warning in info.warnings if not warning.startswith(NOT_ENDED)], *notes),
    )


def _later(info: RunInfo, at_ns: int) -> str | None:
    """Return a time of the run's monotonic clock by the wall clock of its start; that clock may not be ours."""
    try:
        began = datetime.fromisoformat(info.started_at)
        return f"{began + timedelta(microseconds=(at_ns - info.started_ns) // 1000):%Y-%m-%dT%H:%M:%S.%fZ}"
    except (ValueError, OverflowError):
        return None
