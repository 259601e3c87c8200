"""Shards of a load: their parts are the whole, and the time at which all begin is a time."""

import time

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from lens._core.clock import now_ns, realtime_ns
from lens.config.load import make_config
from lens.config.settings import LoadConfig
from lens.errors import ConfigError
from lens.orchestrator import shards
from lens.orchestrator.schedule import Stage, stages
from lens.orchestrator.shards import (
    ALONE,
    PREPARE_NS,
    Share,
    check_parts,
    monotonic_of,
    parse_shard,
    parse_start_at,
    share_of,
    wait_until_near,
    wall_ns_of,
)
from lens.orchestrator.stop import Stop

S = 1_000_000_000


@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 200))
def test_workers_of_all_shards_together_take_each_request_once(shards, workers, whole):
    shares = [Share(i, shards).share(w, workers) for i in range(shards) for w in range(workers)]
    taken = sorted(number for share in shares for number in range(whole)[share.worker :: share.of])
    assert taken == list(range(whole))
    assert sum(share.part(whole) for share in shares) == whole


@pytest.mark.parametrize(("text", "share"), [("0/4", Share(0, 4)), ("3/4", Share(3, 4)), ("0/1", ALONE)])
def test_a_shard_is_its_number_of_how_many(text, share):
    assert parse_shard(text) == share_of(LoadConfig(shard=text)) == share


@pytest.mark.parametrize("text", ["", "1", "4/4", "-1/4", "0/0", "1/", "/4", "a/b", "1/2/3", "0.5/2"])
def test_what_is_no_shard_is_refused_with_the_form(text):
    with pytest.raises(ConfigError, match="write I/N, of 4 shards 0/4 to 3/4"):
        parse_shard(text)


@pytest.mark.parametrize("load", [LoadConfig(rate_per_s=50, iterations=41), LoadConfig(iterations=41, concurrency=6)])
def test_totals_of_shards_make_the_total(load):
    totals = [Share(number, 4).total(stages(load)) for number in range(4)]
    assert sum(totals) == 41
    assert max(totals) - min(totals) <= 1


def test_a_load_that_time_ends_has_no_total():
    assert Share(0, 2).total(stages(LoadConfig(duration_ns=S, concurrency=4))) is None


@pytest.mark.parametrize(
    "stage", [Stage(name="x", concurrency=3, count=10), Stage(name="x", rate_per_s=10, limit=3, count=9),
              Stage(name="x", rate_per_s=10, count=3), Stage(name="x", concurrency=9, count=3)],
)  # fmt: skip
def test_a_shard_that_would_do_nothing_is_refused(stage):
    check_parts(ALONE, [stage])
    check_parts(Share(2, 3), [stage])
    with pytest.raises(ConfigError, match="cannot be shared by 4 shards"):
        check_parts(Share(0, 4), [stage])


def test_an_indexed_job_says_the_shard_and_a_flag_says_more():
    job = {"LENS_SHARDS": "4", "JOB_COMPLETION_INDEX": "2"}
    flags = {"target": {"provider": "simulator"}}
    assert make_config(flags, environ=job).load.shard == "2/4"
    assert make_config({**flags, "load": {"shard": "0/2"}}, environ=job).load.shard == "0/2"
    assert make_config(flags, environ={"JOB_COMPLETION_INDEX": "2"}).load.shard is None
    with pytest.raises(ConfigError, match="JOB_COMPLETION_INDEX is not set"):
        make_config(flags, environ={"LENS_SHARDS": "4"})


def test_a_start_is_said_in_three_ways(monkeypatch):
    later = realtime_ns() + 3600 * S
    assert parse_start_at("+1h") == pytest.approx(later, abs=60 * S)
    monkeypatch.setattr(shards, "realtime_ns", lambda: 4133980800 * S - 86_400 * S)
    assert parse_start_at("2101-01-01T00:00:00Z") == parse_start_at("@4133980800") == 4133980800 * S
    assert parse_start_at("2101-01-01T02:00:00.25+02:00") == 4133980800 * S + S // 4
    assert wall_ns_of("1970-01-01T00:00:01.000001Z") == S + 1000


def test_no_more_machines_share_a_load_than_there_may_be():
    assert parse_shard("9999/10000").of == 10_000
    with pytest.raises(ConfigError, match="at most 10,000 machines share one load"):
        parse_shard("0/10001")


@pytest.mark.parametrize(
    ("text", "why"),
    [("soon", "this is no time"), ("+soon", "this is no time"), ("@", "this is no time"), ("@1", "ago"),
     ("2101-01-01T00:00:00", "no time zone"), ("2001-01-01T00:00:00Z", "ago"), ("+800h", "33 days away"),
     ("9999-12-31T23:59:59Z", "days away; give a time within 30 days")],
)  # fmt: skip
def test_what_is_no_time_to_come_is_refused(text, why):
    with pytest.raises(ConfigError, match=why):
        parse_start_at(text)


def test_an_instant_of_the_wall_clock_is_one_of_the_monotonic_clock():
    assert monotonic_of(time.time_ns() + S) == pytest.approx(now_ns() + S, abs=S)


async def test_a_start_that_is_near_is_not_waited_for_and_a_stop_ends_the_wait():
    await wait_until_near(realtime_ns() + PREPARE_NS // 2, Stop())
    stop = Stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_until_near, realtime_ns() + 3600 * S, stop)
        await trio.testing.wait_all_tasks_blocked()
        stop.ask("SIGINT")
