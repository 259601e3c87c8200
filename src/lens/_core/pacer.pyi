"""Start times that are kept: a timerfd instead of a poll timeout, which would round to a millisecond."""

from typing_extensions import Buffer

class Pacer:
    """A timerfd armed with one start time after another (absolute, CLOCK_MONOTONIC).

    `times_ns` holds ascending int64. fileno() becomes readable `early_ns` before each start time
    and due() then spins until it has come, so that the wake-up's own delay does not make it late.

    Raises:
        TypeError: the items of the buffer are not int64.
        ValueError: the times do not ascend.
        OSError: the system has no timerfd (only Linux has); use `native` to ask first.
    """

    def __init__(self, times_ns: Buffer, *, early_ns: int = 0) -> None: ...
    def fileno(self) -> int: ...
    def due(self) -> tuple[int, int]:
        """(first, past-the-last) index of the start times that have come since the last call; re-arms."""

    @property
    def remaining(self) -> int: ...
    def close(self) -> None: ...

class Alarm:
    """A timerfd that becomes readable once, so long after set().

    Raises:
        OSError: the system has no timerfd.
    """

    def __init__(self) -> None: ...
    def fileno(self) -> int: ...
    def set(self, after_ns: int) -> None:
        """From now; takes the place of what was set before."""

    def close(self) -> None: ...

native: bool
"""True where timerfd exists (Linux)."""

def fine_timers() -> bool:
    """Ask the kernel for 1 ns timer slack on this thread; False where that is not possible."""
