"""The line of progress: what it says, when it draws, and that it leaves a clean line."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from handmade import failed_record, record

from lens.cli.progress import Progress
from lens.model import Usage
from lens.orchestrator.schedule import Stage
from lens.units import NS_PER_S


def state(*, done, total=None, open_=2, failed=0, seconds=10, spent_nusd=None, opening=0, stage=None):
    return SimpleNamespace(
        done=done,
        total=total,
        in_flight=open_,
        failed=failed,
        elapsed_ns=seconds * NS_PER_S,
        spent_nusd=spent_nusd,
        opening=opening,
        stage=stage,
    )


def shown(progress, at):
    return progress.line(at, at.elapsed_ns)


def test_the_line_says_how_far_how_fast_and_what_failed():
    progress = Progress(live=False)
    for one in [record((100, 110, 120), usage=Usage(output_tokens=3))] * 5 + [failed_record()]:
        progress.on_record(one)
    assert shown(progress, state(done=6, total=24, failed=1)) == (
        "0.6 req/s  2 open  6/24 done  1 failed (1 rate_limited)  10 s, 30 s left  2 tokens/s  "
        "TTFT p50 100.0 p95 100.0 ms  ITL p50 10.00 p95 10.00 ms  lag p95 20 us"
    )


def test_a_run_that_time_ends_knows_what_is_left():
    progress = Progress(live=False, duration_ns=40 * NS_PER_S)
    assert "10 s, 30 s left" in shown(progress, state(done=3))


def test_a_run_without_an_end_says_only_how_far_it_is():
    assert shown(Progress(live=False), state(done=3)) == "0.3 req/s  2 open  3 done  10 s"


@pytest.mark.parametrize(
    ("timeout_s", "open_", "says"),
    [
        (600, 4, "20 s, waiting for 4 answers (at most 600 s each: --timeout)"),
        (0, 1, "20 s, waiting for 1 answer (without limit: --timeout)"),
        (600, 0, "20 s, 0 s left"),
    ],
)
@pytest.mark.parametrize("of_workers", [False, True])
def test_after_its_duration_a_run_says_what_it_waits_for(timeout_s, open_, says, of_workers, capsys):
    stage = None if of_workers else Stage(name="iterations", concurrency=4, duration_ns=3 * NS_PER_S)
    progress = Progress(live=False, duration_ns=3 * NS_PER_S, timeout_ns=timeout_s * NS_PER_S)
    for second in (0, 1, 20):
        progress.on_progress(state(done=12, open_=open_, seconds=second, stage=stage))
    assert capsys.readouterr().err.splitlines()[-1].endswith(says)


@pytest.mark.parametrize(("second", "says"), [(14, "14 s, 1 s left"), (16, "16 s, waiting for 4 answers")])
def test_the_last_answers_are_waited_for_once_none_has_come_for_a_while(second, says, capsys):
    progress = Progress(live=False, timeout_ns=NS_PER_S)
    progress.on_progress(state(done=95, total=100, open_=4, seconds=0))
    progress.on_progress(state(done=96, total=100, open_=4, seconds=10))
    progress._next_ns = 0
    progress.on_progress(state(done=96, total=100, open_=4, seconds=second))
    assert says in capsys.readouterr().err.splitlines()[-1]


def test_plain_lines_come_every_ten_seconds(capsys):
    progress = Progress(live=False)
    for second in range(23):
        progress.on_progress(state(done=second, seconds=second))
    assert [line.split("  ")[3] for line in capsys.readouterr().err.splitlines()] == ["10 s", "20 s"]


@pytest.mark.parametrize(("live", "lines"), [(False, 1), (True, 3)], ids=["one line", "written over"])
def test_connections_that_take_long_to_open_are_told(live, lines, capsys):
    progress = Progress(live=live)
    for second in range(4):
        progress.on_progress(state(done=0, seconds=second, opening=4))
    told = capsys.readouterr().err
    assert told.count("opening 4 connections before the first request") == lines


def test_a_clock_that_begins_again_is_followed(capsys):
    progress = Progress(live=False)
    for second in (0, 15, 30, 0, 12):
        progress.on_record(record((100, 110, 120), usage=Usage(output_tokens=3)))
        progress.on_progress(state(done=1, seconds=second))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[3] for line in lines] == ["15 s", "30 s", "12 s"]
    assert "  0 tokens/s" in lines[2], "3 tokens of the first second of it are not counted again"


@pytest.fixture
def busy():
    """A run of 65 s that answers one request a second, and four a second in its last five."""
    progress = Progress(live=True)
    progress._fine = True
    done = 0
    for second in range(66):
        done += 4 if second > 60 else 1
        progress.on_progress(state(done=done, total=1000, seconds=second))
    for one in [failed_record()] * 1234 + [record((100, 110, 120), usage=Usage(output_tokens=3))] * 50:
        progress.on_record(one)
    return progress


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (
            120,
            [
                "1.2 req/s  1000 open  81/1000 done  1234 failed (1234 rate_limited)",
                "2 tokens/s  TTFT p50 100.0 p95 100.0 ms  ITL p50 10.00 p95 10.00 ms  $0.0123  lag p95 20 us",
                "▂" * 55 + "█" * 5 + "  req/s, last 60 s",
                "━━━" + "╌" * 37 + "  65 s, 737 s left",
            ],
        ),
        (
            80,
            [
                "1.2 req/s  1000 open  81/1000 done  1234 failed (1234 rate_limited)",
                "2 tokens/s  TTFT p50 100.0 p95 100.0 ms  ITL p50 10.00 p95 10.00 ms  $0.0123",
                "lag p95 20 us",
                "▂" * 55 + "█" * 5 + "  req/s, last 60 s",
                "━━━" + "╌" * 37 + "  65 s, 737 s left",
            ],
        ),
        (
            44,
            [
                "1.2 req/s  1000 open  81/1000 done",
                "1234 failed (1234 rate_limited)",
                "2 tokens/s  TTFT p50 100.0 p95 100.0 ms",
                "ITL p50 10.00 p95 10.00 ms  $0.0123",
                "lag p95 20 us",
                "▂" * 21 + "█" * 5 + "  req/s, last 60 s",
                "━━" + "╌" * 24 + "  65 s, 737 s left",
            ],
        ),
    ],
    ids=["120", "80", "44"],
)
def test_the_live_view_is_this_text_at_every_width(busy, width, lines):
    at = state(done=81, total=1000, open_=1000, failed=1234, seconds=65, spent_nusd=12_300_000)
    shown = busy.view(at, at.elapsed_ns, width)
    assert shown == lines
    assert max(map(len, shown)) <= width


def test_nothing_is_cut_on_the_narrowest_terminal(busy):
    at = state(done=81, total=1000, open_=1000, failed=1234, seconds=65)
    shown = " ".join(busy.view(at, at.elapsed_ns, 20))
    for word in ("1.2 req/s", "1000 open", "81/1000 done", "1234 failed", "rate_limited"):
        assert word in shown


@pytest.mark.parametrize(("no_color", "colored"), [("", True), ("1", False)])
def test_the_live_view_is_written_over_and_wiped(monkeypatch, capsys, no_color, colored):
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("COLUMNS", "70")
    progress = Progress(live=True)
    progress.on_progress(state(done=1, total=2, failed=1))
    drawn = capsys.readouterr().err
    assert drawn.startswith("\r\x1b[J")
    assert ("\x1b[1;31m1 failed" in drawn) is colored
    lines = drawn.count("\n") + 1
    progress.on_progress(state(done=2, total=2, seconds=11))
    assert capsys.readouterr().err.startswith(f"\r\x1b[{lines - 1}A\x1b[J")
    progress.on_end(None)
    progress.close()
    progress.close()
    ended = capsys.readouterr().err
    assert "\x1b[J" in ended
    assert "\n" not in ended
