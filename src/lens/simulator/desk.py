"""What happens to a request before it is answered: keys, limits, cold starts, and whom a fault strikes.

The only part that remembers anything from one request to the next; the time is handed in.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache

import msgspec

from lens.simulator.dialects.base import KIND_OF_STATUS, Failure
from lens.simulator.script import NS_PER_S, Script
from lens.simulator.words import share

# What a head says of a limit when the script has none.
NO_LIMIT = 10_000


class Verdict(msgspec.Struct, frozen=True):
    """What is to be done with one request."""

    script: Script  # without the faults that do not strike this request
    failure: Failure | None
    cold_ns: int  # to be waited before anything is sent
    limit: int
    remaining: int
    reset_s: float


@lru_cache(maxsize=256)
def healthy(script: Script) -> Script:
    """The script without its faults."""
    return msgspec.structs.replace(
        script, status=200, error_at=None, reset_at=None, truncate_at=None, malformed_at=None, html=False
    )


class Desk:
    """Where requests arrive."""

    def __init__(self) -> None:
        self.count = 0  # requests so far
        self.busy = 0  # requests being answered
        self.quiet_since_ns: int | None = None  # None before the first request
        self._admitted: deque[int] = deque()  # when the requests of the current window came

    def admit(self, script: Script, key: str, auth_status: int, now_ns: int, model: str = "") -> Verdict:
        """Decide on the next request; it is counted whatever is decided."""
        number, self.count = self.count, self.count + 1
        cold_ns = self._cold_ns(script, now_ns)
        wrong_key = bool(script.key) and key != script.key
        failure = Failure(auth_status, "auth") if wrong_key else self._limited(script, now_ns)
        if failure is None and model and script.models and model not in script.models:
            failure = Failure(404, "not_found")
        limit = script.rate_limit or NO_LIMIT
        remaining = max(0, limit - len(self._admitted)) if script.rate_limit else limit - 1
        reset_s = (self._admitted[0] + script.rate_window_ns - now_ns) / NS_PER_S if self._admitted else 0.006
        if failure is None and script.selective() and not self._struck(script, number):
            script = healthy(script)
        elif failure is None and script.selective() and not script.faulty():
            failure = Failure(503, script.error or "overloaded", script.retry_after_s)
        elif failure is None and script.status != 200:
            kind = script.error or KIND_OF_STATUS.get(script.status, "invalid")
            failure = Failure(script.status, kind, script.retry_after_s)
        return Verdict(script, failure, cold_ns if failure is None else 0, limit, remaining, reset_s)

    def started(self) -> None:
        self.busy += 1

    def ended(self, now_ns: int) -> None:
        self.busy -= 1
        self.quiet_since_ns = now_ns

    def _cold_ns(self, script: Script, now_ns: int) -> int:
        first = self.quiet_since_ns is None and self.busy == 0
        since = self.quiet_since_ns
        cooled = script.idle_ns > 0 and self.busy == 0 and since is not None and now_ns - since >= script.idle_ns
        return script.cold_start_ns if first or cooled else 0

    def _limited(self, script: Script, now_ns: int) -> Failure | None:
        if not script.rate_limit:
            return None
        while self._admitted and now_ns - self._admitted[0] >= script.rate_window_ns:
            self._admitted.popleft()
        if len(self._admitted) < script.rate_limit:
            self._admitted.append(now_ns)
            return None
        free_in_s = (self._admitted[0] + script.rate_window_ns - now_ns) / NS_PER_S
        return Failure(429, "rate_limit", free_in_s if script.retry_after_s is None else script.retry_after_s)

    @staticmethod
    def _struck(script: Script, number: int) -> bool:
        return number < script.fail_first or share(script.seed, 77, number) < script.fail_rate
