"""Whether a server holds tool arguments back shows in how their events come, not in how many there are."""

import pytest
from handmade import MS, events
from test_analysis_diagnosis import asked, diagnose, healthy

from lens.analysis.diagnosis.symptoms import LONG_ANSWER, TOOL_CALL
from lens.model import Signal, ToolCall

TOOL = int(Signal.TOOL)


def called(index, *rows, reads=None, before=None, gap=None, stream=True):
    """An answer that calls a tool named save_text; rows of (ms, characters)."""
    came = events(*[(at, TOOL, chars) for at, chars in rows], reads=reads)
    call = ToolCall(
        name="save_text", first_ns=rows[0][0] * MS, last_ns=rows[-1][0] * MS, deltas=len(rows), valid=True,
        silence_ns=None if before is None else before * MS, gap_ns=None if gap is None else gap * MS,
    )  # fmt: skip
    return asked(index, TOOL_CALL, 50, events=came, tool_calls=(call,), stream=stream)


def verdict(*records):
    found = diagnose([*healthy(), *records])
    named = [one for one in (*found.findings, *found.fine) if one.cause == "tool arguments"]
    return named[0] if named else next((one for one in found.untold if one.startswith("tool calls")), None)


def test_arguments_that_come_in_one_event_after_a_silence_are_held_back():
    found = verdict(called(20, (900, 400)), called(21, (950, 400)))
    assert found.kind == "warning"
    assert found.says.startswith("tool calls: the server holds tool arguments back until they are complete: 391 char")
    assert found.evidence[0] == "391 characters in 1 event and 1 read (requests 20, 21)"


def test_a_name_that_comes_early_does_not_hide_that_the_arguments_come_late():
    found = verdict(called(20, (55, 9), (900, 400), gap=845))
    assert found.kind == "warning"
    assert "845 ms" in found.says


def test_many_events_in_one_read_are_held_back_too():
    found = verdict(called(20, *[(900, 8)] * 50, reads=[3] * 50, gap=0))
    assert found.kind == "warning"
    assert found.evidence[0] == "391 characters in 50 events and 1 read (request 20)"


def test_arguments_that_come_piece_by_piece_are_fine():
    found = verdict(called(20, *[(60 + 10 * i, 8) for i in range(50)], gap=10))
    assert (found.kind, found.says) == (
        "fine", "tool calls: arguments come as they are written, in 50 events (request 20)"
    )  # fmt: skip


def test_short_arguments_and_no_calls_tell_nothing():
    assert "fewer than 80 characters" in verdict(called(20, (900, 40)))
    assert "the model called no tool" in verdict(asked(20, TOOL_CALL, 50))


@pytest.mark.parametrize("record", [None, called(20, (900, 400), stream=False)])
def test_what_was_not_asked_or_not_streamed_says_nothing(record):
    assert verdict(*([] if record is None else [record])) is None


def test_where_every_answer_comes_in_one_piece_the_tool_is_not_blamed():
    whole = [asked(i, LONG_ANSWER, 900, n=96, itl=0, reads=[3] * 96) for i in (6, 7)]
    found = diagnose([*healthy(long_answer=whole), called(20, (900, 400))])
    assert not [one for one in (*found.findings, *found.fine) if one.cause == "tool arguments"]


def test_a_client_that_reads_late_itself_blames_nobody():
    late = called(20, (900, 400))
    late.events.lag_ns[0] = 500 * MS
    assert "this client itself read up to 500 ms late" in verdict(late)
