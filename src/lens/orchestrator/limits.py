"""What holds a run back: the limits that the provider told of, and the money that the user allows.

Money is int nano-dollars. The rule of the ceiling: before each send the worst case of that request is
reserved; what it really cost replaces the reservation afterwards; a request whose worst case does not
fit is not sent. Prices come from outside, because this leg knows none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from decimal import ROUND_CEILING, Decimal, InvalidOperation

from lens.errors import BudgetError, ConfigError
from lens.model import Limit, Record, Status, resends_of
from lens.units import NS_PER_S

NUSD_PER_USD = 1_000_000_000
MINUTE_NS = 60 * NS_PER_S
CostOf = Callable[[Record], int | None]  # nano-dollars, None when unknown


# What no budget is; the nano-dollars of a larger number would take time to write down.
MOST_USD = 10**12


def nusd_of(usd: str | Decimal, what: str = "--max-cost") -> int:
    """Return an exact decimal of dollars in nano-dollars, rounded up.

    Raises:
        ConfigError: it is no amount of zero or more, or one that nobody has.
    """
    try:
        amount = Decimal(usd)
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or not 0 <= amount < MOST_USD:
        raise ConfigError(f"{what} {usd!r}: write dollars, like 0.50")
    return int((amount * NUSD_PER_USD).to_integral_value(ROUND_CEILING))


class SpendCeiling:
    """Counts what was spent and what may still come."""

    def __init__(self, limit_nusd: int, cost_of: CostOf) -> None:
        self.limit_nusd = limit_nusd
        self.spent_nusd = 0
        self._reserved_nusd = 0
        self._cost_of = cost_of

    def reserve(self, worst_nusd: int) -> None:
        """Before a request is sent.

        Raises:
            BudgetError: its worst case would pass the limit.
        """
        after = self.spent_nusd + self._reserved_nusd + worst_nusd
        if after > self.limit_nusd:
            raise BudgetError(
                f"--max-cost ${_usd(self.limit_nusd)}: spent ${_usd(self.spent_nusd)}, under way up to "
                f"${_usd(self._reserved_nusd)}; the next request may cost ${_usd(worst_nusd)}"
            )
        self._reserved_nusd += worst_nusd

    def release(self, worst_nusd: int) -> None:
        """Release the amount that was held for a request which was never sent."""
        self._reserved_nusd -= worst_nusd

    def settle(self, worst_nusd: int, record: Record) -> None:
        """After it: the real cost where it is known, nothing where it never reached the model, else the worst."""
        self._reserved_nusd -= worst_nusd
        cost = self._cost_of(record)
        if cost is None:
            cost = 0 if record.status is not Status.SUCCESS and not len(record.events) else worst_nusd
        # What was sent before, over a connection that ended, may have been answered and is paid for then.
        self.spent_nusd += cost + resends_of(record) * worst_nusd


class LimitsSeen:
    """The rate limits of a run: the tightest state that any answer told of, and how often it was hit."""

    def __init__(self) -> None:
        self.by_name: dict[str, Limit] = {}
        self.refused = 0
        self.longest_wait_s: float | None = None
        self.first_refused_per_s: float | None = None  # starts a second in the minute before the first refusal
        self._starts_ns: deque[int] = deque()

    def add(self, record: Record) -> None:
        """Notice what one answer says."""
        if not self.refused:
            self._starts_ns.append(record.stamps.start)
            while self._starts_ns[-1] - self._starts_ns[0] > MINUTE_NS:
                self._starts_ns.popleft()
        for name, limit in record.rate_limits.items():
            known = self.by_name.get(name)
            if known is None or _left(limit) <= _left(known):
                self.by_name[name] = limit
        if record.status is Status.RATE_LIMITED:
            self.refused += 1
            span_ns = self._starts_ns[-1] - self._starts_ns[0] if self._starts_ns else 0
            if self.refused == 1 and span_ns > 0:
                self.first_refused_per_s = (len(self._starts_ns) - 1) * NS_PER_S / span_ns
            wait = record.failure.retry_after_s if record.failure else None
            if wait is not None:
                self.longest_wait_s = max(wait, self.longest_wait_s or 0.0)

    def warnings(self) -> tuple[str, ...]:
        """Return what a reader of the results should know."""
        if not self.refused:
            return ()
        told = ", ".join(f"{name} {limit.limit}" for name, limit in sorted(self.by_name.items()) if limit.limit)
        wait = f"; asked to wait up to {self.longest_wait_s:g} s" if self.longest_wait_s is not None else ""
        times = "once" if self.refused == 1 else f"{self.refused} times"
        at = f", first at {self.first_refused_per_s:.3g} requests/s" if self.first_refused_per_s else ""
        return (f"rate limited {times}{at}{wait}{'; limits told: ' + told if told else ''}",)


def _left(limit: Limit) -> float:
    return limit.remaining if limit.remaining is not None else float("inf")


def _usd(nusd: int) -> str:
    """Return nano-dollars as dollars, with every digit."""
    return f"{Decimal(nusd) / NUSD_PER_USD:.9f}".rstrip("0").rstrip(".")
