"""Thresholds: `ttft_p95<1000` and all the other ways in which people write that.

A threshold names a metric, a statistic and a limit. Without a statistic the mean is meant. What was
not measured fails: a gate that cannot see must not open.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import isnan
from sys import float_info
from typing import Any, Literal

import msgspec

from lens.analysis.stats import statistic_of
from lens.arrays.dispatch import numpy_array
from lens.errors import ConfigError, did_you_mean
from lens.metrics.definitions import METRICS, Metric, metric_named
from lens.metrics.distribution import values_needed
from lens.metrics.goodput import in_unit_of
from lens.metrics.ordered_values import ordered_values
from lens.metrics.summary import Summary
from lens.metrics.table import Table
from lens.units import parse_duration_ns, parse_number

Operator = Literal["<", "<=", ">", ">="]
_FORM = re.compile(r"\s*([A-Za-z_][\w.]*?)\s*(?:=\s*)?(<=|>=|<|>|:|=)\s*(\S+)\s*")
_LIMIT = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*(%|us|ms|s)?", re.IGNORECASE)
_ABORT = re.compile(r"(.*\S)\s+abort(?:\s*=\s*(\S+))?\s*")
_OPERATORS: dict[str, Operator] = {"<": "<", "<=": "<=", ">": ">", ">=": ">="}
# What is read of an answer before it is known to fail.
_OF_ANSWERS = frozenset(("first_token", "first_output_token", "first_reasoning_token", "hidden_thinking", "tool_calls"))
EXAMPLE = "write 'ttft_p95<1000' in quotes (without them the shell takes < for a redirection), or ttft_p95:1000"


class Threshold(msgspec.Struct, frozen=True, kw_only=True):
    """A limit that a run must keep."""

    metric: str
    statistic: str  # "mean", "p95", ...; "" for a metric of a whole run
    operator: Operator
    limit: float  # in the metric's unit
    severity: Literal["error", "warning"] = "error"
    abort_ns: int | None = None  # after so long a run that does not keep it is ended; None: it is judged at the end

    def __str__(self) -> str:
        name = f"{self.metric} {self.statistic}".strip()
        return f"{name} {self.operator} {self.limit:g}"

    @property
    def text(self) -> str:
        """The threshold as `parse_threshold` reads it."""
        name = "_".join(filter(None, (self.metric, self.statistic)))
        return f"{name}{self.operator}{self.limit:.15g}"

    def kept(self, actual: float) -> bool:
        """Return whether a value meets the threshold."""
        return {
            "<": actual < self.limit,
            "<=": actual <= self.limit,
            ">": actual > self.limit,
            ">=": actual >= self.limit,
        }[self.operator]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a run keeps a threshold, and by which figure."""

    threshold: Threshold
    actual: float | None  # None: not measured, or too few values
    kept: bool
    reason: str | None = None  # why there is no figure
    n: int = 0  # values it was judged by


def parse_threshold(text: str) -> Threshold:
    """Return a threshold as it is typed: ttft_p95<1000, ttft_p95:1000, ttft_p95=<=1000, tokens_per_second>15.

    With a colon or a plain = the direction is the metric's own: times below, rates above. Limits may
    bear a unit (1s, 500ms, 99%). With "abort", or "abort=30s" for a delay, it ends a run that does not keep it.

    Raises:
        ConfigError: the text is no threshold; the message says what would be one.
    """
    aborts = _ABORT.fullmatch(text)
    found = _FORM.fullmatch(aborts[1] if aborts else text)
    if found is None:
        raise ConfigError(f"threshold {text!r}: expected a metric and a limit; {EXAMPLE}")
    name, operator, limit = found.groups()
    metric, statistic = metric_and_statistic(name, f"threshold {text!r}")
    towards: Operator = ">=" if metric.better == "higher" else "<="
    return Threshold(
        metric=metric.name,
        statistic=statistic,
        operator=_OPERATORS.get(operator, towards),
        limit=_limit(limit, metric, text),
        abort_ns=_delay_ns(aborts[2] or "0", text) if aborts else None,
    )


def _delay_ns(delay: str, whole: str) -> int:
    try:
        return parse_duration_ns(delay)
    except ValueError as error:
        raise ConfigError(f"threshold {whole!r}: abort: {error}") from None


def metric_and_statistic(name: str, of: str = "") -> tuple[Metric, str]:
    """Return the metric and the statistic of `ttft_p95`, `ttft_p95_ms`, `p95_ttft_ms`, `itl_mean`, `success_rate`.

    of: what names it, before the message.

    Raises:
        ConfigError: no metric of that name; the message names the nearest.
    """
    words = [word for word in re.sub(r"(?<=p\d\d)\.(?=\d)", "_", name.lower()).split("_") if word]
    statistic = ""
    rest: list[str] = []
    at = 0
    while at < len(words):
        word = words[at]
        if re.fullmatch(r"p\d{1,2}", word) and not statistic:
            statistic = word
            if at + 1 < len(words) and re.fullmatch(r"[0-9]{1,9}", words[at + 1]):  # p99_9
                at += 1
                statistic += f".{words[at]}"
        elif word in ("mean", "avg", "median", "min", "max", "std") and not statistic and (rest or at == 0):
            statistic = {"avg": "mean", "std": "std_dev", "median": "p50"}.get(word, word)
        else:
            rest.append(word)
        at += 1
    metric = _metric("_".join(rest), of)
    if metric.kind == "run":
        return metric, ""
    return metric, statistic or "mean"


