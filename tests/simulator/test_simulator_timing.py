"""The script's times are kept, and the log's stamps bracket what a client on the same clock sees.

Bounds are loose above, because a busy machine may wake anyone late; never below, because
nothing may leave before it is due.
"""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest
import simulator_wire as wire
from waiting import limits

from lens.simulator import Script, make_script
from lens.simulator.protocols.completion import make_deltas
from lens.simulator.response import delta_times

MS = 1_000_000
LATE = 10_000 * MS  # what a busy machine may add: nothing below depends on it
WITH_TEXT = ("text", "reasoning", "tool")


@pytest.fixture(scope="module")
def simulator():
    with wire.running() as handle:
        yield handle


def content(record):
    return [event for event in record["events"] if event[3] in WITH_TEXT]


def test_every_event_leaves_when_it_is_due_and_never_before(simulator):
    wire.chat(simulator, "ttft=40ms,itl=15ms,tokens=8")
    record = simulator.log(last=1)[0]
    base = record["request_complete_ns"]
    dues = [due - base for due, *_ in content(record)]
    assert dues == [40 * MS + k * 15 * MS for k in range(8)]
    for due, before, after, _, _ in record["events"]:
        assert due <= before <= after < due + LATE


def test_a_prompt_waits_for_each_of_its_words_that_is_not_cached(simulator):
    for script, words in (("", 3), ("cached=2,", 1)):
        wire.chat(simulator, f"{script}prefill=30ms,ttft=10ms,itl=1ms,tokens=2", words="one two three")
        record = simulator.log(last=1)[0]
        assert content(record)[0][0] - record["request_complete_ns"] == 10 * MS + words * 30 * MS


def test_the_client_sees_each_event_after_its_send_began(simulator):
    answer = wire.chat(simulator, "ttft=20ms,itl=20ms,tokens=6")
    record = simulator.log(last=1)[0]
    assert answer.start_ns <= record["request_complete_ns"] <= record["head_write_ns"][0]
    ends = []
    for event in wire.sse(answer.body)[:7]:
        ends.append(answer.body.index(event[1].encode()) + len(event[1].encode()))
    for end, (_, before, _, _, _) in zip(ends, record["events"], strict=False):
        seen = next(at for at, size in answer.reads if size >= end)
        assert before <= seen < before + LATE
    assert record["end_ns"] <= answer.end_ns + LATE


def test_the_head_leaves_at_once_unless_it_is_told_to_wait(simulator):
    for script, least in (("", 0), ("head=60ms,", 60), ("head=first,", 100)):
        wire.chat(simulator, f"{script}ttft=100ms,itl=1ms,tokens=2")
        record = simulator.log(last=1)[0]
        assert record["head_write_ns"][0] - record["request_complete_ns"] >= least * MS
        assert record["head_write_ns"][0] <= content(record)[0][1], "no later than the first event"


def test_the_role_event_can_lead_the_first_content(simulator):
    wire.chat(simulator, "ttft=100ms,role-lead=70ms,tail=30ms,itl=1ms,tokens=3")
    events = simulator.log(last=1)[0]["events"]
    assert [event[3] for event in events] == ["role", "text", "text", "text", "finish", "usage", "done"]
    assert events[1][0] - events[0][0] == 70 * MS
    assert events[4][0] - events[3][0] == 30 * MS


def test_a_chunk_of_k_tokens_comes_k_times_the_token_time_later():
    script = make_script(ttft="100ms", itl="10ms", tokens=10, per_chunk=4)
    assert delta_times(script, make_deltas(script, None), 0) == [100 * MS, 140 * MS, 160 * MS, 160 * MS]


def test_a_stall_delays_all_that_follows_its_token():
    script = make_script(ttft="10ms", itl="10ms", tokens=4, stall="2:500ms+4:1s", tail="5ms")
    assert delta_times(script, make_deltas(script, None), 0) == [10 * MS, 20 * MS, 530 * MS, 540 * MS, 1545 * MS]
    script = make_script(ttft="10ms", itl="10ms", tokens=2, stall="0:1s")
    assert delta_times(script, make_deltas(script, None), 0)[0] == 1010 * MS


