"""Reads every socket of a run through one epoll descriptor, without the GIL, with kernel stamps."""

import ssl
from collections.abc import Buffer
from typing import Literal

from lens._core.signals import SignalSet
from lens._core.tape import Tape

native: bool
"""True where epoll and SO_TIMESTAMPING exist (Linux)."""

State = Literal["idle", "head", "parked", "body", "ended", "failed"]

class Stream:
    """One connection as the core reads it; serves one exchange after another.

    idle -> head (begin) -> parked (the head is complete) -> body (begin_body) -> ended -> idle.
    While parked, what arrives is read, stamped and held. Any state may become failed.
    """

    def __init__(self, fd: int) -> None: ...
    def secure(self, tls: ssl.SSLObject, incoming: ssl.MemoryBIO) -> None:
        """From now on what is read is ciphertext for `tls`."""

    def begin(self, *, keep_all: bool = False, max_event_bytes: int = 16777216, max_head_bytes: int = 65536) -> Tape:
        """A new exchange: the next bytes are a response head. Returns its fresh tape."""

    def begin_body(
        self, body: str, length: int, events: str, signals: SignalSet | None, encoding: str = ""
    ) -> None:
        """Head understood: cut what follows. encoding: "", "gzip" or "deflate"."""

    def informational(self) -> None:
        """The head was a 1xx: expect another head, starting with what is held."""

    def send(self, data: Buffer, offset: int = 0) -> int:
        """Bytes the kernel took, 0 when it would block. Raises OSError."""

    def feed(self, data: Buffer, arrived_ns: int, seen_ns: int) -> None:
        """The plain selector loop hands in what it read (ciphertext for a secured stream)."""

    def eof(self, at_ns: int, errno: int = 0) -> None:
        """The peer closed, or the socket failed with `errno`."""

    @property
    def fd(self) -> int: ...
    @property
    def state(self) -> State: ...
    @property
    def head(self) -> bytes:
        """The response head, blank line included, once parked."""
    @property
    def partial_head(self) -> bytes:
        """What came of a head that never ended."""
    @property
    def error(self) -> str | None: ...
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
    def done(self) -> bool: ...
    @property
    def ended(self) -> bool: ...
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
    def surplus(self) -> bool:
        """Bytes came after the end of the body: the connection must not be used again."""

class Reactor:
    """One epoll descriptor. Readable when poll() has something to do."""

    def __init__(self, *, kernel_stamps: bool = True, busy_us: int = 0) -> None: ...
    def fileno(self) -> int: ...
    def attach(self, stream: Stream) -> None: ...
    def detach(self, stream: Stream) -> None:
        """Before its descriptor is closed."""

    def poll(self) -> list[Stream]:
        """Reads all that is ready; the streams whose state became parked, ended or failed."""

    @property
    def polls(self) -> int: ...
    @property
    def events(self) -> int: ...
    @property
    def clock_steps(self) -> int: ...
    def close(self) -> None: ...

def read_tcp_info(fd: int) -> tuple[int, int, int, int] | None:
    """(rtt, rttvar, min_rtt in us, total retransmits); None where the system does not tell."""
