"""The self-test: its arithmetic on a made-up log, and one small real case."""

from __future__ import annotations

from array import array

import msgspec
import pytest

from lens.calibration import Case, case_of, selftest, spread_of, verdicts_of
from lens.model import Events, Machine, Record, Signal, Stamps, Status

START = 1_000_000
HERE = Machine(hostname="h", system="Linux", kernel="6", cpus=2, python="3.11", clock_resolution_ns=1, clock_cost_ns=30)


def record(name, arrived, lag=500, status=Status.SUCCESS):
    """Events: a role event without content, then content."""
    n = len(arrived)
    text = int(Signal.TEXT)
    return Record(
        request_id=name,
        index=0,
        provider="simulator",
        model="m",
        timestamp="t",
        stamps=Stamps(start=START, intended=START - 40, send_start=START - 30, send_end=START + 100),
        status=status,
        category="success",
        events=Events(
            arrived_ns=array("q", arrived),
            lag_ns=array("q", [lag] * n),
            signals=array("H", [0] + [text] * (n - 1)),
            chars=array("I", [0] + [4] * (n - 1)),
            read=array("I", range(n)),
        ),
        stamp_kind="kernel",
        prompt_id=name,
    )


def entry(name, writes):
    return {
        "model": name,
        "request_complete_ns": START + 150,
        "events": [[b - 10, b, b + 20, "text", i] for i, b in enumerate(writes)],
    }


def test_a_stamp_is_held_to_the_write_and_not_to_the_script():
    writes = [START + 1000, START + 2000, START + 3000]
    case = case_of("http", 1, [record("0", [1005, 2010, 3030])], [entry("0", writes)])
    assert (case.tokens.n, case.tokens.bias_us, case.tokens.max_us) == (2, 0.02, 0.03)
    assert case.ttft.bias_us == 0.01, "the role event is no first token"
    assert (case.itl.n, case.itl.bias_us) == (1, 0.02), "30 ns off after 10 ns off"
    assert case.read_tokens.bias_us == 0.52
    assert case.sent.bias_us == 0.05
    assert case.schedule.bias_us == 0.01
    assert case.simulator_late.bias_us == 0.01
    assert case.within_write == 0.5


def test_an_early_stamp_is_as_wrong_as_a_late_one():
    spread = spread_of([-4000, 2000, 2000])
    assert (spread.bias_us, spread.p50_us, spread.max_us) == (0, 2, 4)
    assert spread_of([]) is None


def test_failed_requests_are_counted_and_not_measured():
    broken = record("1", [1005, 2010], status=Status.NETWORK_ERROR)
    case = case_of("http", 1, [broken], [entry("1", [START, START])])
    assert (case.failed, case.tokens) == (1, None)
    assert not any(v.holds for v in verdicts_of([case], HERE))


def case(scheme="http", streams=200, p99=50.0, bias=5.0, **more):
    spread = spread_of([1000])
    tokens = msgspec.structs.replace(spread, p99_us=p99)
    ttft = msgspec.structs.replace(spread, bias_us=bias)
    facts = {
        "failed": 0,
        "stamp_kind": "kernel",
        "simulator_late": spread,
        "sent": None,
        "schedule": None,
        "itl": None,
        **more,
    }
    return Case(
        scheme=scheme,
        streams=streams,
        requests=5,
        tokens=tokens,
        read_tokens=None,
        ttft=ttft,
        within_write=1.0,
        **facts,
    )


@pytest.mark.parametrize(
    ("of", "here", "holds", "why"),
    [
        (case(), HERE, [True, True], ""),
        (case(p99=134.2), HERE, [False, True], "cannot reach"),
        (case(bias=-60.0), HERE, [True, False], "cannot reach"),
        (case(p99=134.2, stamp_kind="read"), HERE, [False, True], "no kernel stamps"),
        (case(p99=134.2), msgspec.structs.replace(HERE, cpus=1), [False, True], "one processor"),
        (case(p99=134.2, simulator_late=spread_of([900_000])), HERE, [False, True], "busy"),
        (case(failed=2), HERE, [False, False], "2 of 5 requests failed"),
    ],
)
def test_a_verdict_says_plainly_what_the_machine_cannot_reach(of, here, holds, why):
    verdicts = [v for v in verdicts_of([of], here) if "less than" not in v.claim]
    assert [v.holds for v in verdicts] == holds
    assert all(why in v.line for v in verdicts if not v.holds)
    assert all(": yes (" in v.line or ": no (" in v.line for v in verdicts)


def test_stamps_are_judged_at_the_most_streams_and_ttft_at_each():
    claims = [v.claim for v in verdicts_of([case(streams=1), case(streams=200), case("tls", 1)], HERE)]
    assert [c for c in claims if "token stamps" in c] == [
        "http: token stamps p99 within 100 us at 200 streams",
        "tls: token stamps p99 within 100 us at 1 stream",
    ]
    assert sum("TTFT bias" in c for c in claims) == 3


def test_what_measuring_adds_is_judged_at_the_most_streams():
    gaps = msgspec.structs.replace(spread_of([1000]), p99_us=250.0)
    verdicts = {v.claim: v for v in verdicts_of([case(streams=1), case(bias=1500.0, itl=gaps)], HERE)}
    assert verdicts["http: less than 1% of TTFT at 200 streams"].holds
    assert not verdicts["http: less than 1% of each gap (p99) at 200 streams"].holds


async def test_a_real_case_is_measured_whole_against_the_simulators_log():
    told = []
    found = await selftest(streams=(4,), on_case=told.append)
    assert [(c.scheme, c.failed) for c in told] == [("http", 0), ("tls", 0)]
    assert found.cases == tuple(told)
    for one in told:
        assert (one.requests, one.tokens.n, one.ttft.n) == (4, 400, 4)
        # A stamp cannot lie before the write whose bytes it stamps.
        assert one.tokens.bias_us > 0
        assert one.tokens.p50_us <= one.read_tokens.p50_us
    assert one.itl.n == 4 * 99
    assert any(condition.name == "clock" for condition in found.conditions)
    assert msgspec.json.decode(msgspec.json.encode(found))["verdicts"]
