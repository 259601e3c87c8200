"""The line of progress: what it says, when it draws, and that it leaves a clean line."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from handmade import failed_record, record

from lens.cli.progress import Progress
from lens.model import Usage
from lens.units import NS_PER_S


def state(*, done, total=None, open_=2, failed=0, seconds=10, spent_nusd=None):
    return SimpleNamespace(
        done=done, total=total, in_flight=open_, failed=failed, elapsed_ns=seconds * NS_PER_S, spent_nusd=spent_nusd
    )


def shown(progress, at):
    return progress.line(at, at.elapsed_ns)


def test_the_line_says_how_far_how_fast_and_what_failed():
    progress = Progress(live=False)
    for one in [record((100, 110, 120), usage=Usage(output_tokens=3))] * 5 + [failed_record()]:
        progress.on_record(one)
    assert shown(progress, state(done=6, total=24, failed=1)) == (
        "6/24 done, 2 open  10 s, 30 s left  0.6 req/s  TTFT p50 100.0 p95 100.0 ms  ITL 10.00 ms  2 tokens/s  "
        "lag p95 20 us  1 failed (1 rate_limited)"
    )


def test_a_run_that_time_ends_knows_what_is_left():
    progress = Progress(live=False, duration_ns=40 * NS_PER_S)
    assert "10 s, 30 s left" in shown(progress, state(done=3))


def test_a_run_without_an_end_says_only_how_far_it_is():
    assert shown(Progress(live=False), state(done=3)) == "3 done, 2 open  10 s  0.3 req/s"


def test_plain_lines_come_every_five_seconds(capsys):
    progress = Progress(live=False)
    for second in range(13):
        progress.on_progress(state(done=second, seconds=second))
    assert [line.split()[1] for line in capsys.readouterr().err.splitlines()] == ["5", "10"]


@pytest.mark.parametrize(("no_color", "colored"), [("", True), ("1", False)])
def test_the_live_line_is_written_over_and_wiped(monkeypatch, capsys, no_color, colored):
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("COLUMNS", "70")
    progress = Progress(live=True)
    progress.on_progress(state(done=1, total=2, failed=1))
    drawn = capsys.readouterr().err
    assert drawn.startswith("\r\x1b[K")
    assert ("\x1b[32m" in drawn) is colored
    assert "\n" not in drawn
    progress.on_end(None)
    progress.on_end(None)
    assert capsys.readouterr().err == "\r\x1b[K"
