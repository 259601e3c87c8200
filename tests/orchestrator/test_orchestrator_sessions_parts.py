"""What sessions are made of: pauses, words of blocks, histories with tools, salts, synthetic turns, instants."""

from __future__ import annotations

import random

import msgspec
import pytest
import trio
from waiting import HANG_S

from lens._core.clock import now_ns
from lens.config.settings import LoadConfig, PromptConfig, RunConfig, SessionConfig, TargetConfig
from lens.errors import ConfigError
from lens.model import SessionTurn, ToolCall
from lens.orchestrator.plan import make_plan
from lens.orchestrator.sessions.blocks import Blocks, block_text, most_bytes
from lens.orchestrator.sessions.dependencies import predecessors, with_history
from lens.orchestrator.sessions.due import DueTimes
from lens.orchestrator.sessions.history import LiveAnswer, calls_differ, live_answer, salt_of, turn_prompt
from lens.orchestrator.sessions.pauses import parse_draw, parse_pauses, parse_tools
from lens.orchestrator.sessions.sent import SentPrompts
from lens.orchestrator.sessions.session import Session, SessionPlan, SessionsCut, Turn, linear_session
from lens.orchestrator.sessions.synthetic import made_up_sessions, turn_counts
from lens.units import NS_PER_MS, NS_PER_S
from lens.wire import Reading

import handmade  # isort: skip


@pytest.mark.parametrize(
    ("text", "low_ms", "high_ms", "mean_ms"),
    [("2s", 2000, 2000, 2000), ("1s-3s", 1000, 3000, 2000), ("2s:500ms", 0, 4500, 2000), ("0", 0, 0, 0)],
)
def test_times_are_drawn_as_asked(text, low_ms, high_ms, mean_ms):
    draw = parse_draw(text)
    generator = random.Random(1)
    found = [draw(generator) / NS_PER_MS for _ in range(2000)]
    assert low_ms <= min(found) <= max(found) <= high_ms
    assert sum(found) / len(found) == pytest.approx(mean_ms, rel=0.05, abs=0.1)


def test_exponential_times_have_their_mean_and_spread():
    draw = parse_draw("2s:exp")
    generator = random.Random(1)
    found = [draw(generator) / NS_PER_S for _ in range(20_000)]
    assert sum(found) / len(found) == pytest.approx(2, rel=0.05)
    assert sum(one > 2 for one in found) / len(found) == pytest.approx(0.368, abs=0.02)


@pytest.mark.parametrize("text", ["", "soon", "cap=", "cap=x", "3s-1s", "2s:", "2s:x", "-1s", "none please"])
def test_a_pause_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match="--think"):
        parse_pauses(text or " ")


@pytest.mark.parametrize("text", ["", "1s", "2:1s", "-0.1:1s", "x:1s", "0.5:", "0.5:x"])
def test_tools_that_are_none_are_refused(text):
    with pytest.raises(ConfigError, match="--tools"):
        parse_tools(text)


def test_pauses_keep_drop_cap_or_replace_those_of_a_recording():
    turns = [Turn(messages=({"role": "user", "content": "x"},), think_ns=20 * NS_PER_S, tool_ns=tool * NS_PER_S)
             for tool in (0, 0, 30)]  # fmt: skip
    session = linear_session("s", turns)
    target = TargetConfig(provider="openai", model="m", base_url="http://127.0.0.1:1/v1", proxy="")

    def planned(**fields):
        config = RunConfig(targets=(target,), sessions=SessionConfig(file="given", **fields))
        plan = make_plan(config, {}, read=[session])
        return [(turn.think_ns / NS_PER_S, turn.tool_ns / NS_PER_S) for turn in plan.sessions.sessions[0].turns]

    assert planned() == planned(think="recorded") == [(20, 0), (20, 0), (20, 30)]
    assert planned(think="none") == [(0, 0), (0, 0), (0, 30)]
    assert planned(think="cap=15s") == [(15, 0), (15, 0), (15, 15)]
    assert planned(think="1s") == [(0, 0), (1, 0), (0, 30)]  # nobody thinks while tools work


def test_equal_blocks_are_equal_words_and_others_begin_otherwise():
    short, longer = (block_text(Blocks(ids=(7, 8, 9)[:n], words=w, size=4)) for n, w in ((2, 8), (3, 10)))
    assert longer.startswith(f"{short} ")
    assert [len(text.split(" ")) for text in (short, longer)] == [8, 10]
    other = block_text(Blocks(ids=(70, 8), words=8, size=4))
    assert other.split(" ")[0] != short.split(" ")[0]
    assert other.split(" ")[4:] == short.split(" ")[4:]
    assert block_text(Blocks(ids=(7,), words=4, size=4, scope="a")) != block_text(Blocks(ids=(7,), words=4, size=4))


