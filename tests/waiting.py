"""Waiting for something that is observed, never for a time that should be enough.

HANG_S ends a test that would wait for ever. It says nothing about how fast anything is: a busy machine may take ten
times as long as a quiet one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

HANG_S = 180
LISTENS = "0A"  # the state of a socket in /proc/net/tcp
T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: object = "", *, within_s: float = HANG_S) -> T:
    """Return the first true value of `condition`; AssertionError with `what`, called if it can be, after HANG_S."""
    end = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < end, what() if callable(what) else what or "never became true"
        time.sleep(0.02)
    return found


def limits(first: float) -> Iterator[float]:
    """Yield a limit of time to try, and longer ones for a machine that did not get to what is tested within it."""
    yield from (first, 10 * first, 100 * first)


def all_read(port: int) -> bool:
    """Return whether all that was sent over TCP to or from a port of this machine has been read (Linux tells)."""
    table = Path("/proc/net/tcp")
    rows = [line.split() for line in table.read_text().splitlines()[1:]] if table.exists() else []
    ours = [row for row in rows if row[3] != LISTENS and port in (int(end.split(":")[1], 16) for end in row[1:3])]
    return all(set(row[4]) <= set("0:") for row in ours)


def holds(path: Path, size: int) -> Callable[[], bool]:
    """Return a condition: the file is there and has at least `size` bytes."""
    return lambda: path.exists() and path.stat().st_size >= size
