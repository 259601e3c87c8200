"""Start times that are kept: a timerfd, and a short spin at the end of each wait."""

from collections.abc import Buffer

class Pacer:
    """A timerfd armed with one start time after another (absolute, CLOCK_MONOTONIC).

    `times_ns` holds ascending int64. fileno() becomes readable `spin_us` before a start time.
    """

    def __init__(self, times_ns: Buffer, *, spin_us: int = 0) -> None: ...
    def fileno(self) -> int: ...
    def due(self) -> tuple[int, int]:
        """(first, past-the-last) index of the start times that have come since the last call; re-arms."""

    @property
    def remaining(self) -> int: ...
    def close(self) -> None: ...

def fine_timers() -> bool:
    """Ask the kernel for 1 ns timer slack on this thread (Linux); False where that is not possible."""
