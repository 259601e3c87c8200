"""Sessions made by hand: every stamp is chosen, so what a task took, and why, can be worked out on paper."""

from __future__ import annotations

import msgspec
from handmade import MS, START, failed_record, record

from lens.model import CacheMiss, SessionTurn, Stamps, Usage


def turn(number, begin_ms, end_ms, *, of=1, session="s", after=None, think=0, tool=0, planned=None, **more):
    """A turn from one time to another, in ms after START; it waits for the one before where nothing is said."""
    before = ((number - 1,) if number else ()) if after is None else after
    at = SessionTurn(
        session_id=session,
        turn=number,
        turns=of,
        after=before,
        think_ns=think * MS,
        tool_ns=tool * MS,
        planned_ns=None if planned is None else START + planned * MS,
    )
    stamps = Stamps(start=START + begin_ms * MS, end=START + end_ms * MS)
    return record(session=at, stamps=stamps, request_id=f"{session}.{number}", **more)


# a: 0 to 100. b and c fork from it after a tool of 50; c is the slow branch. d joins both after a pause of 200.
DAG = [
    turn(0, 0, 100, of=4),
    turn(1, 150, 250, of=4, after=(0,), tool=50),
    turn(2, 151, 400, of=4, after=(0,), tool=50),
    turn(3, 604, 700, of=4, after=(1, 2), think=200),
]


def prompts(*counts, reason=None):
    """The turns of a session with these (tokens of the prompt, cached tokens); reason: the server's, at the last."""
    made = [
        turn(
            k,
            10 * k,
            10 * k + 5,
            of=len(counts),
            usage=Usage(input_tokens=n, output_tokens=1, cache_read_tokens=cached),
        )
        for k, (n, cached) in enumerate(counts)
    ]
    return [*made[:-1], msgspec.structs.replace(made[-1], cache_miss=reason and CacheMiss(reason=reason))]


# Each turn holds the prompt before it; the third turn finds nothing of its 1,500 tokens, the fifth a part of 2,500.
BROKEN = prompts((1000, 0), (1500, 1000), (2000, 0), (2500, 2000), (3000, 1024))

# Two sessions of two turns and one whose second turn failed; 1 s from the first start to the last end.
FAILED = msgspec.structs.replace(
    failed_record(), session=SessionTurn(session_id="z", turn=1, turns=2, after=(0,)), request_id="z.1"
)
FEW = [
    turn(0, 0, 100, of=2, session="x"),
    turn(1, 150, 400, of=2, session="x", tool=50),
    turn(0, 500, 700, of=2, session="y"),
    turn(1, 900, 1000, of=2, session="y", think=180),
    turn(0, 0, 100, of=2, session="z"),
    FAILED,
]