def test_jitter_is_bounded_seeded_and_differs_between_requests():
    script = make_script(ttft="10ms", itl="20ms", jitter="20ms", tokens=300)
    slots = make_deltas(script, None)
    times = delta_times(script, slots, 1)
    gaps = [b - a for a, b in pairwise(times[:-1])]
    assert all(gap >= 0 for gap in gaps)
    assert len(set(gaps)) > 200
    assert times == delta_times(script, slots, 1) != delta_times(script, slots, 2)
    mean = times[-1] - times[0]
    assert mean == pytest.approx(299 * 20 * MS, rel=0.05)


def test_flood_sends_all_as_fast_as_the_socket_takes_it(simulator):
    answer = wire.chat(simulator, "flood,ttft=5ms,itl=1s,tokens=20000")
    assert wire.parse_openai(answer.body).text == Script(tokens=20000).expected_text()
    record = simulator.log(last=1)[0]
    assert record["tokens"]["output"] == 20000
    assert len(record["events"]) < 200
    assert record["end"] == "complete"


def test_a_reader_that_sleeps_delays_the_stamp_after_not_the_stamp_before():
    body = '{"model":"m","stream":true,"messages":[]}'
    head = f"POST /chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    with wire.running(flood="yes", ttft="1ms", tokens=60000) as simulator, wire.connect(simulator) as sock:
        for pause_s in limits(0.3):
            sock.sendall(f"{head}{body}".encode())
            data = sock.recv(1)
            threading.Event().wait(pause_s)
            while not data.endswith(b"\r\n0\r\n\r\n"):
                data += sock.recv(1 << 20)
            slowest = max(after - before for _, before, after, _, _ in simulator.log(last=1)[0]["events"])
            if slowest > 50 * MS:  # else the simulator did not get to fill the socket meanwhile
                break
        assert slowest > 50 * MS


def test_many_streams_at_once_all_keep_their_script():
    with wire.running(ttft="50ms", itl="10ms", tokens=20) as simulator:
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(wire.chat(simulator))) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        records = simulator.log()
        assert len(records) == len({record["request_no"] for record in records}) == 30
        assert {wire.parse_openai(answer.body).text for answer in answers} == {Script(tokens=20).expected_text()}
        assert all(record["end"] == "complete" for record in records)
        stats = simulator.stats()
        assert stats["requests"] == 30
        assert stats["writes"] == 30 * 22
        assert 0 <= stats["late_p50_us"] <= stats["late_p99_us"] <= stats["late_max_us"]


def test_comments_come_on_time_and_are_no_events(simulator):
    answer = wire.chat(simulator, "ttft=100ms,comment=30ms,itl=1ms,tokens=2")
    record = simulator.log(last=1)[0]
    comments = [event for event in record["events"] if event[3] == "comment"]
    assert [event[0] - record["base_ns"] for event in comments] == [30 * MS, 60 * MS, 90 * MS]
    assert all(event[4] is None for event in comments)
    assert answer.body.count(b": keep-alive\n\n") == 3


def test_a_cold_start_delays_the_first_request_and_the_first_after_idling():
    with wire.running(ttft="1ms", itl="1ms", tokens=1, cold_start="100ms", idle="2s") as simulator:
        for wait in (0, 0, 2.1):
            threading.Event().wait(wait)
            wire.chat(simulator)
        records = simulator.log()
        waits = [record["base_ns"] - record["request_complete_ns"] for record in records]
        # Of a machine that stood still between the first two.
        cold = records[1]["request_complete_ns"] - records[0]["end_ns"] > 1900 * MS
        assert waits == [100 * MS, waits[1] if cold else 0, 100 * MS]


def test_with_slots_the_others_queue_in_order():
    with wire.running(ttft="30ms", itl="1ms", tokens=5, slots=2) as simulator:
        threads = [threading.Thread(target=wire.chat, args=(simulator,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        records = simulator.log()
        edges = sorted([(r["base_ns"], 1) for r in records] + [(r["end_ns"], -1) for r in records])
        busy = peak = 0
        for _, step in edges:
            busy += step
            peak = max(peak, busy)
        assert peak == 2
        assert [r["base_ns"] for r in records] == sorted(r["base_ns"] for r in records)
