"""What a page says of one request besides its times: its tool calls, and whether it is what was expected."""

from handmade import MS, record

from lens.model import Judgement, ToolCall
from lens.report.facts import outcome_facts, tool_facts


def test_a_tool_call_says_when_it_was_ready_and_how_long_nothing_came():
    calls = (
        ToolCall(name="f", first_ns=10 * MS, last_ns=90 * MS, silence_ns=4 * MS, deltas=3, gap_ns=60 * MS, valid=True),
        ToolCall(name="g", first_ns=10 * MS, last_ns=90 * MS, deltas=1, valid=False),
        ToolCall(name="whole"),
    )
    assert [says for _, says in tool_facts(record(tool_calls=calls))] == [
        "f: first 10.00 ms, ready 90.00 ms, 3 events, 4.000 ms of silence before it, 60.00 ms inside at most",
        "g: first 10.00 ms, arguments incomplete, 1 event",
    ]


def test_the_outcome_says_whether_the_answer_is_what_was_expected():
    told = dict(outcome_facts(record(judged=Judgement(valid=False, reason="the answer is not JSON")), None))
    assert told["valid"] == "no: the answer is not JSON"
    assert dict(outcome_facts(record(judged=Judgement(valid=True)), None))["valid"] == "yes"
