"""What is held to be wrong, target by target: objectives that burn, changed levels, targets that only fail or hang.

An Alert is told when it begins and when it ends, and not in between. Everything here is bounded: so many
values a series, so many minutes a objective.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from typing import Literal, NamedTuple

import msgspec

from lens.config.settings import TargetConfig
from lens.metrics.builder import is_short, table_of
from lens.metrics.change_points import change_points
from lens.metrics.definitions import METRICS
from lens.model import Record, Status
from lens.monitor.burn import SLOW, URGENT, WINDOWS, ErrorBudget, Objective

# The figures whose level is watched, and how much of them is kept.
WATCHED = ("ttft_ms", "tokens_per_second")
SERIES = 120
# A change is told when it is this large.
LEAST_CHANGE = 0.2
# What is urgent ends with its short window; a slow leak is told apart, for it goes on for hours.
BURNS = {"slo_burn": URGENT, "slo_burn_slow": SLOW}
# So many requests of a target that fail one after another.
FAILURES = 3
EMPTY = "the answer brought no text, reasoning or tool call"


class Who(NamedTuple):
    """A target, as alerts and labels name it."""

    provider: str
    model: str
    target: str


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Something began or ended; what a webhook is told."""

    status: Literal["firing", "resolved"]
    alert: str  # "slo_burn", "slo_burn_slow", "level_changed", "failing" or "hanging"
    provider: str
    model: str
    says: str
    target: str = ""  # its name
    value: float | None = None
    limit: float | None = None
    at: str = ""  # when the request that told it began; when a round began, where none did


class Watch:
    """One target."""

    def __init__(self, who: Who, objectives: Sequence[Objective]) -> None:
        self.who = who
        self.budgets = [ErrorBudget(objective) for objective in objectives]
        self._series: dict[str, deque[float]] = {name: deque(maxlen=SERIES) for name in WATCHED}
        self.requests = self.failures = 0  # since the start
        self._failed = 0  # one after another
        self._firing: dict[tuple[str, str], Alert] = {}  # by its name and what it is of
        self._worse: dict[str, Alert] = {}  # metrics whose level changed for the worse, and not back since

    @property
    def firing(self) -> tuple[Alert, ...]:
        """The alerts that fire now."""
        return tuple(self._firing.values())

    def values(self, name: str) -> tuple[float, ...]:
        """Return the last values of a watched metric, the newest last; since its level changed."""
        return tuple(self._series[name])

    def add(self, record: Record, at_s: float) -> Iterator[Alert]:
        """Take a request; what began or ended with it."""
        self.requests += 1
        self.failures += record.status is not Status.SUCCESS
        request = table_of([record], few=is_short(record))
        for budget in self.budgets:
            budget.add(at_s, request)
            yield from self._burning(budget, record, at_s)
        yield from self._failing(record, empty=bool(request.empty[0]))
        if record.status is Status.SUCCESS:
            for name, series in self._series.items():
                value = float(request.metric(name)[0])
                if not isnan(value):
                    series.append(value)
                    yield from self._changed(name, series, record)

    def watch_objectives(self, objectives: Sequence[Objective], at: str) -> Iterator[Alert]:
        """Go on with other objectives: those that stay keep what was counted, alerts of the others are resolved."""
        known = {budget.objective.text: budget for budget in self.budgets}
        self.budgets = [known.get(objective.text) or ErrorBudget(objective) for objective in objectives]
        gone = known.keys() - {objective.text for objective in objectives}
        for key in [key for key in self._firing if key[0] in BURNS and key[1] in gone]:
            yield _given_up(self._firing.pop(key), at)

    def end(self, at: str) -> Iterator[Alert]:
        """Resolve every alert that was told as firing: the target is watched no longer."""
        told = [*self._firing.values(), *self._worse.values()]
        self._firing.clear()
        self._worse.clear()
        yield from [_given_up(alert, at) for alert in told]

    def _burning(self, budget: ErrorBudget, record: Record, at_s: float) -> Iterator[Alert]:
        for alert, windows in BURNS.items():
            window = budget.burning(at_s, windows)
            one = window or windows[0]
            rate = budget.rate(at_s, one.long_s)
            says = f"{budget.objective.text}: its error budget burns {rate or 0:.1f} times too fast"
            if window is not None:
                says += f" ({window.name}: over {span(window.long_s)} and {span(window.short_s)})"
            on = window is not None
            yield from self._state(alert, budget.objective.text, on, record.timestamp, says, rate, one.rate)

    def _failing(self, record: Record, *, empty: bool) -> Iterator[Alert]:
        self._failed = 0 if record.status is Status.SUCCESS and not empty else self._failed + 1
        why = EMPTY if empty else record.failure.message if record.failure else record.category
        says = f"{self._failed} requests failed one after another: {why}" if self._failed else "requests succeed again"
        failing = self._failed >= FAILURES
        yield from self._state("failing", "", failing, record.timestamp, says, float(self._failed), float(FAILURES))

    def hanging(self, missed: int, at: str) -> Iterator[Alert]:
        """Take how many rounds began while the target was still being asked; 0: an answer ended, well or not."""
        says = f"no answer has ended while {missed} rounds began" if missed else "answers end again"
        yield from self._state("hanging", "", missed > 0, at, says, float(missed), None)

    def _changed(self, name: str, series: deque[float], record: Record) -> Iterator[Alert]:
        """Yield an alert once at a change of level; what came before is forgotten, and the new level is the level."""
        found = change_points(series, least=LEAST_CHANGE)
        if not found:
            return
        last = found[-1]
        kept = list(series)[last.at :]
        series.clear()
        series.extend(kept)
        worse = (last.after > last.before) == (METRICS[name].better == "lower")
        word = "worse" if worse else "better"
        says = f"{name} went from {last.before:.4g} to {last.after:.4g} ({last.relative:+.0%}): {word}"
        alert = Alert(
            status="firing" if worse else "resolved", alert="level_changed", **self.who._asdict(),
            says=says, value=last.after, limit=last.before, at=record.timestamp,
        )  # fmt: skip
        self._worse.pop(name, None)
        if worse:
            self._worse[name] = alert
        yield alert

    def _state(
        self, alert: str, of: str, on: bool, at: str, says: str, value: float | None, limit: float | None
    ) -> Iterator[Alert]:
        """Yield the alert when its state is another than before."""
        key = (alert, of)
        if on == (key in self._firing):
            return
        made = Alert(
            status="firing" if on else "resolved", alert=alert, **self.who._asdict(),
            says=says, value=value, limit=limit, at=at,
        )  # fmt: skip
        if on:
            self._firing[key] = made
        else:
            del self._firing[key]
        yield made

    def held(self) -> int:
        """Values and slots in memory."""
        return sum(map(len, self._series.values())) + sum(map(len, self.budgets))


