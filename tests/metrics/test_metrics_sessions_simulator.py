"""Sessions that were sent to the simulator: what it logged is the truth, and no bound depends on a busy machine.

Records are made of the log: a request began when its last byte had come, and its events came when they were due.
"""

from __future__ import annotations

import http.client
import json
import random
from array import array

import pytest
from handmade import INFO, TEXT, record
from waiting import HANG_S

from lens.metrics.builder import table_of
from lens.metrics.summarize import summarize
from lens.model import Events, SessionTurn, Stamps, Usage
from lens.simulator import make_script
from lens.simulator.launch import start_thread

BASE_MS, UNCACHED_US, CACHED_US = 3.0, 20.0, 2.0
SESSIONS, TURNS = 20, 5
DAG = {0: (), 1: (0,), 2: (0,), 3: (1, 2)}


@pytest.fixture(scope="module")
def simulator():
    script = make_script(ttft=f"{BASE_MS}ms", itl="0", prefill=f"{UNCACHED_US}us", cached_prefill=f"{CACHED_US}us",
                         cache=1_000_000, tokens=2)  # fmt: skip
    with start_thread(script) as handle:
        yield handle


@pytest.fixture
def ask(simulator):
    simulator.reset()
    connection = http.client.HTTPConnection(simulator.host, simulator.port, timeout=HANG_S)

    def ask(session: str, words: list[str]) -> None:
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": " ".join(words)}]}
        headers = {"Content-Type": "application/json", "X-Session-ID": session}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        connection.getresponse().read()

    yield ask
    connection.close()


def from_log(entry, turn):
    """The record of a request by what the simulator knows of it."""
    start, tokens = entry["request_complete_ns"], entry["tokens"]
    due = [event[0] - start for event in entry["events"] if event[3] == "text"]
    n = len(due)
    return record(
        stamps=Stamps(start=start, send_start=start, send_end=start, end=start + due[-1]),
        events=Events(arrived_ns=array("q", due), lag_ns=array("q", [0] * n), signals=array("H", [TEXT] * n),
                      chars=array("I", [1] * n), read=array("I", range(n))),
        usage=Usage(input_tokens=tokens["prompt"], cache_read_tokens=tokens["cached"], output_tokens=n),
        request_id=f"{entry['session']}.{turn.turn}",
        session=turn,
    )  # fmt: skip


def test_the_price_of_a_token_is_that_of_the_script(simulator, ask):
    rng = random.Random(5)
    prompts: dict[str, list[str]] = {f"s{k}": [] for k in range(SESSIONS)}
    for _ in range(TURNS):
        for session, words in prompts.items():
            words += [f"w{rng.getrandbits(32)}" for _ in range(rng.randint(5, 80))]
            ask(session, words)
    turns = dict.fromkeys(prompts, -1)
    records = []
    for entry in simulator.log():
        turns[entry["session"]] += 1
        at = turns[entry["session"]]
        after = (at - 1,) if at else ()
        turn = SessionTurn(session_id=entry["session"], turn=at, turns=TURNS, after=after)
        records.append(from_log(entry, turn))
    found = summarize(table_of(records, INFO))
    assert found.prefill.base_ms.value == pytest.approx(BASE_MS, rel=0.01)
    assert found.prefill.uncached_us.value == pytest.approx(UNCACHED_US, rel=0.01)
    assert found.prefill.cached_us.value == pytest.approx(CACHED_US, rel=0.01)
    assert found.sessions.complete == SESSIONS
    assert found.sessions.misses is None
    cached = [row.cached_share * row.input_tokens for row in found.sessions.turns]
    assert cached == sorted(cached)
    assert cached[0] == 0


def test_a_task_takes_what_the_log_says_along_its_slowest_branch(simulator, ask):
    words = {0: 50, 1: 60, 2: 300, 3: 70}
    for turn in DAG:
        ask("task", [f"{turn}.{k}" for k in range(words[turn])])
    turns = [SessionTurn(session_id="task", turn=turn, turns=len(DAG), after=after) for turn, after in DAG.items()]
    records = [from_log(entry, turn) for entry, turn in zip(simulator.log(), turns, strict=True)]
    table = table_of(records, INFO)
    took_ms = (records[-1].stamps.end - records[0].stamps.start) / 1e6
    assert table.metric("task_ms")[-1] == pytest.approx(took_ms, abs=0.1)
    critical = table.metric("critical_ms").tolist()
    assert critical[1] == 0, "the branch that ended first"
    assert sum(critical) == pytest.approx(took_ms, abs=0.1)
    model_ms = sum((records[turn].stamps.end - records[turn].stamps.start) / 1e6 for turn in (0, 2, 3))
    assert table.metric("task_model_ms")[-1] == pytest.approx(model_ms, abs=0.1)
