"""Nanoseconds inside, people's units at the edge; converted here and nowhere else."""

from __future__ import annotations

import re
from math import isfinite

from lens.patterns import lazy_pattern

NS_PER_US = 1_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
# A century; nanoseconds of 292 years fit into 64 bits.
MOST_NS = 100 * 366 * 86_400 * NS_PER_S
# One a nanosecond: at a higher rate two requests have no times of their own.
MOST_PER_S = 1e9

_UNIT_NS = {
    "ns": 1,
    "us": NS_PER_US,
    "ms": NS_PER_MS,
    "s": NS_PER_S,
    "m": 60 * NS_PER_S,
    "min": 60 * NS_PER_S,
    "h": 3600 * NS_PER_S,
    "d": 86400 * NS_PER_S,
}
_PART_TEXT = r"(\d+(?:\.\d*)?|\.\d+)\s*(ns|us|ms|min|s|m|h|d)"
_PART = lazy_pattern(_PART_TEXT)
# Parts and nothing else: to search long text for parts that are not there takes the square of its length.
_PARTS = lazy_pattern(rf"(?:{_PART_TEXT} *)+")


def ms(ns: int | float) -> float:
    """Return nanoseconds as milliseconds."""
    return ns / NS_PER_MS


def us(ns: int | float) -> float:
    """Return nanoseconds as microseconds."""
    return ns / NS_PER_US


def seconds(ns: int | float) -> float:
    """Return nanoseconds as seconds."""
    return ns / NS_PER_S


def parse_duration_ns(text: str) -> int:
    """Return a duration in ns from how people write it: "60" (seconds), "60s", "1m30s", "500ms", "1.5h".

    Raises:
        ValueError: it is not a duration; the message says what would be one.
    """
    stripped = text.strip()
    if re.fullmatch(r"\d+(\.\d*)?|\.\d+", stripped):
        length_ns = float(stripped) * NS_PER_S
    elif _PARTS.fullmatch(stripped):
        length_ns = sum(float(p.group(1)) * _UNIT_NS[p.group(2)] for p in _PART.finditer(stripped))
    else:
        raise ValueError(f"{text!r} is not a duration; write 60, 60s, 1m30s or 500ms")
    if length_ns > MOST_NS:
        raise ValueError(f"{text!r} is not a duration of at most a century; write 60, 60s, 1m30s or 500ms")
    return round(length_ns)


def parse_count(text: str) -> int | None:
    """Return a whole number of at most 18 digits 0 to 9; None where the text is anything else, like "\u00b3"."""
    said = text.strip()
    return int(said) if re.fullmatch(r"[0-9]{1,18}", said) else None


def parse_rate_per_s(text: str) -> float:
    """Requests per second from "10", "10/s", "600/m" or "36000/h".

    Raises:
        ValueError: it is not a rate above zero, or more than MOST_PER_S.
    """
    number, _, per = text.strip().partition("/")
    try:
        rate = float(number) / {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}[per.strip()]
    except (ValueError, KeyError):
        raise ValueError(f"{text!r} is not a rate; write 10, 10/s or 600/m") from None
    if not 0 < rate < float("inf"):
        raise ValueError(f"{text!r} is not a rate above zero")
    if rate > MOST_PER_S:
        raise ValueError(f"{text!r} is not a rate of at most {MOST_PER_S:,.0f} a second; write 10, 10/s or 600/m")
    return rate


def parse_number(text: str) -> float:
    """Return a number from "0.7" or "1e3".

    Raises:
        ValueError: it is none, or not finite: no request and no result can hold it.
    """
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None
    if not isfinite(number):
        raise ValueError(f"{text!r} is not a finite number")
    return number


def human_duration(ns: int | float) -> str:
    """Return a duration in the unit that leaves one to three digits before the point."""
    for unit, size in (("s", NS_PER_S), ("ms", NS_PER_MS), ("us", NS_PER_US)):
        if abs(ns) >= size:
            return f"{ns / size:.2f} {unit}"
    return f"{ns:.0f} ns"
