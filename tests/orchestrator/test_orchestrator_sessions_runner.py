"""Sessions against the simulator on loopback: order, pauses, histories and how they end."""

from __future__ import annotations

import itertools

import msgspec
import pytest
import trio
from waiting import HANG_S

from lens.config.settings import LoadConfig, PromptConfig, RunConfig, SessionConfig, TargetConfig
from lens.orchestrator.engine import run_plan
from lens.orchestrator.plan import make_plan
from lens.simulator import make_script, start_thread
from lens.units import NS_PER_MS, NS_PER_S


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
