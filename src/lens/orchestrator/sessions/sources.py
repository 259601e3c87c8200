"""Session files in the formats that people have; which one a file is in is told by its rows.

A row that cannot be used is counted and named in a warning; a file of nothing usable is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace

from lens.errors import ConfigError, FileError, did_you_mean
from lens.orchestrator.sessions.aiperf import is_dag, is_multi_turn, read_dag, read_multi_turn
from lens.orchestrator.sessions.conversations import is_messages, is_sharegpt, read_messages, read_sharegpt
from lens.orchestrator.sessions.mlperf import is_mlperf, read_mlperf
from lens.orchestrator.sessions.mooncake import is_burstgpt, is_mooncake, read_burstgpt, read_mooncake
from lens.orchestrator.sessions.otel import is_otel, read_otel
from lens.orchestrator.sessions.rows import Row, UnusableRow, read_rows
from lens.orchestrator.sessions.session import AUTO, RUN, Session
from lens.orchestrator.sessions.weka import is_weka, read_weka


class Format(NamedTuple):
    """A format of session files."""

    name: str
    matches: Callable[[dict[str, Any]], bool]  # whether a row is of this format
    read: Callable[[Sequence[Row]], Iterable[Session | UnusableRow]]


# The first that matches is meant: what is told by more stands before what is told by less.
FORMATS = (
    Format("otel", is_otel, read_otel),
    Format("weka", is_weka, read_weka),
    Format("mlperf", is_mlperf, read_mlperf),
    Format("burstgpt", is_burstgpt, read_burstgpt),
    Format("sharegpt", is_sharegpt, read_sharegpt),
    Format("aiperf-dag", is_dag, read_dag),
    Format("aiperf", is_multi_turn, read_multi_turn),
    Format("mooncake", is_mooncake, read_mooncake),
    Format("messages", is_messages, read_messages),
)
NAMES = (*[one.name for one in FORMATS], RUN)


def read_sessions(path: Path, format_name: str, warnings: list[str]) -> tuple[tuple[Session, ...], str]:
    """Return the sessions of a file and the name of its format; what was left out is added to `warnings`.

    Raises:
        FileError: it cannot be read, its format is not known, or nothing of it can be used.
        ConfigError: there is no format of that name.
    """
    rows, unusable = read_rows(path)
    found = _format_of(path, format_name, rows, unusable)
    sessions: list[Session] = []
    for one in found.read(rows):
        (unusable if isinstance(one, UnusableRow) else sessions).append(one)  # type: ignore[arg-type]
    if not sessions:
        first = f"; the first: {unusable[0]}" if unusable else ""
        raise FileError(f"session file {path}: nothing of it can be used as {found.name}{first}")
    if unusable:
        many = "1 row" if len(unusable) == 1 else f"{len(unusable):,} rows"
        warnings.append(f"session file {path}: {many} could not be used ({found.name}); the first: {unusable[0]}")
    return tuple(_with_unique_names(sessions)), found.name


def _format_of(path: Path, name: str, rows: Sequence[Row], unusable: Sequence[UnusableRow]) -> Format:
    if name != AUTO:
        found = next((one for one in FORMATS if one.name == name), None)
        if found is None:
            hint = did_you_mean(name, NAMES, otherwise=f"there are {AUTO}, {', '.join(NAMES)}")
            raise ConfigError(f"--session-format {name!r} is not known; {hint}")
        return found
    for row in rows:
        for one in FORMATS:
            if one.matches(row.value):
                return one
    if not rows:
        why = f"; the first: {unusable[0]}" if unusable else ""
        raise FileError(f"session file {path}: no row of JSON in it{why}")
    keys = ", ".join(list(rows[0].value)[:8]) or "none"
    raise FileError(
        f"session file {path}: no known format; the keys of {rows[0].where} are {keys}. "
        f"Give --session-format: {', '.join(NAMES)}"
    )


def _with_unique_names(sessions: Sequence[Session]) -> list[Session]:
    """Return the sessions, those whose id another one has under an id of their own."""
    seen: set[str] = set()
    made = []
    for number, session in enumerate(sessions):
        name = session.id if session.id not in seen else f"{session.id}-{number}"
        seen.add(name)
        made.append(session if name == session.id else replace(session, id=name))
    return made
