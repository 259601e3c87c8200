"""Reads every socket of a run through one epoll descriptor, without the GIL, with kernel stamps."""

from lens._core.stream import Stream as Stream

native: bool
"""True where epoll and SO_TIMESTAMPING exist (Linux)."""

class Reactor:
    """One epoll descriptor. Readable when poll() has something to do."""

    def __init__(self, *, kernel_stamps: bool = True) -> None: ...
    def fileno(self) -> int: ...
    def attach(self, stream: Stream) -> None: ...
    def detach(self, stream: Stream) -> None:
        """Before its descriptor is closed."""

    def __len__(self) -> int:
        """Streams that are attached."""

    def poll(self) -> list[Stream]:
        """Reads all that is ready; the streams whose state became parked, ended or failed."""

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
