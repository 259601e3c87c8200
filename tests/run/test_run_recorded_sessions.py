"""A run file as a session file: the same sessions, turns, pauses and lengths again."""

from __future__ import annotations

import handmade
import msgspec
import pytest

from lens.config.settings import LoadConfig, OutputConfig, RunConfig, SessionConfig, TargetConfig
from lens.errors import ConfigError, FileError
from lens.model import SessionTurn, Stamps, Usage
from lens.monitor.daemon import check_monitor
from lens.orchestrator.sessions.history import turn_prompt
from lens.profiler import Profiler
from lens.run.checks import refuse_sessions
from lens.run.probes import check_doctor
from lens.run.recorded_sessions import is_run_file, recorded_sessions, sessions_of
from lens.simulator import make_script, start_thread


def turn(name, number, turns, given, answered, **more):
    about = {"after": (number - 1,) if number else (), "think_ns": 1000 * number, **more}
    return handmade.record(
        request_id=f"{name}{number}",
        usage=Usage(input_tokens=given, output_tokens=answered),
        session=SessionTurn(session_id=name, turn=number, turns=turns, **about),
    )


def test_turns_send_as_many_words_as_they_sent():
    records = [turn("a", 1, 3, 30, 4), turn("a", 0, 3, 10, 5), turn("a", 2, 3, 36, 6)]
    (session,) = sessions_of(records)
    assert [one.after for one in session.turns] == [(), (0,), (1,)]
    assert [one.think_ns for one in session.turns] == [0, 1000, 2000]
    assert [one.max_tokens for one in session.turns] == [5, 4, 6]
    words = [" ".join(m["content"] for m in turn_prompt(session, n).messages).split() for n in range(3)]
    assert [len(one) for one in words] == [10, 30, 36]
    assert words[1][:10] == words[0]


def test_a_turn_that_sent_less_than_the_one_before_it_begins_anew():
    _, second = sessions_of([turn("a", 0, 2, 50, 5), turn("a", 1, 2, 20, 5)])[0].turns
    assert (second.history, second.after, second.blocks.words) == ((), (0,), 20)


def test_requests_of_no_session_are_sessions_of_one_turn_in_the_order_of_their_starts():
    records = [
        handmade.record(request_id=name, usage=Usage(input_tokens=3, output_tokens=2), stamps=Stamps(start=at))
        for name, at in (("late", 900), ("early", 400))
    ]
    records.append(handmade.record(request_id="uncounted", usage=None))
    found = sessions_of(records)
    assert [(one.id, one.start_ns, len(one.turns)) for one in found] == [("early", 0, 1), ("late", 500, 1)]


@pytest.fixture(scope="module")
def simulator():
    handle = start_thread(make_script(ttft="1ms", itl="0ms", tokens=4, usage="always"))
    yield handle
    handle.stop()


def target_of(simulator):
    return TargetConfig(provider="openai", model="m", base_url=f"{simulator.url}/v1", proxy="")


@pytest.mark.parametrize("form", ["jsonl", "msgpack", "json"])
def test_a_run_is_carried_out_again_from_its_file(form, simulator, tmp_path):
    import lens

    path = str(tmp_path / f"run.{form}")
    config = RunConfig(
        targets=(target_of(simulator),),
        load=LoadConfig(iterations=3),
        sessions=SessionConfig(turns="2-4", turn_tokens="12", think="2ms"),
        output=OutputConfig(format=form, file=path, save_text=True),
    )
    first = lens.run_config_blocking(config)
    assert is_run_file(tmp_path / f"run.{form}")
    again = msgspec.structs.replace(
        config, load=LoadConfig(), sessions=SessionConfig(file=path), output=OutputConfig(save_text=True)
    )
    second = lens.run_config_blocking(again)
    shape = [sorted((r.session.session_id, r.session.turn, r.session.think_ns) for r in run.records)
             for run in (first, second)]  # fmt: skip
    assert shape[0] == shape[1]


def test_a_file_of_nothing_that_can_be_sent_again_is_refused(simulator, tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text('{"schema": 3, "version": "1", "run_id": "x", "started_at": "", "started_ns": 1, "targets": []}\n')
    with pytest.raises(FileError, match="no request of this run has token counts"):
        recorded_sessions(RunConfig(sessions=SessionConfig(file=str(path))))
    assert recorded_sessions(RunConfig()) == ()
    assert not is_run_file(tmp_path / "none")


def test_the_library_runs_sessions(simulator):
    profiler = Profiler(target_of(simulator))
    sessions = SessionConfig(turns="2", turn_tokens="5")
    result = profiler.run_blocking(sessions=sessions, iterations=2, concurrency=2)
    assert sorted((r.session.session_id, r.session.turn) for r in result.records) == [
        ("session-0", 0), ("session-0", 1), ("session-1", 0), ("session-1", 1),
    ]  # fmt: skip
    assert len(list(profiler.stream_metrics(sessions=sessions, iterations=1))) == 2
    with pytest.raises(ConfigError, match=r"prompts\.texts has no effect on sessions"):
        profiler.run_blocking("hello", sessions=sessions)


@pytest.mark.parametrize(
    ("who", "check"),
    [("monitor", check_monitor), ("doctor", check_doctor), ("compare", lambda c: refuse_sessions("compare", c, "why"))],
)
def test_a_command_that_sends_no_sessions_refuses_them(who, check, simulator):
    config = RunConfig(targets=(target_of(simulator),), sessions=SessionConfig(turns="3"))
    with pytest.raises(ConfigError, match=rf"{who}: \[sessions\] cannot be obeyed"):
        check(config)