def _metric(name: str, of: str) -> Metric:
    for candidate in (name, f"{name}_ms", f"{name}_us", name.removesuffix("_ms"), name.removesuffix("_usd")):
        try:
            return metric_named(candidate)
        except KeyError:
            continue
    known = [*METRICS, *[alias for metric in METRICS.values() for alias in metric.aliases]]
    hint = did_you_mean(name, known, then="`lll explain` lists them")
    raise ConfigError(f"{of}{': ' if of else ''}no metric {name!r}; {hint}")


def _limit(text: str, metric: Metric, whole: str) -> float:
    found = _LIMIT.fullmatch(text)
    if found is None:
        raise ConfigError(f"threshold {whole!r}: {text!r} is no number; {EXAMPLE}")
    try:
        value, unit = parse_number(found[1]), (found[2] or "").lower()
    except ValueError as error:
        raise ConfigError(f"threshold {whole!r}: {error}; {EXAMPLE}") from None
    if unit == "%":
        if metric.unit != "share":
            raise ConfigError(f"threshold {whole!r}: {metric.name} is in {metric.unit}, not a share of 100 %")
        return value / 100
    if unit:
        return in_unit_of(metric, value, unit, f"threshold {whole!r}")
    return value


def thresholds_of(section: Mapping[str, Any]) -> tuple[Threshold, ...]:
    """Return those of a [thresholds] section: ttft_p95_ms = 1000, tokens_per_second_min = 15, cost_max = 0.1.

    Raises:
        ConfigError: a key names no metric, or a value is no number.
    """
    found = []
    for key, value in section.items():
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not abs(value) <= float_info.max:
            raise ConfigError(f"thresholds: {key}: expected a finite number, not {value!r}")
        bound = re.fullmatch(r"(\w+)_(min|max)", key)
        at_least = bound and bound[2] == "min"
        metric, statistic = metric_and_statistic(bound[1] if bound else key, "thresholds")
        operator: Operator = ">=" if at_least or (not bound and metric.better == "higher") else "<="
        found.append(Threshold(metric=metric.name, statistic=statistic, operator=operator, limit=float(value)))
    return tuple(found)


def evaluate_thresholds(thresholds: Iterable[Threshold], table: Table, summary: Summary) -> tuple[Verdict, ...]:
    """Return whether a run keeps its thresholds; warm-up requests do not count."""
    measured = table.measured()
    columns: dict[str, Any] = {}
    verdicts = []
    for threshold in thresholds:
        metric = METRICS[threshold.metric]
        if metric.of_run is not None:
            verdicts.append(_verdict(threshold, metric.of_run(summary), summary.requests))
            continue
        if metric.name not in columns:
            columns[metric.name] = numpy_array(ordered_values(measured.pieces(metric.name)).by_size)
        verdict = _of_values(threshold, columns[metric.name])
        verdicts.append(_of_successes(verdict, metric, measured) if verdict.kept else verdict)
    stages = len(measured.codes("stage").used())
    return tuple(verdicts) if stages < 2 else tuple([_of_stages(one, stages) for one in verdicts])


def _of_stages(verdict: Verdict, stages: int) -> Verdict:
    """Return a verdict that says how many loads it is over: one with more requests weighs more."""
    together = f"over {stages} stages together"
    return msgspec.structs.replace(verdict, reason=f"{verdict.reason}; {together}" if verdict.reason else together)


def _of_successes(verdict: Verdict, metric: Metric, measured: Table) -> Verdict:
    """Return a verdict on the successes alone, where requests that failed keep the threshold for them."""
    if not metric.partial or _OF_ANSWERS.isdisjoint(metric.read_from) or bool(measured.success.all()):
        return verdict
    values = numpy_array(ordered_values(measured.answers.pieces(metric.name)).by_size)
    alone = verdict if len(values) == verdict.n else _of_values(verdict.threshold, values)
    if alone.kept:
        return verdict
    failed = f"{verdict.n - len(values)} requests that failed"
    why = f"with {failed} it is {verdict.actual:.6g}" if len(values) else f"all that have it are {failed}"
    return msgspec.structs.replace(alone, reason=why)


def _of_values(threshold: Threshold, ordered: Any) -> Verdict:
    n, statistic = len(ordered), threshold.statistic
    verdict = _verdict(threshold, statistic_of(ordered, statistic) if n else None, n)
    if not n or not statistic.startswith("p") or n >= (needed := values_needed(float(statistic[1:]))):
        return verdict
    # By nearest rank this is the largest value: above the limit it is a violation, below it proves little.
    few = f"{statistic} needs {needed} values, there are {n}: judged by the largest"
    return msgspec.structs.replace(verdict, reason=few)


def _verdict(threshold: Threshold, actual: float | None, n: int) -> Verdict:
    if actual is None or isnan(actual):
        return Verdict(threshold=threshold, actual=None, kept=False, reason="it was not measured", n=n)
    return Verdict(threshold=threshold, actual=float(actual), kept=threshold.kept(float(actual)), n=n)


def format_verdict(verdict: Verdict) -> str:
    """Return a verdict as one line for people."""
    mark = "ok  " if verdict.kept else "FAIL"
    unit = METRICS[verdict.threshold.metric].unit
    shown = "-" if verdict.actual is None else f"{verdict.actual:.6g} {unit}"
    why = f" ({verdict.reason})" if verdict.reason else ""
    return f"{mark} {verdict.threshold}: {shown}{why}"
