"""Reads every socket of a run through one epoll descriptor, without the GIL, with kernel stamps."""

from lens._core.stream import Stream as Stream

native: bool
"""True where epoll and SO_TIMESTAMPING exist (Linux)."""

class Reactor:
    """One epoll descriptor. Readable when poll() has something to do.

    A reactor and the streams attached to it belong to one thread. poll() lets go of the GIL while it
    reads; what another thread may do meanwhile is read `polls`, `reads`, `unstamped` and `clock_steps`.
    """

    def __init__(self, *, kernel_stamps: bool = True) -> None: ...
    def fileno(self) -> int: ...
    def attach(self, stream: Stream) -> None:
        """Read it from now on.

        Raises:
            OSError: the kernel refuses the descriptor.
            ValueError: the stream is attached to another reactor.
        """

    def detach(self, stream: Stream) -> None:
        """Stop reading it, best before its descriptor is closed; nothing happens when it is not attached here."""

    def __len__(self) -> int:
        """Streams that are attached."""

    def poll(self) -> list[Stream]:
        """Read all that is ready; return the attached streams whose state became parked, ended or failed.

        Raises:
            OSError: the kernel cannot tell what is ready.
            RuntimeError: another thread is in poll() just now.
            ValueError: the reactor is closed.
        """

    @property
    def polls(self) -> int: ...
    @property
    def reads(self) -> int:
        """recvmsg calls that were made."""
    @property
    def unstamped(self) -> bool:
        """A read came without a kernel stamp; its time is that of the read."""
    @property
    def clock_steps(self) -> int: ...
    def close(self) -> None: ...

def read_tcp_info(fd: int) -> tuple[int, int, int, int] | None:
    """(rtt, rttvar, min_rtt in us, total retransmits); None where the system does not tell."""
