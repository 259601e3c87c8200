"""From what came off the wire to a record: what is kept, what is masked, what a broken codec costs."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from handmade import MS, events, failed_record, record, stamps

from lens._core.clock import now_ns
from lens.config.settings import TargetConfig
from lens.model import Attempt, Connection, Failure, SessionTurn, Signal, Status, ToolCall, Try, resends_of
from lens.orchestrator import collect
from lens.orchestrator.plan import Slot
from lens.orchestrator.plan_target import make_target
from lens.orchestrator.schedule import Stage
from lens.wire import Exchange, Prompt, Reading, Secret

PROMPT = Prompt(text="hi", id="p-1")
TARGET = make_target(
    TargetConfig(provider="openai", model="m", base_url="http://localhost:1/v1", labels={"team": "a", "zone": "x"})
)
REQUEST = TARGET.encode(PROMPT)
SLOT = Slot(index=7, stage=Stage(name="burst"), target=0, prompt=0, warmup=True)
TEXT = int(Signal.TEXT)


def exchange(**more):
    came = events((10, TEXT, 1), (11, TEXT, 1), (12, TEXT, 1))
    return Exchange(
        **({"stamps": stamps(start_ns=now_ns(), end=12), "status": 200, "events": came, "ended": True} | more)
    )


def made(reading, came=None, **more):
    return collect.record_of(SLOT, TARGET, REQUEST, came or exchange(), reading, prompt=PROMPT, **more)


def test_a_record_holds_its_place_its_target_and_what_was_read():
    reading = Reading(category="success", text="abc", reasoning="hm", finish_reason="stop", tokens_per_event=(1, 1, 1))
    one = made(reading, labels={"zone": "y"}, keep_text=True)
    assert (one.index, one.stage, one.warmup, one.prompt_id) == (7, "burst", True, "p-1")
    assert (one.provider, one.model, one.status, one.finish_reason) == ("openai", "m", Status.SUCCESS, "stop")
    assert one.labels == {"team": "a", "zone": "y"}
    assert (one.text, one.reasoning, list(one.tokens_per_event)) == ("abc", "hm", [1, 1, 1])
    assert uuid.UUID(one.request_id).version == 4
    assert abs(datetime.fromisoformat(one.timestamp) - datetime.now(UTC)) < timedelta(minutes=10)


def test_text_and_arguments_stay_only_where_they_are_asked_for():
    call = ToolCall(name="f", arguments='{"a": 1}')
    reading = Reading(category="success", text="abc", tool_calls=(call,), choices=("a", "b"))
    kept, bare = made(reading, keep_text=True), made(reading)
    assert (kept.text, kept.choices, kept.tool_calls) == ("abc", ("a", "b"), (call,))
    assert (bare.text, bare.choices, bare.reasoning, bare.text_marks) == (None, None, None, None)
    assert bare.tool_calls == (ToolCall(name="f", arguments=""),)


def test_a_request_that_this_client_stopped_is_cancelled_whatever_its_answer_looks_like():
    stop = Failure(message="stopped by the user", where="client")
    one = made(Reading(category="protocol_error"), exchange(category="cancelled", failure=stop))
    assert (one.category, one.status, one.failure.message) == ("cancelled", Status.CANCELLED, "stopped by the user")


def test_a_turn_of_a_session_is_in_its_record():
    turn = SessionTurn(session_id="s", turn=0, turns=2)
    slot = msgspec.structs.replace(SLOT, turn=turn)
    one = collect.record_of(slot, TARGET, REQUEST, exchange(), Reading(category="success"), prompt=PROMPT)
    assert one.session is turn


class Codec:
    """A provider whose decoder does what it is told."""

    def __init__(self, answer):
        self.answer = answer

    def decode(self, *_):
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def read(answer):
    return collect.read_answer(msgspec.structs.replace(TARGET, provider=Codec(answer)), REQUEST, exchange())


def test_a_decoder_that_breaks_costs_its_own_request_and_shows_no_secret():
    Secret("tok-very-secret-1")
    reading = read(ValueError("bad tok-very-secret-1"))
    assert reading.category == "protocol_error"
    assert reading.failure.where == "client"
    assert "the answer broke its decoder: ValueError: bad ***" in reading.failure.message


def test_no_memory_to_read_an_answer_costs_that_answer_and_says_what_limits_it():
    reading = read(MemoryError())
    assert reading.category == "protocol_error"
    assert "--answer-limit" in reading.failure.message


def test_secrets_that_a_server_sends_back_are_masked_in_every_text():
    Secret("tok-very-secret-2")
    told = Reading(
        category="success",
        text="is tok-very-secret-2 yours?",
        tool_calls=(ToolCall(name="f", arguments='{"k": "tok-very-secret-2"}'),),
        headers={"x-tok-very-secret-2": "tok-very-secret-2"},
    )
    masked = read(told)
    assert "tok-very-secret-2" not in repr(masked)
    assert masked.text == "is *** yours?"
    assert masked.tool_calls[0].arguments == '{"k": "***"}'
    innocent = Reading(category="success", text="nothing of that kind")
    assert read(innocent) is innocent
    odd = Reading(category="success", text="half of a pair \ud800")
    assert read(odd).text == odd.text


def test_events_after_the_end_of_an_answer_are_no_part_of_it():
    came = events((10, TEXT, 1), (11, TEXT, 2), (12, TEXT, 3))
    assert collect.first_events(came, None) is came
    two = collect.first_events(came, 2)
    assert (list(two.chars), len(two.arrived_ns), len(two.read)) == ([1, 2], 2, 2)
    assert list(collect.first_events(came, None, [4, 5, 6]).chars) == [4, 5, 6]


def test_each_kind_of_warning_is_told_once_and_kinds_are_bounded():
    found = collect.AnswerWarnings()
    for n in (3, 4):
        found.add(record(warnings=(f"{n} events held text under `x`",)))
    found.add(record(warnings=("bytes came",)))
    found.add(record())
    assert found.warnings() == ("2 answers: 3 events held text under `x`", "1 answer: bytes came")
    for name in "abcdefghijklmnopqrstuvwxyz":
        found.add(record(warnings=(f"a field {name} is new",)))
    assert len(found.warnings()) == collect.MOST_WARNINGS


def test_an_attempt_keeps_when_it_ran_and_why_it_was_not_the_last():
    one = failed_record()
    kept = collect.try_of(one, 5 * MS)
    assert (kept.start_ns, kept.end_ns) == (one.stamps.start, one.stamps.end)
    assert (kept.category, kept.http_status, kept.wait_ns) == ("rate_limited", 429, 5 * MS)
    assert kept.message == "Rate limit reached"
    unended = msgspec.structs.replace(one, stamps=msgspec.structs.replace(one.stamps, end=None), failure=None)
    assert collect.try_of(unended, 0).end_ns == one.stamps.start
    assert collect.try_of(unended, 0).message is None


def test_an_attempt_keeps_how_often_it_alone_was_sent_before():
    died = Attempt(address="127.0.0.1", family="ipv4", start_ns=0, end_ns=1, error="closed", resent=True)
    before = Try(start_ns=1, end_ns=2, category="overloaded", resent=3)
    one = failed_record(connection=Connection(reused=False, attempts=(died, died)), tries=(before,))
    assert collect.try_of(one, 0).resent == 2
    assert resends_of(one) == 5


@pytest.mark.parametrize("_", range(3))
def test_request_ids_are_random_uuids(_):
    ids = {collect.make_request_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", one) for one in ids)
