"""Holding back, in virtual time."""

import pytest
import trio
from handmade import failed_record, record
from waiting import HANG_S

from lens.model import Limit
from lens.orchestrator.throttle import FIRST_WAIT_S, LONGEST_WAIT_S, AdaptiveThrottle

S = 1_000_000_000


def refused(after_s=None):
    import msgspec

    made = failed_record()
    return msgspec.structs.replace(made, failure=msgspec.structs.replace(made.failure, retry_after_s=after_s))


def test_it_waits_as_long_as_the_provider_says():
    throttle = AdaptiveThrottle()
    throttle.observe(refused(7), 100 * S)
    assert throttle.until_ns == 107 * S
    assert throttle.times == 1


def test_without_a_word_the_wait_doubles_and_shrinks_again():
    throttle = AdaptiveThrottle()
    waits = []
    for i in range(8):
        at = i * 1000 * S
        throttle.observe(refused(), at)
        waits.append((throttle.until_ns - at) / S)
    assert waits == [1, 2, 4, 8, 16, 32, LONGEST_WAIT_S, LONGEST_WAIT_S]
    for _ in range(10):
        throttle.observe(record(), 10**6 * S)
    throttle.observe(refused(), 10**6 * S)
    assert throttle.until_ns == (10**6 + FIRST_WAIT_S) * S


def test_a_limit_with_nothing_left_holds_until_it_is_filled():
    throttle = AdaptiveThrottle()
    throttle.observe(record(rate_limits={"requests": Limit(limit=60, remaining=0, reset_s=3.5)}), 0)
    assert throttle.until_ns == 3.5 * S
    other = AdaptiveThrottle()
    other.observe(record(rate_limits={"requests": Limit(limit=60, remaining=5, reset_s=3.5)}), 0)
    assert other.until_ns == 0


async def test_wait_returns_when_a_request_may_start():
    from lens._core.clock import now_ns

    throttle = AdaptiveThrottle()
    throttle.observe(refused(0.05), now_ns())
    with trio.fail_after(HANG_S):
        await throttle.wait()
    assert now_ns() >= throttle.until_ns


@pytest.mark.parametrize(("times", "says"), [(1, "once"), (3, "3 times")])
def test_what_it_says(times, says):
    throttle = AdaptiveThrottle()
    for i in range(times):
        throttle.observe(refused(1), i * 100 * S)
    assert says in throttle.warnings()[0]
    assert AdaptiveThrottle().warnings() == ()


async def test_it_does_not_outlast_the_duration():
    from lens._core.clock import now_ns

    throttle = AdaptiveThrottle()
    throttle.observe(refused(60), now_ns())
    with trio.fail_after(HANG_S):
        assert not await throttle.wait(now_ns() + S)
    assert await AdaptiveThrottle().wait(now_ns() + S)
