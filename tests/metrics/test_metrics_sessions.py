"""Sessions whose every stamp was chosen: what the task took, along which turns, and where its cache broke."""

from __future__ import annotations

import msgspec
import numpy as np
import oracle
import pytest
from handmade import INFO, MS, START, failed_record, record
from handmade_sessions import BROKEN, DAG, prompts, turn
from hypothesis import given, settings
from hypothesis import strategies as st

from lens.history.write import write_run
from lens.metrics.builder import read_table, read_tables, table_of
from lens.metrics.rows import plain_values
from lens.metrics.sessions import COMPLETE, FAILED, UNFINISHED, WARMUP, session_column
from lens.model import Status, Try, Usage

# Along a, c, d: requests 100 + 249 + 96; 1 ms late at c, 4 at d.
DAG_MS = {"task": 700, "task_model": 445, "task_tool": 50, "task_think": 200, "task_client": 5}


def values(records, name):
    return plain_values(table_of(records).metric(name))


@pytest.mark.parametrize("part", DAG_MS)
def test_the_parts_of_a_task_are_those_along_its_critical_path(part):
    assert values(DAG, f"{part}_ms") == [None, None, None, DAG_MS[part]]


def test_the_parts_of_a_task_add_up_to_it():
    assert sum(DAG_MS[name] for name in DAG_MS if name != "task") == DAG_MS["task"]


def test_the_critical_path_takes_the_branch_that_ended_last():
    assert values(DAG, "critical_ms") == [100, 0, 300, 300]


def test_the_order_of_the_records_changes_nothing():
    assert values(DAG[::-1], "task_ms") == [700, None, None, None]


def test_a_figure_of_a_session_stands_at_the_turn_that_ended_last():
    late_branch = [turn(0, 0, 10, of=3), turn(1, 10, 90, of=3, after=(0,)), turn(2, 10, 20, of=3, after=(0,))]
    assert values(late_branch, "task_ms") == [None, 90, None]


def test_a_pause_is_at_most_the_time_that_passed():
    early = [turn(0, 0, 100, of=2), turn(1, 150, 200, of=2, think=70, tool=30)]
    assert values(early, "task_tool_ms")[1] == 30
    assert values(early, "task_think_ms")[1] == 20
    assert values(early, "task_client_ms")[1] == 0


def test_the_planned_start_of_a_session_corrects_for_a_late_one():
    late = [turn(0, 40, 100, of=2, planned=10), turn(1, 100, 200, of=2, planned=10)]
    assert values(late, "task_ms")[1] == 160
    assert values(late, "task_from_schedule_ms")[1] == 190


def test_a_retried_turn_began_with_its_first_attempt():
    tried = Try(start_ns=START + 100 * MS, end_ns=START + 130 * MS, category="overloaded")
    retried = [turn(0, 0, 100, of=2), turn(1, 180, 300, of=2, tries=(tried,))]
    assert values(retried, "task_model_ms")[1] == 300
    assert values(retried, "task_client_ms")[1] == 0


STATES = {
    "all turns succeeded": (DAG, COMPLETE),
    "a turn failed": ([*DAG[:3], msgspec.structs.replace(failed_record(), session=DAG[3].session)], FAILED),
    "a turn is missing": (DAG[1:], UNFINISHED),
    "its end was cut off": (
        [*DAG[:3], msgspec.structs.replace(DAG[3], status=Status.CANCELLED, category="interrupted")], UNFINISHED,
    ),
    "a turn is there twice": ([*DAG, DAG[2]], UNFINISHED),
    "it began in the warm-up": ([msgspec.structs.replace(DAG[0], warmup=True), *DAG[1:]], WARMUP),
}  # fmt: skip


@pytest.mark.parametrize("case", STATES)
def test_only_a_session_whose_turns_all_succeeded_has_figures(case):
    records, state = STATES[case]
    ended_as = session_column(table_of(records), "ended_as")
    assert ended_as[~np.isnan(ended_as)].tolist() == [state]
    assert (values(records, "task_ms") == [None, None, None, 700]) == (state == COMPLETE)


def test_a_part_of_the_requests_has_the_figures_of_whole_sessions():
    table = table_of(DAG)
    last = table.take(np.array([3]))
    assert last.metric("task_ms").tolist() == [700]
    assert table.take(slice(1, 4)).take(slice(1, 3)).metric("critical_ms").tolist() == [300, 300]


