"""What the kernel says of a TCP connection (TCP_INFO)."""

def read_tcp_info(fd: int) -> tuple[int, int, int, int, int] | None:
    """Return rtt, rttvar and min_rtt in us, the retransmits in all, and how many of the bytes that were sent the peer's
    kernel has acknowledged; -1 for what the kernel does not tell, None where the system tells nothing.
    """
