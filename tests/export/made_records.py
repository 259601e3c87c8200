"""Records as Hypothesis makes them up: any text, any stamps that can be, anything absent that may be."""

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


@st.composite
def _events(draw) -> Events:
    at = sorted(draw(st.lists(_NS, max_size=6)))
    n = len(at)
    return Events(
        arrived_ns=array("q", at),
        lag_ns=array("q", draw(st.lists(st.integers(0, 10**9), min_size=n, max_size=n))),
        signals=array("H", draw(st.lists(st.sampled_from(_KINDS), min_size=n, max_size=n))),
        chars=array("I", draw(st.lists(st.integers(0, 2**20), min_size=n, max_size=n))),
        read=array("I", range(n)),
    )


@st.composite
def records(draw) -> Record:
    """One request of any outcome."""
    start = draw(st.integers(0, 2**60))
    status = draw(st.sampled_from(list(Status)))
    after = [start + ns for ns in sorted(draw(st.lists(_NS, min_size=5, max_size=5)))]
    shown = st.none() | st.builds(
        Connection, reused=st.booleans(), peer=st.none() | TEXT, tcp_at_end=st.none() | st.builds(TcpInfo, rtt_us=_NS)
    )
    told = st.builds(Usage, input_tokens=COUNT, output_tokens=COUNT, reasoning_tokens=COUNT, cache_read_tokens=COUNT)
    day = datetime(2025, 11, 7, tzinfo=UTC) + timedelta(microseconds=draw(st.integers(0, 10**14)))
    return Record(
        request_id=str(draw(st.uuids())),
        index=draw(st.integers(0, 10**6)),
        provider=draw(NAME),
        model=draw(NAME),
        timestamp=day.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        stamps=Stamps(
            start=start, send_start=after[0], send_end=after[1], first_byte=after[2], head_end=after[3],
            end=draw(st.sampled_from([None, after[4]])),
        ),
        status=status,
        category="success" if status is Status.SUCCESS else "server_error",
        events=draw(_events()),
        connection=draw(shown),
        usage=draw(st.none() | told),
        http_status=draw(st.none() | st.sampled_from([200, 429, 500])),
        failure=None if status is Status.SUCCESS else Failure(message=draw(TEXT)),
        finish_reason=draw(st.none() | TEXT),
        stamp_kind=draw(st.sampled_from(["kernel", "read"])),
        labels=draw(st.dictionaries(NAME, NAME, max_size=2)),
        text=draw(st.none() | TEXT),
    )  # fmt: skip
