"""Pauses between turns: as recorded, none, capped, or drawn from a distribution. Seeded, so that they come again."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec

from lens.errors import ConfigError
from lens.patterns import lazy_pattern
from lens.units import parse_duration_ns

# Draws a pause in nanoseconds.
Draw = Callable[[random.Random], int]
_CAP = lazy_pattern(r"cap\s*=\s*(.+)")


class Pauses(msgspec.Struct, frozen=True):
    """How the pauses of a recording are replayed."""

    people: bool = True  # False: no pauses of people; the time of tools stays
    cap_ns: int | None = None  # no pause is longer, of people or of tools
    draw: Draw | None = None  # pauses of people are drawn anew


def parse_pauses(text: str | None) -> Pauses:
    """Return what --think asks for: "recorded", "none", "cap=15s", or a distribution as parse_draw() reads it.

    Raises:
        ConfigError: it is none of these.
    """
    said = (text or "recorded").strip()
    if said == "recorded":
        return Pauses()
    if said == "none":
        return Pauses(people=False)
    if cap := _CAP.fullmatch(said):
        return Pauses(cap_ns=_duration_ns(cap[1], said))
    return Pauses(draw=parse_draw(said))


def parse_draw(text: str, option: str = "--think") -> Draw:
    """Return what draws times of "2s" (always), "1s-3s" (even), "2s:exp" (exponential) or "2s:500ms" (normal).

    Raises:
        ConfigError: it is none of these.
    """
    said = text.strip()
    first, colon, second = (part.strip() for part in said.partition(":"))
    low, dash, high = (part.strip() for part in first.partition("-"))
    if dash and not colon:
        bounds = _duration_ns(low, said, option), _duration_ns(high, said, option)
        if bounds[0] > bounds[1]:
            raise ConfigError(f"{option} {text!r}: from less to more, like 1s-3s")
        return lambda generator: generator.randint(*bounds)
    mean = _duration_ns(first, said, option)
    if not colon:
        return lambda _: mean
    if second == "exp":
        return lambda generator: round(generator.expovariate(1 / mean)) if mean else 0
    deviation = _duration_ns(second, said, option)
    return lambda generator: max(round(generator.gauss(mean, deviation)), 0)


def parse_tools(text: str) -> tuple[float, Draw]:
    """Return the share of turns that tools come before, and what draws their time, of "0.3:1s" or "0.3:1s:exp".

    Raises:
        ConfigError: it is neither.
    """
    share, colon, time = text.partition(":")
    try:
        found = float(share)
    except ValueError:
        found = -1.0
    if not colon or not 0 <= found <= 1:
        raise ConfigError(f"--tools {text!r}: write SHARE:TIME, like 0.3:1s or 0.3:1s:exp")
    return found, parse_draw(time, "--tools")


def _duration_ns(text: str, whole: str, option: str = "--think") -> int:
    try:
        return parse_duration_ns(text)
    except ValueError:
        raise ConfigError(
            f"{option} {whole!r}: write recorded, none, cap=15s, or a time: 2s, 1s-3s, 2s:exp, 2s:500ms (mean:SD)"
            if option == "--think"
            else f"{option} {whole!r}: write SHARE:TIME, like 0.3:1s, 0.3:1s-3s or 0.3:1s:exp"
        ) from None
