"""Cold starts in records whose truth is known."""

import random

import msgspec
import pytest
from handmade import INFO, START, record, stamps

from lens.metrics.builder import table_of
from lens.metrics.cold_start import (
    BASELINE_STAGE,
    IDLE_STAGE,
    ColdStart,
    cold_start,
    connection_penalties,
    first_request,
    level_change,
)
from lens.model import Connection, Usage

MS = 1_000_000


def asked(index, ttft_ms, *, fresh=False, tls_ms=0.0, stage=None, cached=None, resumed=None):
    """A request of a run, one a second; its TTFT counts from the send on."""
    begin = START + index * 1000 * MS
    sent = 1 + tls_ms
    phases = {"tcp_start": 0, "tcp_end": 1, "tls_start": 1, "tls_end": sent} if fresh else {}
    return record(
        (sent + ttft_ms, sent + ttft_ms + 10),
        index=index,
        stamps=stamps(
            begin, send_start=sent, send_end=sent, first_byte=sent + ttft_ms, end=sent + ttft_ms + 11, **phases
        ),
        connection=Connection(reused=not fresh, tls_resumed=resumed),
        stage=stage,
        usage=Usage(input_tokens=10, output_tokens=2, cache_read_tokens=cached),
    )


def steady(n, level=100.0, seed=1, **more):
    noise = random.Random(seed)
    return [asked(i, level + noise.gauss(0, 2), **more) for i in range(n)]


def test_pairs_tell_what_a_connection_costs_and_where():
    noise = random.Random(3)
    records = [asked(i, 100 + noise.gauss(0, 1), fresh=i % 2 == 0, tls_ms=80 if i % 2 == 0 else 0) for i in range(80)]
    found = {penalty.phase: penalty for penalty in connection_penalties(table_of(records))}
    assert found["TLS"].mean_ms == pytest.approx(80)
    assert found["TCP"].mean_ms == pytest.approx(1)
    assert found["DNS"].mean_ms == 0
    assert "resumed TLS" not in found
    server = found["first token after the send"]
    assert server.pairs == 40
    assert server.low_ms < 0 < server.high_ms, "the server was no slower over a fresh connection"


def test_resumed_handshakes_are_told_apart():
    records = [asked(i, 100, fresh=i % 2 == 0, tls_ms=30 if i % 2 == 0 else 0, resumed=True) for i in range(50)]
    found = {penalty.phase: penalty.mean_ms for penalty in connection_penalties(table_of(records))}
    assert found["resumed TLS"] == pytest.approx(30)
    assert "TLS" not in found


@pytest.mark.parametrize(("connection", "pairs"), [("both", True), ("reuse", False)])
def test_only_connections_that_were_meant_to_be_fresh_make_pairs(connection, pairs):
    info = msgspec.structs.replace(INFO, config={"load": {"connection": connection}})
    records = [asked(i, 100, fresh=i % 2 == 0, tls_ms=30) for i in range(40)]
    assert bool(connection_penalties(table_of(records, info))) is pairs


def test_a_first_request_that_stands_out_is_cold():
    assert first_request(table_of([asked(0, 900), *[asked(i, 100 + i % 3) for i in range(1, 20)]])) == (
        pytest.approx(900),
        pytest.approx(101),
    )
    assert first_request(table_of(steady(30))) == (None, None)
    assert first_request(table_of([asked(0, 900)])) == (None, None)


def test_a_change_of_level_is_found_where_it_was():
    noise = random.Random(5)
    values = [100 + noise.gauss(0, 3) for _ in range(60)] + [140 + noise.gauss(0, 3) for _ in range(60)]
    at, by_ms = level_change(table_of([asked(i, value) for i, value in enumerate(values)]))
    assert abs(at - 60) <= 2
    assert by_ms == pytest.approx(40, abs=3)


def test_a_steady_run_seldom_seems_to_change():
    changed = sum(level_change(table_of(steady(100, seed=seed)))[0] is not None for seed in range(100))
    assert changed <= 2


def test_the_idle_ladder_finds_the_gap_after_which_it_was_cold():
    warm = [asked(i, 100 + i % 3, stage=BASELINE_STAGE) for i in range(10)]
    ladder = [
        asked(20 + i, ttft, stage=f"{IDLE_STAGE}{gap}")
        for i, (gap, ttft) in enumerate(
            [("1s", 101), ("10s", 102), ("60s", 700), ("1s", 100), ("10s", 101), ("60s", 705)]
        )
    ]
    found = cold_start(table_of([*warm, *ladder]))
    assert [(gap.name, gap.cold) for gap in found.gaps] == [("1s", False), ("10s", False), ("60s", True)]
    assert found.cold_after == "60s"
    assert found.gaps[2].over_warm_ms == pytest.approx(601.5)


def test_a_cache_that_warms_up_is_seen():
    records = [asked(i, 200 if i < 3 else 120, cached=0 if i < 3 else 8) for i in range(12)]
    found = cold_start(table_of(records))
    assert (found.cache_hit_from, found.cache_saves_ms) == (4, pytest.approx(80))


def test_the_servers_own_load_time_is_reported():
    loaded = msgspec.structs.replace(asked(0, 8000), server_timing_ms={"ollama_load": 7900.0})
    assert cold_start(table_of([loaded, asked(1, 90)])).load_ms == 7900


def test_nothing_is_found_where_nothing_is():
    assert not cold_start(table_of(steady(40)))
    assert cold_start(table_of([])) == ColdStart()
