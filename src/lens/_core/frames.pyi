"""Body framing and event framing: resumable state machines over bytes, zero-copy where a read holds a whole line."""

from typing_extensions import Buffer

from lens._core.signals import SignalSet
from lens._core.tape import Tape

class Decoder:
    """Cuts one HTTP/1.1 body into events, asks the rules what each carries, writes the tape.

    Any cut of the bytes gives the same events; the stamp of an event is that of the feed
    which completed its data line.

    Kept whole on the tape, unless keep_all: events without content, and those with USAGE, FINISH, ERROR,
    MALFORMED or DONE; of events that signal nothing known (or only MALFORMED) the first 1024. An AWS frame
    is named "event:TYPE", "exception:TYPE" or "error:CODE"; the last two carry ERROR, and an error without
    payload has its message for data. After the data that `signals` calls done nothing more is cut.

    A decoder and its tape belong to one thread at a time: feed() and feed_payload() let go of the GIL.
    """

    def __init__(
        self,
        tape: Tape,
        *,
        keep_all: bool = False,
        max_event_bytes: int = 16777216,
        max_events: int = 0,
        max_kept_bytes: int = 0,
    ) -> None:
        """max_event_bytes bounds a line, an event's joined data, an element, a frame, and a document; the others
        bound the tape and the events it keeps whole, 0 is no limit."""
    def begin(self, body: str, length: int, events: str, signals: SignalSet | None, *, encoded: bool = False) -> None:
        """body: "length", "chunked", "close" or "none"; events: "sse", "ndjson", "json_array", "aws" or "document".

        With `encoded` the body's payload is not cut but handed out by take_encoded, to be
        decompressed and given back through feed_payload with its own stamps.
        """

    def feed(self, data: Buffer, arrived_ns: int, seen_ns: int) -> int:
        """Takes the bytes of one read; returns how many belong to this body (the rest came after its end)."""

    def take_encoded(self) -> list[tuple[bytes, int, int]]:
        """(payload, arrived_ns, seen_ns) since the last call."""

    def feed_payload(self, data: Buffer, arrived_ns: int, seen_ns: int) -> None: ...
    def finish(self, arrived_ns: int) -> None:
        """No more will come. Ends a "close" body; any other that has not ended becomes "incomplete body".

        After an encoded body: all its payload was given back (the last NDJSON line may lack its end).
        """

    @property
    def ended(self) -> bool:
        """The body ended as its framing promised."""
    @property
    def error(self) -> str | None:
        """What was against the protocol; nothing is taken after it.

        "bad chunk size", "bad chunk end", "chunk extension too long", "bad trailers", "trailers too long",
        "incomplete body", "event too long", "body too long", "bad checksum", "bad event length",
        "bad event headers", "incomplete event" (the body ended well, inside an AWS frame), "out of memory",
        "too many events", "too many kept bytes"; of a stream that decompresses, also "bad compressed data",
        "too many decompressed bytes", "compressed too densely".
        """
    @property
    def end_ns(self) -> int:
        """Arrival of the byte that ended the body; -1 before, and for a body that has none."""
    @property
    def last_content_ns(self) -> int:
        """Arrival of the newest event with content; -1 when none came."""
    @property
    def done(self) -> bool:
        """An event with the DONE signal was seen."""
    @property
    def comments(self) -> int: ...
    @property
    def unkept(self) -> int:
        """Events that signalled nothing known and came after the 1024 that were kept."""
    @property
    def body_bytes(self) -> int:
        """Payload bytes, framing excluded."""
    @property
    def document(self) -> bytes:
        """The whole payload, where events is "document"; else the first 64 KiB of a body that gave no event."""
    @property
    def error_field(self) -> bytes:
        """Value of the first SSE field named "error" (old llama.cpp); b"" when none came."""
    @property
    def trailers(self) -> bytes:
        """The trailer lines as they came, without the blank one."""
