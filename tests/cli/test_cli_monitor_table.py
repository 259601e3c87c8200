"""The live table of a monitor: every width has name, failures and newest TTFT; alerts stand under their target."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import trio
from handmade import failed_record, record

from lens.cli.monitor_table import MonitorTable, Row, table_lines
from lens.monitor.watch import Watch, Who

ROWS = [
    Row("near", 120, 0, (100.0, 110.0, 120.0), (50.0, 51.0), ()),
    Row("far-away-in-another-region", 120, 7, (900.0,), (), ("3 requests failed one after another: refused",)),
]
TABLES = {
    79: [
        "target                     failed probes  TTFT ms     p50     p95 tokens/s",
        "near                            0    120    120.0   110.0   120.0     51.0  ▇██",
        "far-away-in-another-region      7    120    900.0   900.0   900.0        -  █",
        "  3 requests failed one after another: refused",
    ],
    43: [
        "target              failed  TTFT ms     p95",
        "near                     0    120.0   120.0",
        "far-away-in-another      7    900.0   900.0",
        "  3 requests failed one after another: refu",
    ],
}


@pytest.mark.parametrize("width", TABLES)
def test_the_table_fits_its_width(width):
    shown = [line for line, _ in table_lines(ROWS, width, fine=True)]
    assert shown == TABLES[width]
    assert max(map(len, shown)) <= width


def test_a_target_with_an_alert_is_marked():
    assert [wrong for _, wrong in table_lines(ROWS, 79, fine=True)] == [False, False, True, True]
    assert table_lines([], 79, fine=True) == []


async def test_it_is_drawn_and_wiped(capsys, monkeypatch, autojump_clock):
    monkeypatch.setenv("COLUMNS", "80")
    watch = Watch(Who("p", "m", "near"), ())
    for one in (record((100, 110)), record((120, 130)), failed_record()):
        assert list(watch.add(one, 0.0)) == []
    assert (watch.requests, watch.failures, watch.values("ttft_ms")) == (3, 1, (100.0, 120.0))
    monitor = SimpleNamespace(watches={watch.who: watch}, next_round_s=12.0, rounds=3, late=0)
    table = MonitorTable(monitor, "http://127.0.0.1:9464/metrics")
    with trio.move_on_after(1.5):
        await table.run()
    shown = capsys.readouterr().err
    assert shown.count("round 3, next in 12 s  http://127.0.0.1:9464/metrics") == 2
    assert "near" in shown
    assert shown.endswith("\x1b[J")


@pytest.mark.parametrize("width", [30, 43, 59, 79])
def test_great_numbers_stand_apart_and_are_whole(width):
    rows = [Row("near", 1234567, 654321, (123456.7,), (98765.4,), ()), ROWS[0]]
    shown = [line for line, _ in table_lines(rows, width, fine=True)]
    numbers = [word for word in shown[1].split()[1:] if word[0].isdigit()]
    assert set(numbers) <= {"1,234,567", "654,321", "123456.7", "98765.4"}
    assert numbers[:1] == ["654,321"]
    assert max(map(len, shown)) <= width
