"""Retries and money: decisions over records, no clock and no network."""

from __future__ import annotations

from array import array

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens.errors import BudgetError, ConfigError
from lens.model import Attempt, Connection, Events, Failure, Limit, Record, Stamps, Status
from lens.orchestrator.limits import LimitsSeen, SpendCeiling, nusd_of
from lens.orchestrator.retry import RetryPolicy, backoff_ns, retry_wait_ns
from lens.units import NS_PER_S

OTHERS = {"signals": "H", "chars": "I", "read": "I"}


def failed(*, retryable=True, retry_after_s=None, status=Status.RATE_LIMITED, events=0, limits=None):
    column = array("q", range(events))
    return Record(
        request_id="r",
        index=5,
        provider="p",
        model="m",
        timestamp="t",
        stamps=Stamps(start=0),
        status=status,
        category="rate_limited",
        events=Events(arrived_ns=column, lag_ns=column, **{name: array(code, column) for name, code in OTHERS.items()}),
        failure=Failure(message="no", retryable=retryable, retry_after_s=retry_after_s),
        rate_limits=limits or {},
    )


def test_without_retries_asked_for_there_are_none():
    assert retry_wait_ns(RetryPolicy(), failed(), 0) is None


def test_the_number_of_retries_is_kept():
    policy = RetryPolicy(retries=2)
    assert [retry_wait_ns(policy, failed(), attempt) is None for attempt in range(4)] == [False, False, True, True]


@pytest.mark.parametrize(
    "record",
    [
        failed(retryable=False),
        failed(events=1),
        failed(status=Status.CANCELLED),
        msgspec.structs.replace(failed(), failure=None),
    ],
    ids=["not worth it", "the answer had begun", "we stopped it", "it did not fail"],
)
def test_what_shall_not_be_tried_again_is_not(record):
    assert retry_wait_ns(RetryPolicy(retries=3), record, 0) is None


def test_retry_after_is_obeyed_to_the_nanosecond():
    assert retry_wait_ns(RetryPolicy(retries=1), failed(retry_after_s=1.25), 0) == 1_250_000_000
    assert retry_wait_ns(RetryPolicy(retries=1), failed(retry_after_s=0.0), 0) == 0


def test_a_server_that_asks_for_too_long_is_not_waited_for():
    assert retry_wait_ns(RetryPolicy(retries=1), failed(retry_after_s=600.0), 0) is None


@given(attempt=st.integers(0, 60), index=st.integers(0, 1000), seed=st.integers(0, 5))
def test_a_delay_doubles_up_to_its_ceiling_less_at_most_a_quarter(attempt, index, seed):
    policy = RetryPolicy(retries=1, seed=seed)
    whole = min(NS_PER_S // 2 * 2**attempt, 8 * NS_PER_S)
    delay = backoff_ns(policy, attempt, index)
    assert 0.75 * whole <= delay <= whole
    assert delay == backoff_ns(policy, attempt, index), "the same run waits the same"


def test_requests_that_failed_together_do_not_return_together():
    assert len({backoff_ns(RetryPolicy(), 0, index) for index in range(50)}) == 50


@pytest.mark.parametrize(("usd", "nusd"), [("0.5", 500_000_000), ("0.0000000001", 1), ("3", 3_000_000_000), ("0", 0)])
def test_money_becomes_nano_dollars_and_is_never_rounded_down(usd, nusd):
    assert nusd_of(usd) == nusd


@pytest.mark.parametrize("usd", ["x", "-1", "inf", "nan", ""])
def test_what_is_no_amount_is_refused(usd):
    with pytest.raises(ConfigError, match="--max-cost"):
        nusd_of(usd)


def test_what_is_under_way_counts_against_the_ceiling():
    ceiling = SpendCeiling(100, lambda record: 10)
    ceiling.reserve(60)
    with pytest.raises(BudgetError, match="next request"):
        ceiling.reserve(60)
    ceiling.settle(60, failed())
    ceiling.reserve(60)  # it had cost 10, not 60
    assert ceiling.spent_nusd == 10


def test_a_request_that_was_sent_twice_counts_as_two():
    ended = Attempt(address="127.0.0.1", family="ipv4", start_ns=0, end_ns=1, error="closed", resent=True)
    ceiling = SpendCeiling(100, lambda record: 10)
    ceiling.reserve(30)
    ceiling.settle(30, msgspec.structs.replace(failed(), connection=Connection(reused=False, attempts=(ended,))))
    assert ceiling.spent_nusd == 40


def test_an_unknown_cost_counts_as_the_worst_unless_nothing_was_answered():
    ceiling = SpendCeiling(100, lambda record: None)
    ceiling.reserve(30)
    ceiling.settle(30, failed())
    assert ceiling.spent_nusd == 0
    ceiling.reserve(30)
    ceiling.settle(30, failed(events=2))
    assert ceiling.spent_nusd == 30


def test_the_tightest_limit_that_was_told_is_the_one_reported():
    seen = LimitsSeen()
    for remaining in (5, 0, 3):
        seen.add(failed(retry_after_s=2.0, limits={"requests": Limit(limit=60, remaining=remaining)}))
    assert seen.by_name["requests"].remaining == 0
    (warning,) = seen.warnings()
    assert "3 times" in warning
    assert "2 s" in warning
    assert "requests 60" in warning
