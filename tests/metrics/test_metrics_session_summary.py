"""What sessions come to, of tables whose figures can be worked out by hand."""

from __future__ import annotations

import msgspec
import pytest
from handmade import INFO, MS, record
from handmade_sessions import BROKEN, DAG, FEW, turn

from lens.metrics.builder import table_of
from lens.metrics.goodput import parse_slos
from lens.metrics.session_summary import good_sessions, session_summary
from lens.metrics.summarize import summarize
from lens.model import CacheMiss, Usage


def test_sessions_are_counted_by_how_they_ended():
    found = session_summary(table_of([*FEW, turn(0, 0, 10, of=2, session="w")]))
    assert (found.complete, found.failed, found.unfinished, found.turns_mean) == (2, 1, 1, 2)


def test_the_parts_are_shares_of_the_time_of_all_sessions():
    # x: 100 + 50 of tools + 250 = 400; y: 200 + 180 of a pause + 20 late + 100 = 500.
    assert session_summary(table_of(FEW)).parts == pytest.approx(
        {"model": 650 / 900, "tool": 50 / 900, "think": 180 / 900, "client": 20 / 900}
    )


def test_sessions_per_second_are_over_the_window_of_the_run():
    found = summarize(table_of(FEW, INFO))
    assert found.window_s == 1
    assert found.sessions_per_second == 2
    assert found.session_success_rate == pytest.approx(2 / 3)
    assert found.goodput_sessions_per_second is None


@pytest.mark.parametrize(
    ("slo", "good"),
    [("e2el:250", 2), ("e2el:200", 1), ("task:450", 1), ("task:300", 0), ("task:500 e2el:240", 1)],
)
def test_a_session_is_good_when_each_turn_and_the_task_kept_every_slo(slo, good):
    table = table_of(FEW, INFO)
    assert summarize(table, slos=parse_slos(slo)).goodput_sessions_per_second == good
    assert good_sessions(table, parse_slos(slo)).sum() == good


def test_a_request_keeps_the_slo_of_its_session():
    # Of x, all of whose turns count; y took 500 ms, z never ended.
    assert summarize(table_of(FEW, INFO), slos=parse_slos("task:450")).good == 2


def test_each_turn_has_a_row():
    rows = session_summary(table_of(FEW)).turns
    assert [(row.label, row.requests, row.failed) for row in rows] == [("0", 3, 0), ("1", 3, 1)]
    assert [row.total_p50_ms for row in rows] == [100, 100]
    assert [row.critical_ms for row in rows] == [(100 + 200) / 2, (300 + 300) / 2]
    assert [row.ttft_p50_ms for row in rows] == [100, 100]
    assert [row.ttft_p95_ms for row in rows] == [None, None]


def test_turns_beside_the_critical_path_say_so():
    assert [row.on_path for row in session_summary(table_of(DAG)).turns] == [1, 0, 1, 1]


def test_later_turns_share_a_row_with_as_many_as_were_before():
    turns = [turn(k, 10 * k, 10 * k + 5, of=40) for k in range(40)]
    rows = session_summary(table_of(turns)).turns
    assert [row.label for row in rows] == [*map(str, range(8)), "8-15", "16-31", "32-39"]
    assert [row.requests for row in rows] == [1] * 8 + [8, 16, 8]


def test_prompts_of_about_one_length_share_a_row():
    lengths = (0, 1023, 1024, 2047, 2048, 5000)
    turns = [turn(k, 10 * k, 10 * k + 5, of=6, usage=Usage(input_tokens=n)) for k, n in enumerate(lengths)]
    rows = session_summary(table_of(turns)).contexts
    assert [(row.label, row.requests, row.input_tokens) for row in rows] == [
        ("0-1023", 2, 0), ("1024-2047", 2, 1024), ("2048-4095", 1, 2048), ("4096-5000", 1, 5000),
    ]  # fmt: skip


def test_a_cache_that_broke_is_told_with_its_turn_and_the_pause_before_it():
    pauses = [0, 10, 400, 20, 30]
    turns = [
        msgspec.structs.replace(one, session=msgspec.structs.replace(one.session, think_ns=pause * MS))
        for one, pause in zip(BROKEN, pauses, strict=True)
    ]
    turns[2] = msgspec.structs.replace(turns[2], cache_miss=CacheMiss(reason="tools_changed"))
    found = session_summary(table_of(turns)).misses
    assert (found.sessions, found.turn_p50, found.tokens) == (1, 2, 1500 + 1476)
    assert (found.pause_missed_ms, found.pause_held_ms) == (30, 10)
    assert found.reasons == {"tools_changed": 1}
    assert session_summary(table_of(BROKEN[:2])).misses is None


def test_the_share_that_was_cached_is_weighted_by_tokens():
    requests = [
        record(usage=Usage(input_tokens=100, cache_read_tokens=100)),
        record(usage=Usage(input_tokens=900, cache_read_tokens=0)),
        record(usage=Usage(input_tokens=5000)),
    ]
    assert summarize(table_of(requests)).cache_read_share == 0.1


def test_requests_of_no_session_have_no_summary_of_sessions():
    assert session_summary(table_of([record(), record()])) is None
    assert session_summary(table_of(DAG[:1])) is None
    assert session_summary(table_of([])) is None
    assert summarize(table_of([record()])).sessions is None


def test_a_session_costs_what_all_of_its_turns_cost():
    priced = [
        msgspec.structs.replace(one, reported_cost_usd=usd)
        for one, usd in zip(DAG, ("0.1", "0.2", "0.3", "0.1"), strict=True)
    ]
    table = table_of(priced)
    assert [value for value in table.metric("session_cost").tolist() if value == value] == [0.7]
    assert table.metric("session_cost")[3] == 0.7, "at the turn that ended last"
    found = session_summary(table)
    assert (found.cost_mean_usd, found.cost_p50_usd, found.cost_p95_usd, found.unpriced) == (0.7, 0.7, None, 0)
    free = session_summary(table_of([*priced[:3], DAG[3]]))
    assert (free.cost_mean_usd, free.unpriced) == (None, 1), "a turn whose cost is not known leaves the sum unknown"
