"""CLOCK_MONOTONIC in nanoseconds, and how the wall clock lies to it."""

def now_ns() -> int:
    """CLOCK_MONOTONIC, ns."""

def realtime_ns() -> int:
    """CLOCK_REALTIME, ns since 1970."""

def resolution_ns() -> int:
    """Smallest step the monotonic clock says it can show, ns."""

def cost_ns(reads: int = 1000) -> float:
    """What one reading of the clock costs, ns; the median of several series."""

def sample_offset(triples: int = 9) -> tuple[int, int]:
    """(REALTIME - MONOTONIC, width of the bracket), ns: the tightest of several (mono, real, mono) triples."""