@pytest.mark.parametrize(("ids", "words", "size"), [((), 5, 512), ((1,), 30_000, 64), ((1, 2), 3, 512), ((1, 2), 1, 1)])
def test_a_text_of_blocks_has_as_many_words_as_asked_and_no_more_bytes_than_told(ids, words, size):
    blocks = Blocks(ids=ids, words=words, size=size, scope="trace-1")
    text = block_text(blocks)
    assert len(text.split(" ")) == words
    assert len(text.encode()) <= most_bytes(blocks)


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([(0, 5), (5, 9), (9, 12)], [(), (0,), (1,)]),
        ([(0, 5), (6, 9), (6, 8), (10, 11)], [(), (0,), (0,), (1, 2)]),
        ([(0, 9), (1, 2), (3, 4), (10, 11)], [(), (), (1,), (0, 2)]),
        ([(0, 1), (0, 1), (5, 6)], [(), (), (0, 1)]),
        ([], []),
    ],
)
def test_a_request_waited_for_the_last_that_had_ended(spans, expected):
    assert predecessors([begin for begin, _ in spans], [end for _, end in spans]) == expected


def test_a_history_is_found_where_messages_and_answer_are_repeated():
    one, two = {"role": "user", "content": "1"}, {"role": "user", "content": "3"}
    said = {"role": "assistant", "content": "2"}
    found = with_history([(one,), (two,), (one, said, two), (one, two)], [said, None, None, None])
    assert found == [((), (one,)), ((), (two,)), ((0,), (two,)), ((), (one, two))]


