"""What is known of a stream's exchange, read at one moment: its stamps and counts, and its head where that is usual."""

from typing import Literal

from lens._core.stream import EventFraming, Stream

Facts = tuple[int, int, Literal["kernel", "call", "bound"], int, int, int, Literal["kernel", "read"], bool, int, int]

def read_facts(stream: Stream) -> Facts:
    """Return send_start_ns, send_end_ns, send_stamp, first_byte_ns, head_end_ns and end_ns of the stream, whose stamps
    those of its reads are ("kernel" where every read had one), clock_stepped, comments and wire_bytes.
    """

def read_usual_head(
    stream: Stream,
) -> tuple[str, Literal["length", "chunked"], int, EventFraming, tuple[tuple[str, str], ...]] | None:
    """Return what a head that the core has settled says: reason, framing and length of the body, its events, its fields
    in order with their names in lower case. None of any other head.

    Usual is HTTP/1.1 200 in ASCII, with one of Content-Length and Transfer-Encoding: chunked, a Content-Type of the
    events that were asked for, no Content-Encoding, and no Connection but keep-alive.
    """
