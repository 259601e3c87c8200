"""`--real-time`: one JSON line a request and one a second; a reader that goes away ends the lines, not the run."""

import json
import os
import sys

import pytest
from handmade import failed_record, full_record, record

from lens._core.clock import now_ns
from lens.model import Usage
from lens.orchestrator.run_state import RunState
from lens.run.real_time import RealTime
from lens.units import NS_PER_S


@pytest.fixture
def told(capsysbinary):
    """The lines that were written since the last look."""
    return lambda: [json.loads(line) for line in capsysbinary.readouterr().out.splitlines()]


def take(lines, record):
    """A request ends, and the progress is looked at."""
    lines.on_record(record)
    lines.on_progress(RunState(None))


def test_a_request_is_told_with_its_figures(told):
    measured = record((100, 110, 120), usage=Usage(input_tokens=7, output_tokens=3), token_source="usage")
    take(RealTime(), measured)
    (line,) = told()
    assert line["event"] == "request"
    assert line["ttft_ms"] == 100.0
    assert line["tpot_ms"] == 10.0
    assert (line["input_tokens"], line["output_tokens"], line["status"]) == (7, 3, "Success")
    assert "error" not in line


def test_what_is_not_known_is_left_out_and_a_failure_says_why(told):
    take(RealTime(), failed_record("the peer closed the connection"))
    (line,) = told()
    assert line["error"] == "the peer closed the connection"
    assert not {"ttft_ms", "output_tokens"} & set(line)


def test_progress_is_told_once_a_second_however_often_it_is_looked_at(told):
    lines, state = RealTime(), RunState(None)
    for looked in range(13):
        state.started_ns = now_ns() - looked * 3 * NS_PER_S // 10
        state.begun, state.done, state.failed = looked + 2, looked, 1
        lines.on_progress(state)
    seen = told()
    assert [round(line["elapsed_s"], 1) for line in seen] == [1.2, 2.4, 3.6]
    assert seen[0] == {"event": "progress", "elapsed_s": seen[0]["elapsed_s"], "done": 4, "failed": 1, "open": 2}


def test_a_reader_that_goes_away_is_written_to_no_more(monkeypatch):
    ours, theirs = os.pipe()
    out = os.fdopen(theirs, "w")
    monkeypatch.setattr(sys, "stdout", out)
    lines = RealTime()
    take(lines, full_record())
    assert os.read(ours, 65536).startswith(b'{"event":"request"')
    os.close(ours)
    for _ in range(3):
        take(lines, full_record())
    with pytest.raises(BrokenPipeError):  # the first of the three is still there to be written
        out.close()
