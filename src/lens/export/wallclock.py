"""Wall-clock times as other systems want them: int nanoseconds since 1970, without a float between."""

from __future__ import annotations

from datetime import datetime

from lens.model import Record
from lens.units import NS_PER_S


def unix_ns(timestamp: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 timestamp; datetime knows only microseconds."""
    whole, _, rest = timestamp.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    zone = rest[len(digits) :] if rest else ""
    seconds = datetime.fromisoformat(whole + zone.replace("Z", "+00:00")).timestamp()
    return int(seconds) * NS_PER_S + int(digits.ljust(9, "0")[:9] or 0)


def start_unix_ns(record: Record) -> int:
    """When work on the request began; timestamp and Stamps.start are the same instant."""
    return unix_ns(record.timestamp)


def end_unix_ns(record: Record) -> int | None:
    """When it ended, by the monotonic clock from its start on; None when it never did."""
    end = record.stamps.end
    return None if end is None else start_unix_ns(record) + end - record.stamps.start
