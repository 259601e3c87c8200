"""Times of a trace that is replayed: JSON Lines as Mooncake's, and the CSV of Azure and BurstGPT.

Azure's rows have TIMESTAMP, ContextTokens and GeneratedTokens, BurstGPT's have Timestamp in seconds, Request tokens and
Response tokens. A row of such a table that cannot be used is counted and named; the rest is replayed.

Sources: https://github.com/Azure/AzurePublicDataset (AzureLLMInferenceDataset2023.md, 2024.md),
https://github.com/HPMLL/BurstGPT
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from lens.errors import FileError
from lens.orchestrator.synthetic import MOST_WORDS
from lens.orchestrator.text_file import read_text
from lens.parsing import parse_json, text_lines
from lens.units import NS_PER_MS, NS_PER_S, parse_count

MOST_NS = 2**62
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Columns of time, input and output tokens.
_AZURE = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_BURSTGPT = ("Timestamp", "Request tokens", "Response tokens")


class TraceRow(NamedTuple):
    """One request of a table."""

    number: int  # of its row, from 1 on
    at_ns: int
    asked: int  # tokens
    answered: int  # tokens; 0 where it failed


def read_trace_ns(path: Path, warnings: list[str] | None = None) -> list[int]:
    """Return the timestamps of a trace, in ns: rows of a table, or JSON Lines with `timestamp` (ms) or `timestamp_s`.

    Rows of a table that were left out are counted in `warnings`.

    Raises:
        FileError: it cannot be read, or a line holds no timestamp.
    """
    text = read_text(path, "trace")
    if path.suffix == ".csv":
        return [row.at_ns for row in table_rows(text, path, warnings)]
    times = [
        _line_ns(line, f"trace {path}: line {number}")
        for number, line in enumerate(text_lines(text), 1)
        if line.strip()
    ]
    if not times:
        raise FileError(f"trace {path}: it is empty")
    return times


def _line_ns(line: str, where: str) -> int:
    try:
        item = parse_json(line.encode(), dict[str, Any])
    except ValueError as error:
        raise FileError(f"{where}: {error}") from None
    units = (("timestamp", NS_PER_MS), ("timestamp_s", NS_PER_S))
    found = [(item[name], unit) for name, unit in units if isinstance(item.get(name), int | float)]
    if not found:
        raise FileError(f"{where} has no timestamp (ms) or timestamp_s")
    value: int | float = found[0][0]
    unit = found[0][1]
    if not 0 <= value < MOST_NS / unit:
        raise FileError(f"{where}: its timestamp is no time of a trace")
    return round(value * unit)


def is_table(names: Sequence[str]) -> bool:
    """Return whether these columns are those of a trace."""
    return any(set(columns) <= set(names) for columns in (_AZURE, _BURSTGPT))


def table_rows(text: str, path: Path, warnings: list[str] | None = None) -> list[TraceRow]:
    """Return the requests of a table with Azure's or BurstGPT's columns, in its order.

    Raises:
        FileError: it has other columns, or no row of it can be used.
    """
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""))
        names, rows = reader.fieldnames or [], list(reader)
    except csv.Error as error:
        raise FileError(f"trace {path}: {error}") from None
    columns = next((one for one in (_AZURE, _BURSTGPT) if set(one) <= set(names)), None)
    if columns is None:
        raise FileError(
            f"trace {path}: no columns {', '.join(_AZURE)} (Azure) or {', '.join(_BURSTGPT)} (BurstGPT); its columns "
            f"are {', '.join(names) or 'none'}"
        )
    found: list[TraceRow] = []
    unusable: list[str] = []
    for number, row in enumerate(rows, 1):
        values = [(row.get(name) or "").strip() for name in columns]
        at_ns = _azure_ns(values[0]) if columns is _AZURE else _seconds_ns(values[0])
        asked, answered = (parse_count(value) for value in values[1:])
        if at_ns is None or not asked or asked > MOST_WORDS or answered is None:
            unusable.append(f"row {number}: {', '.join(values)}")
        else:
            found.append(TraceRow(number, at_ns, asked, answered))
    if not found:
        first = f"; the first: {unusable[0]}" if unusable else ""
        raise FileError(f"trace {path}: no row of it can be used{first}")
    if unusable and warnings is not None:
        said = f"trace {path}: {len(unusable):,} of {len(rows):,} rows could not be used; the first: {unusable[0]}"
        warnings += [said] if said not in warnings else []
    return found


def _azure_ns(text: str) -> int | None:
    """Return a time like 2023-11-16 18:17:03.9799600 in ns since 1970; None where it is none."""
    whole, dot, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    try:
        at = datetime.fromisoformat(whole + rest[len(digits) :])
    except ValueError:
        return None
    if dot and not digits:
        return None
    seconds = int((at.replace(tzinfo=at.tzinfo or UTC) - _EPOCH).total_seconds())
    return seconds * NS_PER_S + int(digits[:9].ljust(9, "0") or 0)


def _seconds_ns(text: str) -> int | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return round(value * NS_PER_S) if 0 <= value < MOST_NS / NS_PER_S else None
