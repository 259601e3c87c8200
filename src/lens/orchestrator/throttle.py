"""Throttling on rate-limit headers and 429s, for `adaptive` loads.

A 429 stops new starts for as long as the provider says, or else for a time that doubles with each one
and shrinks with each success; a header that says nothing is left stops them until it is filled again.
In an open loop that breaks the schedule: the lag shows it, and the run says what was not sent for it.
"""

from __future__ import annotations

import trio

from lens._core.clock import now_ns
from lens.model import Record, Status
from lens.units import NS_PER_S

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0


class AdaptiveThrottle:
    """Decides when the next request may start; learns from each record."""

    def __init__(self) -> None:
        self.until_ns = 0
        self.held_ns = 0
        self.times = 0
        self.unsent = 0  # requests that it held back until the end
        self._wait_s = FIRST_WAIT_S

    def observe(self, record: Record, at_ns: int) -> None:
        """Take from one answer, received at `at_ns`, what it says of the provider's rate limits."""
        wait_s: float | None = None
        if record.status is Status.RATE_LIMITED:
            said = record.failure.retry_after_s if record.failure else None
            wait_s = said if said is not None else self._wait_s
            self._wait_s = min(self._wait_s * 2, LONGEST_WAIT_S)
        elif record.status is Status.SUCCESS:
            self._wait_s = max(self._wait_s / 2, FIRST_WAIT_S)
            empty = [one.reset_s for one in record.rate_limits.values() if one.remaining == 0 and one.reset_s]
            wait_s = max(empty) if empty else None
        if wait_s is not None:
            until = at_ns + round(min(wait_s, LONGEST_WAIT_S) * NS_PER_S)
            if until > self.until_ns:
                self.times += self.until_ns <= at_ns
                self.until_ns = until

    async def wait(self, end_ns: int | None = None) -> bool:
        """Return when a request may start; False, without waiting longer, where that is not before `end_ns`."""
        while (left_ns := self.until_ns - now_ns()) > 0:
            if end_ns is not None and self.until_ns >= end_ns:
                return False
            began = now_ns()
            await trio.sleep(left_ns / NS_PER_S)
            self.held_ns = max(self.held_ns, 0) + now_ns() - began
        return True

    def warnings(self) -> tuple[str, ...]:
        """Return a warning where requests were held back."""
        if not self.times:
            return ()
        times = "once" if self.times == 1 else f"{self.times} times"
        whose = f"{self.unsent} request{'s were' if self.unsent > 1 else ' was'}"
        unsent = f"; {whose} held until the end of the duration and not sent" if self.unsent else ""
        return (f"held back {times} to stay under the provider's rate limit{unsent}",)
