"""What the kernel says of a TCP connection (TCP_INFO)."""

def read_tcp_info(fd: int) -> tuple[int, int, int, int] | None:
    """(rtt, rttvar, min_rtt in us, total retransmits); None where the system does not tell."""

def read_acked_bytes(fd: int) -> int | None:
    """Return how many of the bytes that were sent the peer's kernel has acknowledged; None where nothing tells it."""
