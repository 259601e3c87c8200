"""The ground truth: when each write was due, and when it really began and ended.

Stamps are CLOCK_MONOTONIC nanoseconds, comparable between all processes of one machine.
While a response is sent a write adds two integers; the JSON form is made on demand.
"""

from __future__ import annotations

import json
from array import array
from collections import deque
from typing import IO, Any

from lens.simulator.response import Write

# Requests that are kept in memory; the log file has them all.
MAX_ENTRIES = 20_000
# Lateness is counted in microseconds up to this; what is later is counted here, its maximum is exact.
LATE_BINS = 100_000


class LogEntry:
    """One request and its answer."""

    __slots__ = (
        "accepted_ns",
        "base_ns",
        "body_hash",
        "complete_ns",
        "conn",
        "due_ns",
        "end",
        "end_ns",
        "first_byte_ns",
        "head_ns",
        "method",
        "model",
        "number",
        "path",
        "protocol",
        "session",
        "stamps",
        "status",
        "stream",
        "tls_done_ns",
        "tls_hello_ns",
        "tokens",
        "writes",
    )  # fmt: skip

    def __init__(self, conn: int, number: int, method: str, path: str) -> None:
        self.conn, self.number, self.method, self.path = conn, number, method, path
        self.protocol = self.model = ""
        self.session: str | None = None  # as a header of the request names it
        self.body_hash = ""  # SHA-256 of the request's body
        self.status = 0
        self.stream = False
        self.accepted_ns = self.first_byte_ns = self.complete_ns = self.base_ns = 0
        self.tls_hello_ns: int | None = None
        self.tls_done_ns: int | None = None
        self.head_ns: tuple[int, int] | None = None  # before and after
        self.writes: tuple[Write, ...] = ()
        self.due_ns: tuple[int, ...] = ()  # of each write, after base_ns
        self.stamps = array("q")  # before, after, before, after, ... of the writes that were made
        self.tokens: dict[str, int] = {}
        self.end = "open"  # "complete", "reset", "truncated", "client_closed", "stopped"
        self.end_ns: int | None = None

    def events(self) -> list[list[Any]]:
        """[due, before, after, kind, wire index] of each event that was sent."""
        rows: list[list[Any]] = []
        for k in range(len(self.stamps) // 2):
            due = self.base_ns + self.due_ns[k]
            before, after = self.stamps[2 * k], self.stamps[2 * k + 1]
            rows += [[due, before, after, kind, index] for kind, index, _ in self.writes[k].events]
        return rows

    def as_dict(self) -> dict[str, Any]:
        """Return the entry in the form of its JSON."""
        return {
            "conn": self.conn,
            "request_no": self.number,
            "method": self.method,
            "path": self.path,
            "protocol": self.protocol,
            "dialect": self.protocol,  # the name of this field in older logs
            "model": self.model,
            "session": self.session,
            "body_sha256": self.body_hash,
            "status": self.status,
            "stream": self.stream,
            "accepted_ns": self.accepted_ns,
            "tls_hello_ns": self.tls_hello_ns,
            "tls_done_ns": self.tls_done_ns,
            "first_byte_ns": self.first_byte_ns,
            "request_complete_ns": self.complete_ns,
            "base_ns": self.base_ns,
            "head_write_ns": list(self.head_ns) if self.head_ns else None,
            "tokens": self.tokens,
            "events": self.events(),
            "end": self.end,
            "end_ns": self.end_ns,
        }


class Log:
    """The last entries, the file with all of them, and how late the writes were."""

    def __init__(self, path: str | None = None) -> None:
        self.entries: deque[LogEntry] = deque(maxlen=MAX_ENTRIES)
        self.late_us = array("Q", bytes(8 * (LATE_BINS + 1)))
        self.max_late_ns = 0
        self.requests = 0
        self._unwritten: list[LogEntry] = []
        self._file: IO[str] | None = open(path, "w", encoding="utf-8") if path else None  # noqa: SIM115

    def add(self, entry: LogEntry) -> None:
        """Keep an entry from the start of its request; it fills while the response is sent."""
        self.requests += 1
        self.entries.append(entry)

    def finish(self, entry: LogEntry) -> None:
        """Mark an entry as complete: the file gets it with the next flush."""
        if self._file:
            self._unwritten.append(entry)

    def flush(self) -> None:
        """Write complete entries to the file; called when there is time."""
        if self._file and self._unwritten:
            for entry in self._unwritten:
                self._file.write(json.dumps(entry.as_dict(), separators=(",", ":")) + "\n")
            self._file.flush()
            self._unwritten.clear()

    def backlog(self) -> int:
        """Return how many complete entries are not in the file yet."""
        return len(self._unwritten)

    def close(self) -> None:
        """Write what is left and close the file."""
        self.flush()
        if self._file:
            self._file.close()
            self._file = None

    def reset(self) -> None:
        """Forget everything but the file."""
        self.entries.clear()
        self.late_us = array("Q", bytes(8 * (LATE_BINS + 1)))
        self.max_late_ns = self.requests = 0

    def stats(self) -> dict[str, Any]:
        """Return counts, and how late the writes began (before - due), in microseconds."""
        writes = sum(self.late_us)
        return {
            "requests": self.requests,
            "writes": writes,
            "late_p50_us": self._late_us(0.50, writes),
            "late_p99_us": self._late_us(0.99, writes),
            "late_max_us": round(self.max_late_ns / 1000, 1) if writes else None,
        }

    def _late_us(self, q: float, writes: int) -> int | None:
        """Return a percentile of lateness, by nearest rank."""
        passed = 0
        for us, count in enumerate(self.late_us):
            passed += count
            if writes and passed >= q * writes:
                return us
        return None