def _given_up(alert: Alert, at: str) -> Alert:
    """Return the end of an alert whose cause nobody looks for any more."""
    return msgspec.structs.replace(alert, status="resolved", says=f"no longer watched; it was: {alert.says}", at=at)


def span(seconds: float) -> str:
    """Return a length of time as people write it: 5 min, 6 h, 3 d."""
    for unit, name in ((86400, "d"), (3600, "h")):
        if seconds >= unit:
            return f"{seconds / unit:g} {name}"
    return f"{seconds / 60:g} min"


def slo_warnings(
    targets: Sequence[TargetConfig], asked: Sequence[Who], watches: Mapping[Who, Watch], objectives: Sequence[Objective]
) -> Iterator[str]:
    """Yield a sentence for each SLO of a target whose figure its answers can never have, or did not have."""
    for target, who in zip(targets, asked, strict=True):
        lacking = {budget.objective for budget in watches[who].budgets if budget.lacking} if who in watches else ()
        for slo in objectives:
            if slo.needs_stream and not target.stream:
                yield (
                    f"warning: {who.target}: SLO {slo.text!r}: answers that are not streamed (stream: false) have no "
                    f"{slo.metric}, and each breaks it; stream them, or take total_latency or success"
                )
            elif slo in lacking:
                yield f"warning: {who.target}: SLO {slo.text!r}: an answer came without {slo.metric}, which breaks it"


class Gauge(NamedTuple):
    """A burn rate for the page."""

    who: Who
    objective: str
    window: str
    rate: float


def burn_rates(watches: Sequence[Watch], now_s: float) -> Iterator[Gauge]:
    """Yield the burn rate of every objective and window in which something was asked."""
    for watch in watches:
        for budget in watch.budgets:
            for window in WINDOWS:
                rate = budget.rate(now_s, window.long_s)
                if rate is not None:
                    yield Gauge(watch.who, budget.objective.text, window.name, rate)
