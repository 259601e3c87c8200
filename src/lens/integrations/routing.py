"""Where the next request goes, and when: a router that keeps to the SLO at the least cost, and a rate that adapts.

    router = Router(["openai:gpt-6-sol", "groq:llama-3"], recent, slo=LatencyUnder(500))
    name = router.choose()
    router.report(metrics)

Neither sends anything: they are given the outcomes of requests and return what to do next. With a seed and the same
reports a router chooses the same.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from math import inf, isnan, nan

from lens._core.clock import now_ns as monotonic_ns
from lens.analysis.optimize.candidates import Candidate, figure_of, verdicts_of
from lens.analysis.optimize.criteria import Criteria
from lens.errors import ConfigError
from lens.integrations.recent import Metrics, RecentMetrics, name_of, record_of
from lens.metrics.builder import table_of
from lens.metrics.definitions import metric_named
from lens.model import Record, Status
from lens.pricing import PriceBook, standard_book
from lens.units import NS_PER_S

# So many requests tell of a target whether it keeps the SLO; until then it is asked first.
FEWEST = 5
# After so many failures in a row a target rests.
FAILURES = 3
REST_S = 30.0
# How many reports may come before the targets are ranked anew.
REFRESH = 10


class Router:
    """Chooses the cheapest target that kept the SLO lately; looks at the others now and then."""

    def __init__(
        self,
        targets: Sequence[str],
        recent: RecentMetrics,
        *,
        slo: Criteria | None = None,
        explore: float = 0.05,
        seed: int | None = None,
        book: PriceBook | None = None,
        failures: int = FAILURES,
        rest_s: float = REST_S,
        now_ns: Callable[[], int] = monotonic_ns,
    ) -> None:
        """
        targets: names of targets, or provider:model. explore: share of choices that go to any healthy target.
        failures: in a row, after which a target rests for rest_s, or as long as it asks for itself.

        Raises:
            ConfigError: there is no target, or a number is none.
        """
        if not targets or len(set(targets)) < len(targets):
            raise ConfigError(f"router: expected different targets, as provider:model; given: {list(targets)}")
        if not 0 <= explore <= 1 or failures < 1 or rest_s < 0:
            raise ConfigError("router: explore is a share of 0 to 1, failures at least 1, rest_s at least 0")
        self.targets, self.recent, self.slo = tuple(targets), recent, slo
        self.explore, self.failures, self.rest_s = explore, failures, rest_s
        self._book, self._random, self._now_ns = book or standard_book(), random.Random(seed), now_ns
        self._in_a_row = dict.fromkeys(targets, 0)
        self._rests_until_ns = dict.fromkeys(targets, 0)
        self._given = dict.fromkeys(targets, 0)  # chosen, and not reported yet
        self._ranked: list[str] = []
        self._ranked_at = -1

    def choose(self) -> str:
        """Return the target of the next request: one that is unknown yet, then the cheapest that keeps the SLO."""
        healthy = self._healthy()
        seen = Counter([self._name(one.target, one.provider, one.model) for one in self.recent.records()])
        fewest = min(FEWEST, self.recent.most)  # a smaller window never holds more
        new = [name for name in healthy if seen[name] + self._given[name] < fewest]
        if new:
            chosen = min(new, key=lambda name: seen[name] + self._given[name])
        elif self._random.random() < self.explore:
            chosen = self._random.choice(healthy)
        else:
            chosen = next((name for name in self._ranking() if name in healthy), healthy[0])
        self._given[chosen] += 1
        return chosen

    def report(self, metrics: Metrics) -> None:
        """Take the outcome of a request into account; one to a target that is not routed to is ignored."""
        record = record_of(metrics)
        name = self._name(name_of(record), record.provider, record.model)
        if name is None:
            return
        self._given[name] = max(self._given[name] - 1, 0)
        if record.status is Status.CANCELLED:
            return  # stopped by the caller: that tells nothing of the target
        self.recent.add(record)
        if record.status is Status.SUCCESS:
            self._in_a_row[name] = 0
            return
        self._in_a_row[name] += 1
        asked_s = record.failure.retry_after_s if record.failure else None
        if asked_s is not None or self._in_a_row[name] >= self.failures:
            rest_s = self.rest_s if asked_s is None else asked_s
            until = self._now_ns() + round(rest_s * NS_PER_S)
            self._rests_until_ns[name] = max(self._rests_until_ns[name], until)

    def _name(self, target: str, provider: str, model: str) -> str | None:
        """Return which of our targets is meant: by its name, or by provider:model; None: none of them."""
        known = (target, f"{provider}:{model}", f"{provider}/{model}")
        return next((name for name in known if name in self._in_a_row), None)

    def _healthy(self) -> list[str]:
        """Those that do not rest; when all do, the one that is back first."""
        now = self._now_ns()
        awake = [name for name in self.targets if self._rests_until_ns[name] <= now]
        return awake or [min(self.targets, key=lambda name: self._rests_until_ns[name])]

    def _ranking(self) -> list[str]:
        if self._ranked_at < 0 or self.recent.added - self._ranked_at >= REFRESH:
            ranked = sorted(self.recent.candidates(self._book), key=self._order)
            names = [self._name(one.name, one.target.provider, one.target.model) for one in ranked]
            self._ranked = [name for name in names if name is not None]
            self._ranked_at = self.recent.added
        return self._ranked

    def _order(self, candidate: Candidate) -> tuple[bool, float, float, float]:
        """Return targets in order: those that keep the SLO, the cheapest first; then the most reliable and fastest."""
        keeps = self._keeps(candidate)
        cost, _ = figure_of(candidate, "total_cost", "mean")
        ttft, _ = figure_of(candidate, "ttft_ms", "p50")
        failed = 1 - candidate.successes / max(len(candidate.table), 1)
        unknown = float("inf")
        price = (unknown if cost is None else cost) if keeps else 0.0
        return (not keeps, price, failed, unknown if ttft is None else ttft)

    def _keeps(self, candidate: Candidate) -> bool:
        if not candidate.successes or self.slo is None:
            return bool(candidate.successes)
        verdicts = verdicts_of(candidate, self.slo.bounds())
        known = {bound: None if one.actual is None else one.kept for bound, one in verdicts.items()}
        return self.slo.truth(known.__getitem__) is True


class AdaptiveRate:
    """Requests a second that a target bears: a little more while it is fast, a share of it when it is not (AIMD).

    A request that failed, and an answer without content, is slower than any target_ms; one that the caller cancelled
    tells nothing. Where half of the answers that are judged together are slow, the rate is lowered.
    Additive increase, multiplicative decrease (Chiu and Jain 1989). One slow moment lowers the rate once:
    requests that had started before the last decrease do not lower it again.
    """

    def __init__(
        self,
        target_ms: float,
        *,
        metric: str = "ttft_ms",
        start_per_s: float = 1.0,
        least_per_s: float = 0.1,
        most_per_s: float = 100.0,
        increase_per_s: float = 0.5,
        decrease: float = 0.7,
        every: int = 10,
    ) -> None:
        """
        target_ms: what the metric's median is to stay below. every: answers that are judged together.
        decrease: what is left of the rate when it is not; on a 429 the rate is halved.

        Raises:
            ConfigError: a number is none, or there is no such metric in milliseconds.
        """
        try:
            unit = metric_named(metric).unit
        except KeyError:
            raise ConfigError(f"adaptive rate: no metric {metric!r}; ttft_ms is one") from None
        if unit != "ms":
            raise ConfigError(f"adaptive rate: {metric} is in {unit}, and a time in ms is wanted, like ttft_ms")
        if not (0 < least_per_s <= start_per_s <= most_per_s and 0 < decrease < 1 and increase_per_s > 0):
            raise ConfigError("adaptive rate: 0 < least <= start <= most, 0 < decrease < 1, increase > 0 are wanted")
        if target_ms <= 0 or every < 1:
            raise ConfigError("adaptive rate: target_ms above 0 and every of 1 at least are wanted")
        self.rate_per_s, self.target_ms, self.metric = float(start_per_s), target_ms, metric
        self.least_per_s, self.most_per_s = least_per_s, most_per_s
        self._increase, self._decrease, self._every = increase_per_s, decrease, every
        self._seen_ms: list[float] = []
        self._lowered_ns = -1  # answers to what started before this are of the old rate
        self._held_until_ns = 0
        self._next_ns = 0

    def observe(self, metrics: Metrics) -> float:
        """Take the outcome of a request into account; return the rate that follows from it."""
        record = record_of(metrics)
        if record.status is Status.RATE_LIMITED:
            self._refused(record)
        elif record.stamps.start > self._lowered_ns and not isnan(value := self._measured_ms(record)):
            self._seen_ms.append(value)
            if len(self._seen_ms) >= self._every:
                self._judge(record)
        return self.rate_per_s

    def _measured_ms(self, record: Record) -> float:
        """Return the metric, infinite without a success that has content; NaN where the answer tells nothing of it."""
        if record.status is Status.CANCELLED:
            return nan
        table = table_of([record])
        if not table.answered[0]:
            return inf
        return float(table.metric(self.metric)[0])

    def delay_s(self, now_ns: int | None = None) -> float:
        """Return how long to wait before the next request is sent; asking takes that place in the schedule."""
        now = monotonic_ns() if now_ns is None else now_ns
        at = max(now, self._next_ns, self._held_until_ns)
        self._next_ns = at + round(NS_PER_S / self.rate_per_s)
        return (at - now) / NS_PER_S

    def _refused(self, record: Record) -> None:
        ended = record.stamps.end or record.stamps.start
        if record.failure and record.failure.retry_after_s is not None:
            until = ended + round(record.failure.retry_after_s * NS_PER_S)
            self._held_until_ns = max(self._held_until_ns, until)
        if record.stamps.start > self._lowered_ns:
            self._lower(0.5, ended)

    def _judge(self, record: Record) -> None:
        median = sorted(self._seen_ms)[len(self._seen_ms) // 2]
        self._seen_ms.clear()
        if median > self.target_ms:
            self._lower(self._decrease, record.stamps.end or record.stamps.start)
        else:
            self.rate_per_s = min(self.rate_per_s + self._increase, self.most_per_s)

    def _lower(self, share: float, at_ns: int) -> None:
        self.rate_per_s = max(self.rate_per_s * share, self.least_per_s)
        self._lowered_ns = at_ns
        self._seen_ms.clear()
