"""Goodput: which requests kept every promise that a user was made (SLO), and how many a second they are.

A request is good when it succeeded and every figure is within its limit. A figure that was not measured
keeps no promise; only the pace of an answer that came in one piece is good, for nothing came after it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

import msgspec

from lens.arrays.dispatch import np
from lens.errors import ConfigError, did_you_mean
from lens.metrics.columns import Column
from lens.metrics.definitions import METRICS, Metric, metric_named
from lens.metrics.table import Table
from lens.patterns import lazy_pattern
from lens.units import parse_number

_FORM = lazy_pattern(r"([A-Za-z_]\w*)\s*(?::|<=|>=|=)\s*(\d+\.?\d*|\.\d+)\s*(us|ms|s)?")
_OF_CALLS = "tool_"  # of a request: of its first, its last or its slowest call
_PACE = ("tpot_ms", "itl_ms", "inter_chunk_ms")
_AFTER_FIRST = frozenset({"last_token", "token_events"})  # what a metric of the pace is read from
EXAMPLE = "write --goodput ttft:200 tpot:50 e2el:1000 (times in ms)"


class Slo(msgspec.Struct, frozen=True):
    """What one figure of a request must keep, in the metric's unit."""

    metric: str
    limit: float

    @property
    def at_least(self) -> bool:
        """Whether the limit is the least that is good."""
        return METRICS[self.metric].better == "higher"

    def __str__(self) -> str:
        return f"{self.metric} {'>=' if self.at_least else '<='} {self.limit:g}"


def parse_slos(text: str) -> tuple[Slo, ...]:
    """SLOs as people of vllm and aiperf write them: "ttft:200 tpot:50"; a limit may bear its unit (1s).

    Raises:
        ConfigError: one is none; the message says what would be one.
    """
    found = tuple([_parse(part) for part in re.split(r"[\s,]+", text.strip()) if part])
    if not found:
        raise ConfigError(f"goodput {text!r}: no SLO; {EXAMPLE}")
    return found


def _parse(text: str) -> Slo:
    parts = _FORM.fullmatch(f"{text}:1" if text == "valid" else text)
    if parts is None:
        raise ConfigError(f"goodput {text!r}: expected a metric and a limit; {EXAMPLE}")
    name, limit, unit = parts.groups()
    usable = [m.name for m in METRICS.values() if m.kind == "request" or m.name.startswith((*_PACE, _OF_CALLS))]
    metric = None
    for candidate in (name, f"{name}_ms", f"{name}_us"):
        try:
            metric = metric_named(candidate)
        except KeyError:
            continue
        break
    if metric is None:
        known = [*usable, *[alias for one in usable for alias in METRICS[one].aliases]]
        raise ConfigError(f"goodput {text!r}: no metric {name!r}; {did_you_mean(name, known, then=EXAMPLE)}")
    if metric.name not in usable:
        raise ConfigError(f"goodput {text!r}: {metric.name} is not a metric of a single request; {EXAMPLE}")
    try:
        value = parse_number(limit)
    except ValueError as error:
        raise ConfigError(f"goodput {text!r}: {error}; {EXAMPLE}") from None
    if unit:
        value = in_unit_of(metric, value, unit, f"goodput {text!r}")
    return Slo(metric.name, value)


def in_unit_of(metric: Metric, value: float, unit: str, what: str) -> float:
    """Return a time that was written in us, ms or s in the unit of a metric.

    Raises:
        ConfigError: it is no metric of time; `what` begins the message.
    """
    if metric.unit not in ("ms", "us"):
        raise ConfigError(f"{what}: {metric.name} is in {metric.unit}, not a time")
    return value * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit] * (1000 if metric.unit == "us" else 1)


def _of_session(name: str, whole: Table) -> Column:
    """Return a metric of sessions at each of their turns."""
    return whole.sessions.everywhere(whole.metric(name))


def keep_slos(table: Table, slos: Sequence[Slo]) -> Column:
    """Return which requests of a table kept every SLO, as bool."""
    good = np.ones_like(table.success, dtype=bool)
    for slo in slos:
        column = table.metric(slo.metric)
        if METRICS[slo.metric].of_session and table.has_sessions:
            column = table.of_whole(partial(_of_session, slo.metric))
        kept = column >= slo.limit if slo.at_least else column <= slo.limit
        good &= kept | without_pace(table, slo.metric)
    return good


def without_pace(table: Table, name: str) -> Column:
    """Return of which requests a metric is the pace of an answer in one piece, as bool: it is good, nothing came after.

    Of a pace are also stalls and gaps: all that needs more than the first token.
    """
    found: Column = (table.n == 1) & (not _AFTER_FIRST.isdisjoint(METRICS[name].read_from))
    return found
