"""Sessions on the page: lanes and rows that can be worked out by hand, bounded whatever the run's size."""

from __future__ import annotations

import chromium
import msgspec
import pytest
from handmade import INFO, record
from handmade_sessions import BROKEN, DAG, FEW, turn

from lens.metrics.builder import table_of
from lens.report.html.document import page_json, report_page
from lens.report.html.series import Source
from lens.report.html.sessions import LANES, MOST_TURNS, tracks


def source(records):
    return Source("run.jsonl", table_of(records, INFO), INFO)


def sessions(records):
    return page_json(report_page([source(records)]))["series"][0]["sessions"]


def test_a_lane_has_each_turn_with_what_it_waited_for():
    lane = sessions(DAG)["lanes"][0]
    assert (lane["id"], lane["ended"], lane["task"], lane["left_out"]) == ("s", "complete", 700, 0)
    assert [(b["turn"], b["at"], b["total"], b["tool"], b["think"]) for b in lane["bars"]] == [
        (0, 0, 100, 0, 0), (1, 150, 100, 50, 0), (2, 151, 249, 50, 0), (3, 604, 96, 0, 200),
    ]  # fmt: skip
    assert [b["beside"] for b in lane["bars"]] == [False, True, False, False]
    assert [b["track"] for b in lane["bars"]] == [0, 0, 1, 0]


def test_turns_that_are_under_way_together_lie_in_tracks_of_their_own():
    assert tracks([0, 1, 2, 3, 10], [9, 3, 5, 4, 11]) == [0, 1, 2, 1, 0]


def test_lanes_are_in_the_order_in_which_their_sessions_began():
    found = sessions(FEW)["lanes"]
    assert [(lane["id"], lane["at"], lane["ended"]) for lane in found] == [
        ("x", 0, "complete"), ("z", 0, "failed"), ("y", 0.5, "complete"),
    ]  # fmt: skip


def test_a_lane_marks_where_the_cache_broke():
    assert [bar["missed"] for bar in sessions(BROKEN)["lanes"][0]["bars"]] == [None, 0, 1500, 0, 1476]


def test_the_rows_are_those_of_the_summary():
    found = sessions(FEW)
    assert [(row["label"], row["requests"], row["failed"]) for row in found["turns"]] == [("0", 3, 0), ("1", 3, 1)]
    assert [row["label"] for row in found["contexts"]] == ["0-42"]


def test_what_sessions_came_to_is_said_in_the_words_of_the_terminal():
    facts = dict(sessions(FEW)["facts"])
    assert facts["sessions"] == "2 complete of 2.000 turns (mean), 1 failed, 2.000 sessions/s"
    assert facts["task time"].startswith("model 72.2%, tools 5.6%, think time 20.0%, this client 2.2%")
    assert "first at turn 2" in dict(sessions(BROKEN)["facts"])["cache broke"]


def test_so_many_lanes_and_turns_are_drawn_and_the_slowest_is_among_them():
    many = [turn(0, k, k + (999 if k == 77 else 5), session=f"s{k}") for k in range(200)]
    long = [turn(k, 1000 + 10 * k, 1005 + 10 * k, of=300, session="long") for k in range(300)]
    lanes = sessions([*many, *long])["lanes"]
    assert len(lanes) <= LANES
    assert {"s77", "long"} <= {lane["id"] for lane in lanes}
    drawn = next(lane for lane in lanes if lane["id"] == "long")
    assert (len(drawn["bars"]), drawn["left_out"]) == (MOST_TURNS, 300 - MOST_TURNS)


def test_a_run_without_sessions_has_none_on_its_page():
    assert sessions([record(), record()]) is None


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium.found()
    with chromium.Page(tmp_path_factory.mktemp("profile")) as page:
        yield page


def test_swim_lanes_are_drawn_without_a_complaint(browser, tmp_path):
    evil = [
        msgspec.structs.replace(
            one, session=msgspec.structs.replace(one.session, session_id="<script>alert(1)</script>")
        )
        for one in DAG
    ]
    path = tmp_path / "report.html"
    path.write_bytes(report_page([source([*FEW, *evil])]))
    browser.open(path.as_uri())
    assert browser.run("document.documentElement.dataset.ready") == "yes"
    assert browser.complaints() == []
    assert browser.run("document.querySelectorAll('#sessions svg[role=img] g.row').length") == 4
    assert "NaN" not in browser.run("document.getElementById('sessions').innerHTML")
    browser.run(
        "[...document.querySelectorAll('#sessions figure button')].find((b) => b.textContent === 'Table').click()"
    )
    assert browser.run("document.querySelectorAll('#sessions .sheet-table tbody tr').length") == len(FEW) + len(DAG)
    assert browser.complaints() == []
