"""Wall-clock times as other systems want them: whole nanoseconds since 1970, without a float between."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from lens.history.lean import MISSING
from lens.metrics.columns import Column, Columns
from lens.units import NS_PER_S, NS_PER_US


def unix_ns(timestamp: str) -> int:
    """Return an RFC 3339 timestamp as nanoseconds since 1970; datetime knows only microseconds.

    Raises:
        ValueError: it is no timestamp.
    """
    whole, _, rest = timestamp.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    zone = rest[len(digits) :] if rest else ""
    seconds = datetime.fromisoformat(whole + zone.replace("Z", "+00:00")).timestamp()
    return int(seconds) * NS_PER_S + int(digits.ljust(9, "0")[:9] or 0)


def start_unix_ns(table: Columns) -> Column:
    """Return when each request started; MISSING where that is not known, or too far away for int64."""
    wall_us = table.column("wall_us")
    known = np.abs(wall_us) < 2**63 // NS_PER_US  # the absolute value of MISSING is itself, which is negative
    known &= wall_us != MISSING
    return np.where(known, wall_us, 0) * NS_PER_US + np.where(known, 0, MISSING)


def end_unix_ns(table: Columns) -> Column:
    """Return when each request ended, by the monotonic clock from its start on; of one that never did its start."""
    start, end = start_unix_ns(table), table.stamp("end")
    return np.where((end == MISSING) | (start == MISSING), start, start + end)


def unix_s(at_ns: Column) -> Column:
    """Return nanoseconds since 1970 as float64 seconds, as exact as these are."""
    found: Column = at_ns // NS_PER_S + at_ns % NS_PER_S / NS_PER_S
    return found
