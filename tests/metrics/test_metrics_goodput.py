"""Goodput: which requests kept what was promised; and what is no promise."""

from __future__ import annotations

import pytest
from handmade import MS, START, failed_record, record, stamps

from lens.errors import ConfigError
from lens.metrics.goodput import Slo, parse_slos
from lens.metrics.summarize import summarize


@pytest.mark.parametrize(
    ("text", "slos"),
    [
        ("ttft:200 tpot:50 e2el:1000", ("ttft_ms <= 200", "tpot_ms <= 50", "total_latency_ms <= 1000")),
        ("ttft:200,itl:50ms", ("ttft_ms <= 200", "itl_ms <= 50")),
        ("ttft_ms:1.5s", ("ttft_ms <= 1500",)),
        ("tps:15", ("tokens_per_second >= 15",)),
        ("schedule_lag:1ms", ("schedule_lag_us <= 1000",)),
    ],
)
def test_slos_are_read_as_people_write_them(text, slos):
    assert tuple(map(str, parse_slos(text))) == slos


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no SLO"),
        ("ttft", "a metric and a limit"),
        ("ttfp:3", "did you mean ttft"),
        ("rps:3", "not a metric of a single request"),
        ("coalescing:3ms", "not a time"),
        (f"ttft:{'9' * 400}", "is not a finite number"),
    ],
)
def test_what_is_no_slo_says_what_would_be_one(text, says):
    with pytest.raises(ConfigError, match=says):
        parse_slos(text)


def good(*records, slos):
    return summarize(records, slos=parse_slos(slos)).good


def test_a_request_is_good_when_it_met_every_slo():
    quick, slow_start, slow_pace = record((100, 110)), record((300, 310)), record((100, 180))
    assert good(quick, slow_start, slow_pace, slos="ttft:200 tpot:50") == 1
    assert good(quick, slow_start, slow_pace, slos="ttft:200") == 2
    assert good(quick, slow_start, slow_pace, slos="itl:10") == 2


def test_a_failed_request_is_never_good_though_it_began_well():
    assert good(failed_record(), record(), slos="ttft:200") == 1


def test_what_was_not_measured_keeps_no_promise_but_one_piece_has_no_pace():
    assert good(record((100, 110), usage=None), slos="tpot:50") == 0
    assert good(record((100,)), slos="tpot:50 itl:1") == 1
    assert good(record((100,)), slos="longest_gap_ms:50 stall_count:0") == 1
    assert good(record(()), slos="longest_gap_ms:50") == 0


def test_goodput_is_over_the_same_window_as_throughput():
    runs = [record((100 + 50 * i, 200), stamps=stamps(START + i * 1000 * MS, end=1000)) for i in range(4)]
    found = summarize(runs, slos=[Slo("ttft_ms", 150)])
    assert (found.good, found.goodput_rps) == (2, pytest.approx(0.5))
    assert found.requests_per_second == pytest.approx(1)
    assert found.slos == ("ttft_ms <= 150",)


def test_without_slos_there_is_no_goodput():
    found = summarize([record()])
    assert (found.good, found.goodput_rps) == (None, None)
