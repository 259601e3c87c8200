"""Run files as an export: the header, a request a line or a message, and the header again.

The header says how many requests follow, so that a file which lost some is known for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from msgspec.structs import replace

from lens.export.request_json import encode_requests
from lens.history.write import MAGIC, json_line, message
from lens.metrics.summary import Summary
from lens.metrics.table import Table
from lens.model import RunInfo
from lens.pricing import PriceBook

TOGETHER = 256  # requests in one piece


class JsonLines:
    """The run file for people and tools."""

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:
        """Takes what every export takes."""

    def write(self, table: Table, info: RunInfo, summary: Summary) -> Iterator[bytes]:  # noqa: ARG002 - not in it
        header = json_line(replace(info, requests=len(table)))
        yield header
        yield from request_lines(table)
        yield header


class Packed:
    """The run file for size: the records and nothing beside them."""

    def __init__(self, info: RunInfo, book: PriceBook, *, single: bool = False) -> None:
        """Takes what every export takes."""

    def write(self, table: Table, info: RunInfo, summary: Summary) -> Iterator[bytes]:  # noqa: ARG002 - not in it
        header = message(replace(info, requests=len(table)))
        yield MAGIC + header
        yield from _together(map(message, table.records()))
        yield header


def request_lines(table: Table) -> Iterator[bytes]:
    """Yield the lines of requests, some in each piece."""
    return _together(line + b"\n" for line in encode_requests(table))


def _together(items: Iterator[bytes]) -> Iterator[bytes]:
    while piece := b"".join(islice(items, TOGETHER)):
        yield piece
