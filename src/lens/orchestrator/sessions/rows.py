"""The rows of a session file, whatever its format: JSON Lines, a JSON array, or an object that holds one.

A row knows where it stands; one that cannot be used says why by UnusableRow, is counted, and the rest is read.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from lens.errors import FileError
from lens.orchestrator.sessions.session import Message
from lens.orchestrator.text_file import read_text
from lens.parsing import parse_json, text_lines
from lens.units import NS_PER_S

# Longer pauses than this are a slip: a day.
MOST_PAUSE_NS = 86_400 * NS_PER_S
_SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv")
_LISTS = ("sessions", "data", "traces")


class UnusableRow(FileError):
    """A row of which nothing can be sent; the rest of the file is read all the same."""


class Row(NamedTuple):
    """One item of a file."""

    where: str  # "line 3", "item 3"
    value: dict[str, Any]


def read_rows(path: Path) -> tuple[list[Row], list[UnusableRow]]:
    """Return the rows of a file, or of all files of a folder, and those that are none.

    Raises:
        FileError: a file cannot be read, or the folder has none.
    """
    if not path.is_dir():
        return _read_file(path)
    rows: list[Row] = []
    unusable: list[UnusableRow] = []
    files = sorted(one for one in path.iterdir() if one.suffix in _SUFFIXES)
    if not files:
        raise FileError(f"session folder {path}: no file in it that ends with {', '.join(_SUFFIXES)}")
    for one in files:
        found, others = _read_file(one)
        rows += [Row(f"{one.name}: {row.where}", row.value) for row in found]
        unusable += [UnusableRow(f"{one.name}: {error}") for error in others]
    return rows, unusable


def _read_file(path: Path) -> tuple[list[Row], list[UnusableRow]]:
    text = read_text(path, "session file")
    rows, unusable = [], []
    for where, value in _csv_rows(text, path) if path.suffix == ".csv" else _items(text):
        if isinstance(value, dict):
            rows.append(Row(where, value))
        else:
            why = str(value) if isinstance(value, ValueError) else "an object is wanted"
            unusable.append(UnusableRow(f"{where}: {why}"))
    return rows, unusable


def _items(text: str) -> Iterator[tuple[str, Any]]:
    """Yield the items with their places; a ValueError in place of one that is no JSON."""
    head = text.lstrip()[:1]
    if head == "[" or (head == "{" and not _is_line(text)):
        try:
            whole = parse_json(text)
        except ValueError:
            whole = None
        if isinstance(whole, dict):
            whole = next((whole[name] for name in _LISTS if isinstance(whole.get(name), list)), [whole])
        if isinstance(whole, list):
            yield from [(f"item {number}", item) for number, item in enumerate(whole, 1)]
            return
    for number, line in enumerate(text_lines(text), 1):
        if line.strip():
            try:
                yield f"line {number}", parse_json(line)
            except ValueError as error:
                yield f"line {number}", error


def _csv_rows(text: str, path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the rows of a table with a header line."""
    import csv

    try:
        for number, row in enumerate(csv.DictReader(io.StringIO(text, newline="")), 1):
            yield f"row {number}", row
    except csv.Error as error:
        raise FileError(f"session file {path}: {error}") from None


def _is_line(text: str) -> bool:
    """Return whether the first line that is not blank is JSON by itself and others follow."""
    lines = [line for line in text_lines(text) if line.strip()]
    if len(lines) < 2:
        return False
    try:
        parse_json(lines[0])
    except ValueError:
        return False
    return True


def messages_in(value: Any, where: str) -> list[Message]:
    """Return a list of chat messages.

    Raises:
        UnusableRow: it is none.
    """
    if not isinstance(value, list) or not value:
        raise UnusableRow(f"{where}: a list of messages is wanted")
    for message in value:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise UnusableRow(f"{where}: a message has no role")
    return value


def count_in(value: Any) -> int | None:
    """Return a whole number above zero; None where it is anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def pause_ns(value: Any, unit_ns: int, where: str, name: str) -> int:
    """Return a pause in nanoseconds; 0 where none is given.

    Raises:
        UnusableRow: it is no time, below zero, or longer than a day.
    """
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value * unit_ns <= MOST_PAUSE_NS:
        raise UnusableRow(f"{where}: {name} {value!r} is no pause of a day at most")
    return round(value * unit_ns)


def time_ns(value: Any, unit_ns: int, where: str, name: str = "timestamp") -> int | None:
    """Return an instant in nanoseconds; None where none is given.

    Raises:
        UnusableRow: it is no time, or below zero.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value * unit_ns < 2**62:
        raise UnusableRow(f"{where}: {name} {value!r} is no time")
    return round(value * unit_ns)