def test_marks_of_a_warm_up_that_was_found_later_count_for_whole_sessions():
    table = table_of(DAG).with_warmup(np.array([True, False, False, False]))
    assert np.isnan(table.measured().metric("task_ms")).all()


def test_sessions_of_one_name_in_two_runs_are_two(tmp_path):
    for name in ("a", "b"):
        records = [msgspec.structs.replace(one, request_id=f"{name}{one.request_id}") for one in DAG]
        write_run(tmp_path / f"{name}.jsonl", msgspec.structs.replace(INFO, run_id=name), records)
    table, _ = read_tables([tmp_path / "a.jsonl", tmp_path / "b.jsonl"])
    assert sorted(table.pooled("task_ms").values.tolist()) == [700, 700]


@pytest.mark.parametrize("suffix", ["jsonl", "msgpack"])
def test_a_file_keeps_all_that_sessions_need(tmp_path, suffix):
    path = tmp_path / f"run.{suffix}"
    write_run(path, INFO, DAG)
    table, warnings = read_table(path)
    assert not warnings
    assert {name: table.pooled(f"{name}_ms").values.tolist() for name in DAG_MS} == {k: [v] for k, v in DAG_MS.items()}


def test_turns_that_wait_for_each_other_do_not_end_the_reading():
    circle = [turn(0, 0, 100, of=2, after=(1,)), turn(1, 0, 100, of=2, after=(0,))]
    assert values(circle, "task_ms") == [None, 100]


def test_a_turn_among_requests_of_no_session_is_found():
    assert values([record(), *DAG, record()], "task_ms") == [None, None, None, None, 700, None]


def test_the_cache_broke_where_less_than_half_of_the_prompt_before_was_read():
    assert values(BROKEN, "cache_missed_tokens") == [None, 0, 1500, 0, 1476]
    assert plain_values(session_column(table_of(BROKEN), "first_miss")) == [None, None, 1, None, None]


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        (((1000, 0), (1500, 0)), "nothing was ever cached here"),
        (((1000, None), (1500, None)), "no count was told"),
        (((100, 0), (1200, 0), (2400, 1200)), "so short a prompt was never cached"),
    ],
)
def test_where_no_cache_was_seen_none_broke(counts, why):
    assert values(prompts(*counts), "cache_missed_tokens")[1] is None, why


@pytest.mark.parametrize(("reason", "first"), [("tools_changed", 1), ("unavailable", None)])
def test_a_reason_that_the_server_gives_tells_the_turn_without_any_count(reason, first):
    told = prompts((1000, None), (1500, None), reason=reason)
    assert plain_values(session_column(table_of(told), "first_miss")) == [None, first]


@st.composite
def any_session(draw, name):
    """A session of a few turns; each waits for some before it, pauses, and may be late, retried or unfinished."""
    made, ends = [], []
    turns = draw(st.integers(1, 6))
    planned = draw(st.none() | st.integers(-20, 0))
    for number in range(turns):
        after = tuple(draw(st.lists(st.integers(0, number - 1), unique=True, max_size=3)) if number else ())
        think, tool, late = (draw(st.integers(0, 30)) for _ in range(3))
        begin = max([ends[one] for one in after], default=0) + think + tool + late
        ends.append(begin + draw(st.integers(1, 50)))
        usage = Usage(
            input_tokens=draw(st.none() | st.integers(0, 100)), cache_read_tokens=draw(st.none() | st.integers(0, 100))
        )
        tries = (Try(start_ns=START + begin * MS, end_ns=START + begin * MS, category="timeout"),)
        made.append(
            turn(
                number, begin + (3 if (again := draw(st.booleans())) else 0), ends[-1] + 3, of=turns, session=name,
                after=after, think=think, tool=tool, planned=planned, usage=usage, tries=tries if again else (),
            )
        )  # fmt: skip
        ends[-1] += 3
    return made[: draw(st.sampled_from([turns, turns, turns, max(turns - 1, 1)]))]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_session_has_the_figures_of_a_walk_along_its_turns(data):
    sessions = [data.draw(any_session(f"s{k}")) for k in range(data.draw(st.integers(1, 4)))]
    records = data.draw(st.permutations([one for session in sessions for one in session]))
    table, plain = table_of(records), oracle.session_figures(records)
    for name in oracle.OF_SESSIONS:
        assert plain_values(table.metric(name)) == pytest.approx(plain[name], abs=1e-9), name
