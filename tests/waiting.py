"""Waiting for something that is observed, never for a time that should be enough.

HANG_S ends a test that would wait for ever. It says nothing about how fast anything is: a busy machine may take ten
times as long as a quiet one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

HANG_S = 180
T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: object = "", *, within_s: float = HANG_S) -> T:
    """Return the first true value of `condition`; AssertionError with `what`, called if it can be, after HANG_S."""
    end = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < end, what() if callable(what) else what or "never became true"
        time.sleep(0.02)
    return found


def holds(path: Path, size: int) -> Callable[[], bool]:
    """Return a condition: the file is there and has at least `size` bytes."""
    return lambda: path.exists() and path.stat().st_size >= size