def tool_session():
    call = {"id": "old", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
    return linear_session(
        "s",
        [
            Turn(messages=({"role": "user", "content": "time?"},), answer={"role": "assistant", "tool_calls": [call]}),
            Turn(messages=({"role": "tool", "tool_call_id": "old", "content": "noon"},)),
        ],
    )


def test_results_of_tools_go_under_the_ids_that_the_model_gave():
    own = LiveAnswer("", (ToolCall(name="clock", arguments='{"zone": 1}', id="new"),))
    messages = turn_prompt(tool_session(), 1, answers={0: own}).messages
    assert [call["id"] for call in messages[1]["tool_calls"]] == ["new"]
    assert messages[1]["tool_calls"][0]["function"] == {"name": "clock", "arguments": '{"zone": 1}'}
    assert messages[2] == {"role": "tool", "tool_call_id": "new", "content": "noon"}
    assert not calls_differ(own, tool_session().turns[0])


def test_recorded_calls_stand_in_where_the_model_made_others():
    plain = live_answer(Reading(category="success", text="It is noon."))
    messages = turn_prompt(tool_session(), 1, answers={0: plain}).messages
    assert messages[1]["content"] == "It is noon."
    assert [call["id"] for call in messages[1]["tool_calls"]] == ["old"]
    assert messages[2]["tool_call_id"] == "old"
    assert calls_differ(plain, tool_session().turns[0])
    assert SessionsCut(replaced=2).warnings()[0].startswith("2 answers made other tool calls than the recording")


def test_calls_that_nobody_answers_are_not_repeated():
    session = linear_session("s", [Turn(messages=({"role": "user", "content": text},)) for text in "ab"])
    answer = LiveAnswer("hm", (ToolCall(name="clock", id="c"),))
    assert turn_prompt(session, 1, answers={0: answer}).messages[1] == {"role": "assistant", "content": "hm"}


@pytest.mark.parametrize("content", ["hello", [{"type": "text", "text": "hello"}], None])
def test_a_salt_stands_before_all_else(content):
    session = Session(id="s", turns=(Turn(messages=({"role": "user", "content": content},)),))
    (message,) = turn_prompt(session, 0, salt="[ab]").messages
    first = message["content"][0]["text"] if isinstance(content, list) else message["content"]
    assert first.startswith("[ab]")
    (unchanged,) = turn_prompt(session, 0).messages
    assert unchanged["content"] == content


def test_salts_differ_by_session_or_by_run_and_come_again():
    def salt(kind, seed, name):
        return salt_of(SessionPlan(sessions=(), source="x", salt=kind, salt_seed=seed), name)

    assert salt("none", "1", "a") is None
    assert salt("session", "1", "a") == salt("session", "1", "a") != salt("session", "1", "b")
    assert salt("session", "1", "a") != salt("session", "2", "a")
    assert salt("run", "1", "a") == salt("run", "1", "b") != salt("run", "2", "a")


def test_a_system_prompt_is_added_where_a_session_has_none():
    session = Session(id="s", turns=(Turn(messages=({"role": "user", "content": "hi"},)),))
    assert turn_prompt(session, 0, system="be kind").messages[0] == {"role": "system", "content": "be kind"}
    own = Session(id="s", turns=(Turn(messages=({"role": "system", "content": "own"},)),))
    assert [message["content"] for message in turn_prompt(own, 0, system="be kind").messages] == ["own"]


def test_synthetic_sessions_are_seeded_and_as_long_as_asked():
    config = SessionConfig(turns="2-6", turn_tokens="20:5", think="1s:exp", tools="0.5:2s")
    prompts = PromptConfig(output_tokens="7", shared_prefix_tokens=4)
    found = made_up_sessions(config, prompts, count=200, seed=3)
    assert found == made_up_sessions(config, prompts, count=200, seed=3)
    assert found != made_up_sessions(config, prompts, count=200, seed=4)
    assert {len(session.turns) for session in found} == {2, 3, 4, 5, 6}
    later = [turn for session in found for turn in session.turns if turn.after]
    by_tool = [turn for turn in later if turn.tool_ns]
    assert {turn.tool_ns for turn in by_tool} == {2 * NS_PER_S}
    assert not any(turn.think_ns for turn in by_tool)
    assert len(by_tool) / len(later) == pytest.approx(0.5, abs=0.1)
    words = [len(turn.messages[-1]["content"].split(" ")) for turn in later]
    assert sum(words) / len(words) == pytest.approx(20, abs=1)
    assert {turn.max_tokens for turn in later} == {7}
    assert len({session.turns[0].messages[0]["content"] for session in found}) == 1  # the shared system prompt


def test_sessions_that_come_round_again_have_ids_and_salts_of_their_own():
    target = TargetConfig(provider="openai", model="m", base_url="http://127.0.0.1:1/v1", proxy="")
    config = RunConfig(
        targets=(target,), load=LoadConfig(iterations=3), sessions=SessionConfig(file="given", salt="session")
    )
    plan = make_plan(config, {}, read=[tool_session()])
    assert plan.total == 6
    assert not plan.warnings


@pytest.mark.parametrize("history", ["recorded", "live"])
def test_what_turns_have_asked_is_told_by_their_records(history):
    session = linear_session(
        "s",
        [Turn(messages=({"role": "user", "content": text},), answer={"role": "assistant", "content": "said"})
         for text in "ab"],
    )  # fmt: skip
    sent = SentPrompts(SessionPlan(sessions=(session,), source="x", history=history), system="be kind")
    records = [
        handmade.record(prompt_id=f"s/{n}", text=f"own {n}", session=SessionTurn(session_id="s#2", turn=n, turns=2))
        for n in range(2)
    ]
    for record in records:
        sent.add(record)
    answer = "own 0" if history == "live" else "said"
    assert [m["content"] for m in sent.prompt_of(records[1]).messages] == ["be kind", "a", answer, "b"]
    assert not sent.prompt_of(handmade.record()).messages


@pytest.mark.parametrize("native", [True, False], ids=["timer", "sleeping"])
async def test_nobody_is_woken_before_the_time_and_an_earlier_one_overtakes(native):
    due = DueTimes(native=native)
    woken = []

    async def wait(at_ns):
        await due.wait_until(at_ns)
        woken.append((at_ns, now_ns()))

    with trio.fail_after(HANG_S):
        async with trio.open_nursery() as running:
            running.start_soon(due.run)
            zero = now_ns()
            async with trio.open_nursery() as nursery:
                for after_ms in (40, 10, 10, 25, -5):
                    nursery.start_soon(wait, zero + after_ms * NS_PER_MS)
            running.cancel_scope.cancel()
    assert all(came >= at for at, came in woken)
    assert len(woken) == 5
    assert woken[-1][0] == zero + 40 * NS_PER_MS


async def test_a_wait_that_is_cancelled_holds_nobody_up():
    due = DueTimes()
    with trio.fail_after(HANG_S):
        async with trio.open_nursery() as running:
            running.start_soon(due.run)
            with trio.move_on_after(0.01):
                await due.wait_until(now_ns() + 20 * NS_PER_MS)
            await due.wait_until(now_ns() + 30 * NS_PER_MS)
            running.cancel_scope.cancel()


def test_a_session_is_what_it_was_after_a_worker_has_read_it():
    plan = SessionPlan(sessions=(tool_session(),), source="x", header="X-Session-ID")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(plan), type=SessionPlan) == plan


@pytest.mark.parametrize("spec", ["2-9999999999", "10001"])
def test_more_turns_than_a_session_may_have_are_refused_by_the_name_of_their_option(spec):
    with pytest.raises(ConfigError, match=f"--turns '{spec}': at most 10,000 turns a session"):
        turn_counts(spec, 1)
