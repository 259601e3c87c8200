"""Reads every socket of a run through one epoll descriptor, without the GIL, with kernel stamps."""

from lens._core.stream import Stream as Stream

native: bool
"""True where epoll and SO_TIMESTAMPING exist (Linux)."""

class Reactor:
    """One epoll descriptor for all sockets of a run.

    poll() reads, until start() makes a thread of the core do so. Methods of a reactor and of its streams may be
    called by any thread of Python; two that poll at once are told of different streams.
    """

    def __init__(self, *, kernel_stamps: bool = True) -> None: ...
    def start(self) -> None:
        """Read in a thread from now on, whatever Python does meanwhile; close() ends it.

        Raises:
            OSError: there is no thread to be had.
            RuntimeError: it was started already.
            ValueError: the reactor is closed.
        """

    def fileno(self) -> int:
        """A descriptor that is readable when poll() has something to do; start() changes it."""

    def attach(self, stream: Stream) -> None:
        """Read it from now on.

        Raises:
            OSError: the kernel refuses the descriptor.
            ValueError: the stream is attached to another reactor, or this one is closed.
        """

    def detach(self, stream: Stream) -> None:
        """Stop reading it, best before its descriptor is closed; nothing happens when it is not attached here."""

    def __len__(self) -> int:
        """Streams that are attached."""

    def poll(self) -> list[Stream]:
        """Return the attached streams whose state became parked, ended or failed; read first, unless a thread does.

        Raises:
            OSError: the kernel cannot tell what is ready.
            ValueError: the reactor is closed.
        """

    def read(self, stream: Stream) -> bool:
        """Read what has arrived for one stream; return True when poll() has something to do for it."""

    @property
    def polls(self) -> int:
        """Calls of poll()."""
    @property
    def turns(self) -> int:
        """How often sockets were ready; in one turn several may be read."""
    @property
    def reads(self) -> int:
        """recvmsg calls that were made."""
    @property
    def batches(self) -> bool:
        """The thread waits a little for more sockets to be ready: there are many, and none that is fast."""
    @property
    def unstamped(self) -> bool:
        """A read came without a kernel stamp; its time is that of the read."""
    @property
    def clock_steps(self) -> int:
        """How often the wall clock was set."""
    def close(self) -> None: ...
