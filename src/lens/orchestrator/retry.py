"""Whether and when to try again: pure decisions over what an attempt left behind.

The rule: off unless asked for, because a retry hides what is being measured. A wait that the server
asks for is kept to; otherwise the delay doubles with each attempt and is spread by a seeded random
number. A stream that has begun to answer is never tried again: its tokens have been paid for.
"""

from __future__ import annotations

import random

import msgspec

from lens.model import Record, Status
from lens.units import NS_PER_S

# The base and the ceiling that the openai and anthropic clients use (0.5 s doubling to 8 s).
FIRST_DELAY_NS = NS_PER_S // 2
MAX_DELAY_NS = 8 * NS_PER_S
# They take up to a quarter off each delay, so that clients which failed together do not return together.
JITTER = 0.25
# A server that asks for more than this is not waited for; the openai client draws the line here too.
MAX_ASKED_NS = 120 * NS_PER_S


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often, and how long between."""

    retries: int = 0
    seed: int = 0
    first_delay_ns: int = FIRST_DELAY_NS
    max_delay_ns: int = MAX_DELAY_NS
    max_asked_ns: int = MAX_ASKED_NS


NO_RETRIES = RetryPolicy()


def retry_wait_ns(policy: RetryPolicy, record: Record, attempt: int) -> int | None:
    """Return how long to wait before attempt `attempt` + 1 (the first is 0); None when there shall be none."""
    failure = record.failure
    if attempt >= policy.retries or failure is None or not failure.retryable or record.status is Status.CANCELLED:
        return None
    if len(record.events) > 0:
        return None
    asked_ns = round(failure.retry_after_s * NS_PER_S) if failure.retry_after_s is not None else None
    if asked_ns is not None and asked_ns >= 0:
        return asked_ns if asked_ns <= policy.max_asked_ns else None
    return backoff_ns(policy, attempt, record.index)


def backoff_ns(policy: RetryPolicy, attempt: int, index: int) -> int:
    """Return the delay after failed attempt `attempt` of request `index`: doubled each time, less up to a quarter."""
    whole = min(policy.first_delay_ns << min(attempt, 40), policy.max_delay_ns)
    spread = random.Random(f"{policy.seed} {index} {attempt}").random()
    return round(whole * (1 - JITTER * spread))
