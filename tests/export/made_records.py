"""Records as Hypothesis makes them up: any text, any stamps that can be, anything absent that may be.

What need not be built for each draw is built once: that costs more than a draw.
"""

from __future__ import annotations

from array import array
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from lens.model import Connection, Events, Failure, Record, Signal, Stamps, Status, TcpInfo, Usage

# No lone surrogates: no format of text can hold them, and no server can send them. No private characters
# either, so that a reader may use them for itself.
_CHARS = st.characters(exclude_categories=["Cs", "Co"])
TEXT = st.text(_CHARS, max_size=12)
NAME = st.text(_CHARS, min_size=1, max_size=12)
COUNT = st.none() | st.integers(0, 20_000)
_KINDS = [0, int(Signal.TEXT), int(Signal.REASONING), int(Signal.FINISH), int(Signal.USAGE | Signal.TEXT)]
_NS = st.integers(0, 3_600 * 10**9)


_ARRIVALS = st.lists(_NS, max_size=6)
_LAG, _KIND, _CHAR_COUNT = st.integers(0, 10**9), st.sampled_from(_KINDS), st.integers(0, 2**20)


@st.composite
def _events(draw) -> Events:
    at = sorted(draw(_ARRIVALS))
    n = len(at)
    return Events(
        arrived_ns=array("q", at),
        lag_ns=array("q", draw(st.lists(_LAG, min_size=n, max_size=n))),
        signals=array("H", draw(st.lists(_KIND, min_size=n, max_size=n))),
        chars=array("I", draw(st.lists(_CHAR_COUNT, min_size=n, max_size=n))),
        read=array("I", range(n)),
    )


_START, _AFTER_US, _AFTER = st.integers(0, 2**60), st.integers(0, 10**14), st.lists(_NS, min_size=5, max_size=5)
_STATUS, _ENDS = st.sampled_from(list(Status)), st.booleans()
_PARTS = {
    "request_id": st.uuids().map(str),
    "index": st.integers(0, 10**6),
    "provider": NAME,
    "model": NAME,
    "events": _events(),
    "connection": st.none()
    | st.builds(
        Connection, reused=st.booleans(), peer=st.none() | TEXT, tcp_at_end=st.none() | st.builds(TcpInfo, rtt_us=_NS)
    ),
    "usage": st.none()
    | st.builds(Usage, input_tokens=COUNT, output_tokens=COUNT, reasoning_tokens=COUNT, cache_read_tokens=COUNT),
    "http_status": st.none() | st.sampled_from([200, 429, 500]),
    "finish_reason": st.none() | TEXT,
    "stamp_kind": st.sampled_from(["kernel", "read"]),
    "labels": st.dictionaries(NAME, NAME, max_size=2),
    "text": st.none() | TEXT,
}


@st.composite
def records(draw) -> Record:
    """One request of any outcome."""
    start, status = draw(_START), draw(_STATUS)
    after = [start + ns for ns in sorted(draw(_AFTER))]
    day = datetime(2025, 11, 7, tzinfo=UTC) + timedelta(microseconds=draw(_AFTER_US))
    return Record(
        timestamp=day.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        stamps=Stamps(
            start=start, send_start=after[0], send_end=after[1], first_byte=after[2], head_end=after[3],
            end=after[4] if draw(_ENDS) else None,
        ),
        status=status,
        category="success" if status is Status.SUCCESS else "server_error",
        failure=None if status is Status.SUCCESS else Failure(message=draw(TEXT)),
        **{name: draw(part) for name, part in _PARTS.items()},
    )  # fmt: skip
