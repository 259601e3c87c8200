"""Sessions against the simulator on loopback: order, pauses, histories and how they end."""

from __future__ import annotations

import itertools

import handmade
import msgspec
import pytest
import trio
from waiting import HANG_S

from lens.config.settings import LoadConfig, PromptConfig, RunConfig, SessionConfig, TargetConfig
from lens.model import Stamps, Status
from lens.orchestrator.engine import run_plan
from lens.orchestrator.plan import make_plan
from lens.orchestrator.sessions.due import DueTimes
from lens.orchestrator.sessions.runner import SessionRunner
from lens.orchestrator.sessions.session import Session, Turn
from lens.orchestrator.shards import ALONE
from lens.orchestrator.stop import Stop
from lens.simulator import make_script, start_thread
from lens.units import NS_PER_MS, NS_PER_S
from lens.wire import Reading


@pytest.fixture(scope="module")
def simulator():
    handle = start_thread(make_script(ttft="2ms", itl="1ms", tokens=3))
    yield handle
    handle.stop()


def dialogue(*turns, **row):
    """A row of chat messages: what the user says, and answers in between."""
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[i % 2], "content": text} for i, text in enumerate(turns)], **row}


@pytest.fixture
def file_of(tmp_path):
    def write(*rows, name="sessions.jsonl"):
        path = tmp_path / name
        path.write_bytes(b"\n".join(msgspec.json.encode(row) for row in rows))
        return str(path)

    return write


def config_for(handle, file, *, target=None, prompts=None, sessions=None, **load):
    url = handle if isinstance(handle, str) else f"{handle.url}/v1"
    one = TargetConfig(provider="openai", model="m", base_url=url, proxy="", **(target or {}))
    return RunConfig(
        targets=(one,),
        load=LoadConfig(**load),
        prompts=prompts or PromptConfig(),
        sessions=SessionConfig(file=file, **(sessions or {})),
    )


async def run(config, **options):
    records = []
    with trio.fail_after(HANG_S):
        outcome = await run_plan(make_plan(config, {}), on_record=records.append, **options)
    return outcome, records


async def test_turns_of_a_session_follow_each_other_and_say_which_they_are(simulator, file_of):
    file = file_of(dialogue("a", "b", "c", "d", "e", id="long"), dialogue("x", "y", "z", id="short"))
    outcome, records = await run(config_for(simulator, file, concurrency=2))
    assert outcome.requests == 5
    assert not outcome.warnings
    for name, turns in (("long", 3), ("short", 2)):
        own = sorted((r for r in records if r.session.session_id == name), key=lambda r: r.session.turn)
        assert [r.session.turn for r in own] == list(range(turns))
        assert {r.session.turns for r in own} == {turns}
        assert [r.session.after for r in own] == [(), *[(n,) for n in range(turns - 1)]]
        assert own[0].stamps.intended is None  # a closed loop has no schedule
        for before, record in itertools.pairwise(own):
            assert record.stamps.intended == before.stamps.end
            assert record.stamps.start >= before.stamps.end


