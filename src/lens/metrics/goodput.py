"""Goodput: which requests kept every promise that a user was made (SLO), and how many a second they are.

A request is good when it succeeded and every figure is within its limit. A figure that was not measured
keeps no promise; only the pace of an answer that came in one piece is good, for nothing came after it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from lens.errors import ConfigError, did_you_mean
from lens.metrics.definitions import METRICS, metric_named
from lens.units import NS_PER_MS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lens.metrics.batch import Batch

_FORM = re.compile(r"([A-Za-z_]\w*)\s*(?::|<=|>=|=)\s*(\d+\.?\d*|\.\d+)\s*(us|ms|s)?")
_UNIT_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_PACE = ("tpot_ms", "itl_ms", "inter_chunk_ms")
EXAMPLE = "write --goodput ttft:200 tpot:50 e2el:1000 (times in ms)"


class Slo(msgspec.Struct, frozen=True):
    """What one figure of a request must keep, in the metric's unit."""

    metric: str
    limit: float

    @property
    def at_least(self) -> bool:
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
    parts = _FORM.fullmatch(text)
    if parts is None:
        raise ConfigError(f"goodput {text!r}: a metric and a limit are wanted; {EXAMPLE}")
    name, limit, unit = parts.groups()
    usable = [m.name for m in METRICS.values() if m.kind == "request" or m.name in _PACE]
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
        raise ConfigError(f"goodput {text!r}: {metric.name} is no figure of one request; {EXAMPLE}")
    value = float(limit)
    if unit:
        if metric.unit not in ("ms", "us"):
            raise ConfigError(f"goodput {text!r}: {metric.name} is in {metric.unit}, not a time")
        value *= _UNIT_MS[unit] * (1000 if metric.unit == "us" else 1)
    return Slo(metric.name, value)


def met(batch: Batch, figures: Mapping[str, NDArray[Any]], slos: Sequence[Slo]) -> NDArray[Any]:
    """Which requests of a batch kept every SLO, as bool; figures: columns by name, NaN where not measured."""
    import numpy as np

    good = np.ones(len(batch), dtype=bool)
    for slo in slos:
        column = _pace(batch, slo.metric) if slo.metric not in figures else figures[slo.metric]
        kept = column >= slo.limit if slo.at_least else column <= slo.limit
        good &= kept | ((batch.n == 1) if slo.metric in _PACE else False)
    return good


def _pace(batch: Batch, name: str) -> NDArray[Any]:
    """Of each request the mean of its gaps, in ms."""
    import numpy as np

    if name == "itl_ms":
        gaps, into, of = batch.token_gaps()
    else:
        gaps, of = batch.gaps
        into = np.ones_like(gaps)
    n = np.bincount(of, weights=into, minlength=len(batch))
    return np.bincount(of, weights=gaps, minlength=len(batch)) / np.where(n > 0, n, np.nan) / NS_PER_MS
