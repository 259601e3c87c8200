"""One connection as the core reads it: from bytes with stamps to a head, a body and a tape."""

import ssl
from typing import Literal

from typing_extensions import Buffer

from lens._core.signals import SignalSet
from lens._core.tape import Tape

EventFraming = Literal["sse", "ndjson", "json_array", "aws", "document"]
State = Literal["idle", "head", "parked", "body", "ended", "failed"]

class Stream:
    """One connection as the core reads it; serves one exchange after another.

    idle -> head (begin) -> parked (the head is complete) -> body (begin_body) -> ended -> idle.
    While parked, what arrives is read, stamped and held. Any state may become failed.
    """

    def __init__(self, fd: int) -> None: ...
    def secure(self, tls: ssl.SSLObject, incoming: ssl.MemoryBIO) -> None:
        """From now on what is read is ciphertext for `tls`."""

    def begin(
        self,
        *,
        keep_all: bool = False,
        max_event_bytes: int = 16777216,
        max_head_bytes: int = 65536,
        max_events: int = 0,
        max_kept_bytes: int = 0,
        max_inflated_bytes: int = 0,
        max_inflation: int = 0,
        usual_events: str = "",
        signals: SignalSet | None = None,
    ) -> Tape:
        """Begin an exchange: the next bytes are a response head. Return its fresh tape.

        With `usual_events`, the event framing that is asked for, a usual head is settled here: the body
        begins at once, by `signals`, and the stream is never parked. See exchange.read_usual_head.

        The last four are limits of the answer (0: none): events, bytes of the events that are kept, decompressed
        bytes, and how many of them a compressed byte may become once there are 16 MiB.
        """

    def begin_body(self, body: str, length: int, events: str, signals: SignalSet | None, encoding: str = "") -> None:
        """Head understood: cut what follows. encoding: "", "gzip" or "deflate"."""

    def informational(self) -> None:
        """The head was a 1xx: expect another head, starting with what is held."""

    def inflate_more(self) -> None:
        """Decompress the next slice of a backlog."""

    def send(self, data: Buffer, offset: int = 0) -> int:
        """Bytes the kernel took, 0 when it would block. Raises OSError."""

    def feed(self, data: Buffer, arrived_ns: int, seen_ns: int) -> None:
        """The plain selector loop hands in what it read (ciphertext for a secured stream)."""

    def eof(self, at_ns: int, errno: int = 0) -> None:
        """The peer closed, or the socket failed with `errno`."""

    def take_changed(self) -> bool:
        """True once after each change of state; how the plain loop learns what poll() tells."""

    def is_due(self) -> bool:
        """Whether its task has something to do: parked, done, ended, failed, or a backlog to decompress."""

    @property
    def fd(self) -> int: ...
    @property
    def state(self) -> State: ...
    @property
    def head(self) -> bytes:
        """The response head, blank line included, once parked."""
    @property
    def held(self) -> bytes:
        """What has come of the body while parked, in its transfer coding."""
    @property
    def partial_head(self) -> bytes:
        """What came of a head that never ended."""
    @property
    def error(self) -> str | None:
        """Why the exchange failed, None while it has not; what Decoder.error names, or one of these.

        "closed before an answer", "closed inside the head", "head too long", "reset by the peer",
        "closed without close_notify" (TLS, inside a body that the close should end: RFC 9112, 9.8),
        "incomplete compressed data", "TLS failed: REASON".
        """
    @property
    def errno(self) -> int: ...
    @property
    def first_byte_ns(self) -> int:
        """-1 before any byte of this head."""
    @property
    def head_end_ns(self) -> int: ...
    @property
    def end_ns(self) -> int: ...
    @property
    def last_content_ns(self) -> int: ...
    @property
    def last_read_ns(self) -> int: ...
    @property
    def done(self) -> bool:
        """The protocol's own end has come; take_changed() and poll() tell it once."""
    @property
    def ended(self) -> bool: ...
    @property
    def is_document(self) -> bool:
        """The body has no events: it is one document."""
    @property
    def wire_bytes(self) -> int:
        """Bytes read for this exchange (plain bytes under TLS)."""
    @property
    def reads(self) -> int: ...
    @property
    def comments(self) -> int: ...
    @property
    def document(self) -> bytes: ...
    @property
    def error_field(self) -> bytes: ...
    @property
    def kernel_stamped(self) -> bool:
        """Every read of this exchange had a kernel stamp."""
    @property
    def clock_stepped(self) -> bool: ...
    @property
    def closed(self) -> bool:
        """The peer has closed, or the socket failed: no other exchange can begin here."""
    @property
    def send_start_ns(self) -> int:
        """Just before the first byte of this exchange went to the kernel; -1 before."""
    @property
    def send_end_ns(self) -> int:
        """When the last byte that was sent left for the network, as well as `send_stamp` knows it."""
    @property
    def send_stamp(self) -> Literal["kernel", "call", "bound"]:
        """Whose send_end_ns is: the kernel's; that of the return of the sending call; or that of the first byte of
        the answer, which had arrived before that return was seen."""
    @property
    def backlog(self) -> bool:
        """More has come than was decompressed at once; take_changed() and poll() tell it. See inflate_more."""
    @property
    def surplus(self) -> bool:
        """Bytes came after the end of the body: the connection must not be used again."""