async def test_an_open_loop_starts_sessions_at_their_times(simulator, file_of):
    file = file_of(*[dialogue("a", "b", "c", id=str(n)) for n in range(4)])
    outcome, records = await run(config_for(simulator, file, sessions={"rate_per_s": 50.0}))
    assert outcome.requests == 8
    planned = {r.session.session_id: r.session.planned_ns for r in records}
    times = [planned[str(n)] for n in range(4)]
    assert [after - before for before, after in itertools.pairwise(times)] == [NS_PER_S // 50] * 3
    assert all(r.stamps.intended == planned[r.session.session_id] for r in records if r.session.turn == 0)


async def test_a_pause_counts_from_the_last_byte_of_the_answer(simulator, file_of):
    file = file_of(dialogue("a", "b", "c", "d", "e"))
    _, records = await run(config_for(simulator, file, sessions={"think": "5ms"}))
    records.sort(key=lambda r: r.session.turn)
    for before, record in itertools.pairwise(records):
        assert record.session.think_ns == 5 * NS_PER_MS
        assert record.stamps.intended == before.stamps.end + 5 * NS_PER_MS
        assert record.stamps.start >= record.stamps.intended


async def test_recorded_histories_are_the_same_bytes_on_two_servers(file_of):
    file = file_of(dialogue("a", "b \u00e9", "c", "d", "e"), dialogue("x", "y", "z"))
    seen = []
    for seed in (1, 2):  # two servers that answer differently
        with start_thread(make_script(ttft="1ms", itl="0ms", tokens=3, seed=seed)) as server:
            _, records = await run(config_for(server, file, sessions={"header": "X-Session-ID"}, concurrency=2))
            log = await trio.to_thread.run_sync(server.log)
            assert len(log) == len(records) == 5
            seen.append(sorted((entry["session"], entry["body_sha256"]) for entry in log))
    assert seen[0] == seen[1]
    assert len({body for _, body in seen[0]}) == 5


async def test_a_live_history_repeats_what_the_model_said(simulator, file_of):
    file = file_of(dialogue("a", "recorded", "b", "recorded too", "c"))
    plan = make_plan(config_for(simulator, file, sessions={"history": "live"}), {})
    sent = []
    _, records = await run_captured(plan, sent)
    records.sort(key=lambda record: record.session.turn)
    assert [record.text for record in records] == [None] * 3  # not saved unless asked for
    bodies = [msgspec.json.decode(body)["messages"] for body in sent]
    assert [len(body) for body in bodies] == [1, 3, 5]
    answers = [bodies[2][1], bodies[2][3]]
    assert all(answer["role"] == "assistant" and answer["content"] for answer in answers)
    assert not {answer["content"] for answer in answers} & {"recorded", "recorded too"}
    # The words of the simulator, as many tokens as it says.
    assert [record.usage.output_tokens for record in records] == [3, 3, 3]
    assert records[1].usage.input_tokens > records[0].usage.input_tokens


async def run_captured(plan, sent):
    """Carry out a plan and keep the bodies that were sent, in the order of the turns."""
    records = []
    bodies = {}

    def take(record):
        records.append(record)

    class Keeping(type(plan.targets[0].provider)):
        def encode(self, *args):
            request = super().encode(*args)
            bodies[len(bodies)] = request.body
            return request

    provider = Keeping(plan.targets[0].provider.preset)
    plan = msgspec.structs.replace(plan, targets=(msgspec.structs.replace(plan.targets[0], provider=provider),))
    with trio.fail_after(HANG_S):
        outcome = await run_plan(plan, on_record=take)
    sent.extend(bodies.values())
    return outcome, records


async def test_a_failed_turn_ends_its_session_and_the_rest_is_counted(file_of):
    file = file_of(dialogue("a", "b", "c", "d", "e", id="first"), dialogue("x", "y", "z", id="second"))
    with start_thread(make_script(ttft="1ms", itl="0ms", tokens=2, status=500, fail_first=1)) as server:
        outcome, records = await run(config_for(server, file, concurrency=1))
    assert [(r.session.session_id, r.session.turn, r.status) for r in records] == [
        ("first", 0, "ServerError"),
        ("second", 0, "Success"),
        ("second", 1, "Success"),
    ]
    assert outcome.warnings == ("1 session ended at a failed turn: 2 turns were not sent",)
    assert (outcome.cut.failed, outcome.cut.failed_turns) == (1, 2)


async def test_a_retried_turn_keeps_its_session_going(file_of):
    file = file_of(dialogue("a", "b", "c"))
    script = make_script(ttft="1ms", itl="0ms", tokens=2, status=503, fail_first=1, retry_after="0.01")
    with start_thread(script) as server:
        outcome, records = await run(config_for(server, file, retries=1))
    assert [(len(r.tries), r.status) for r in records] == [(1, "Success"), (0, "Success")]
    assert outcome.cut.failed == 0


async def test_a_stopped_run_keeps_what_was_measured_and_counts_the_rest(file_of):
    file = file_of(dialogue("a", "b", "c", "d", "e"))
    stop = Stop()
    records = []

    def take(record):
        records.append(record)
        if len(records) == 1:
            stop.ask("SIGINT")

    with start_thread(make_script(ttft="1ms", itl="0ms", tokens=2)) as server, trio.fail_after(HANG_S):
        outcome = await run_plan(make_plan(config_for(server, file), {}), on_record=take, stop=stop)
    assert outcome.stopped_by == "SIGINT"
    assert 1 <= len(records) <= 2
    assert outcome.cut.ended == 1
    assert outcome.cut.ended_turns == 3 - len(records)


async def test_lanes_take_the_next_session_when_one_ends(simulator, file_of):
    file = file_of(*[dialogue("a", "b", "c", id=str(n)) for n in range(6)])
    _, records = await run(config_for(simulator, file, concurrency=2))
    spans = {}
    for record in records:
        first, last = spans.get(record.session.session_id, (record.stamps.start, 0))
        spans[record.session.session_id] = min(first, record.stamps.start), max(last, record.stamps.end)
    assert len(spans) == 6
    edges = sorted([(begin, 1) for begin, _ in spans.values()] + [(end, -1) for _, end in spans.values()])
    level = most = 0
    for _, step in edges:
        level += step
        most = max(most, level)
    assert most == 2


async def test_several_targets_get_each_session_once_under_ids_of_their_own(simulator, file_of):
    config = config_for(simulator, file_of(dialogue("a", "b", "c", id="s")), sessions={"salt": "session"})
    again = msgspec.structs.replace(config.targets[0], name="again")
    _, records = await run(msgspec.structs.replace(config, targets=(*config.targets, again)))
    assert {r.session.session_id for r in records} == {"s@openai/m", "s@again"}
    assert {r.prompt_id for r in records} == {"s/0", "s/1"}
    assert len(records) == 4


# What each turn waits for, its pauses and how long its answer takes, in ms; and when it begins and ends.
GRAPHS = {
    "a line": ([((), 0, 10), ((0,), 5, 10), ((1,), 0, 7)], [(0, 10), (15, 25), (25, 32)]),
    "a fork": ([((), 0, 10), ((0,), 0, 20), ((0,), 3, 5)], [(0, 10), (10, 30), (13, 18)]),
    "a join": ([((), 0, 10), ((0,), 0, 20), ((0,), 0, 5), ((1, 2), 2, 1)], [(0, 10), (10, 30), (10, 15), (32, 33)]),
    "two roots": ([((), 0, 4), ((), 6, 1), ((0, 1), 0, 2)], [(0, 4), (6, 7), (7, 9)]),
    "a diamond of diamonds": (
        [((), 0, 1), ((0,), 0, 2), ((0,), 0, 3), ((1, 2), 0, 4), ((3,), 0, 5), ((3,), 1, 1), ((4, 5), 0, 1)],
        [(0, 1), (1, 3), (1, 4), (4, 8), (8, 13), (9, 10), (13, 14)],
    ),
}


def graph_plan(turns):
    made = tuple(
        [
            Turn(messages=({"role": "user", "content": str(n)},), after=after, think_ns=pause * NS_PER_MS)
            for n, (after, pause, _) in enumerate(turns)
        ]
    )
    config = RunConfig(
        targets=(TargetConfig(provider="openai", model="m", base_url="http://127.0.0.1:1/v1", proxy=""),),
        sessions=SessionConfig(file="given"),
    )
    return make_plan(config, {}, read=[Session(id="g", turns=made)])


def virtual_ns():
    return round(trio.current_time() * 1e9)


class VirtualEndpoint:
    """Answers each turn after a time of its own, by the clock of the test."""

    def __init__(self, took_ms, fails=()):
        self.took_ms, self.fails, self.spans = took_ms, fails, {}

    async def send(self, slot, on_reading):
        begin = virtual_ns()
        number = slot.turn.turn
        await trio.sleep(self.took_ms[number] / 1000)
        on_reading(Reading(category="success", text="hm"))
        self.spans[number] = (slot.intended_ns, begin, virtual_ns())
        status = Status.SERVER_ERROR if number in self.fails else Status.SUCCESS
        made = handmade.record(session=slot.turn, status=status)
        return msgspec.structs.replace(made, stamps=Stamps(start=begin, end=virtual_ns()))


async def carry_out(plan, endpoint, over=lambda: False):
    runner = SessionRunner(plan, plan.sessions, ALONE, send=endpoint.send, begin=lambda: 0, over=over)
    runner.due = DueTimes(now=virtual_ns, native=False, early_ns=0)
    zero = virtual_ns()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(runner.due.run)
        await runner.carry_out(plan.slot(runner.begin(), plan.stages[0], zero))
        nursery.cancel_scope.cancel()
    return runner, zero


@pytest.mark.parametrize("name", GRAPHS)
async def test_turns_of_a_graph_begin_when_what_they_wait_for_has_ended(name, autojump_clock):
    turns, expected = GRAPHS[name]
    endpoint = VirtualEndpoint([took for _, _, took in turns])
    _, zero = await carry_out(graph_plan(turns), endpoint)
    for number, (begin, end) in enumerate(expected):
        intended, began, ended = (round((at - zero) / 1000) for at in endpoint.spans[number])
        assert (intended, began, ended) == (begin * 1000, begin * 1000, end * 1000), number


@pytest.mark.parametrize(
    ("fails", "sent", "left"),
    [((0,), {0}, 3), ((1,), {0, 1, 2}, 1), ((2,), {0, 1, 2}, 1), ((3,), {0, 1, 2, 3}, 0)],
)
async def test_what_waits_for_a_failed_turn_is_not_sent(fails, sent, left, autojump_clock):
    turns = GRAPHS["a join"][0]
    endpoint = VirtualEndpoint([took for _, _, took in turns], fails)
    runner, _ = await carry_out(graph_plan(turns), endpoint)
    assert set(endpoint.spans) == sent
    assert (runner.cut.failed, runner.cut.failed_turns) == (1, left)


async def test_nothing_is_sent_once_the_run_is_over(autojump_clock):
    turns = GRAPHS["a line"][0]
    endpoint = VirtualEndpoint([took for _, _, took in turns])
    zero = virtual_ns()  # the second turn is due after 15 ms
    runner, _ = await carry_out(graph_plan(turns), endpoint, over=lambda: virtual_ns() - zero >= 12 * NS_PER_MS)
    assert set(endpoint.spans) == {0}
    assert (runner.cut.ended, runner.cut.ended_turns) == (1, 2)
