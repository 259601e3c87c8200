"""Ports for programs that must be told one.

A port that the system gave and got back may be given to the next who asks, before the program has it. The system
gives none below a bound, so nobody but another call of this takes those.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path

LOWEST = 15_000
RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """Return a port of loopback on which nobody listens, and that the system gives to nobody."""
    above = int(RANGE.read_text().split()[0]) if RANGE.exists() else 32_768
    while True:
        port = random.SystemRandom().randrange(LOWEST, max(above, LOWEST + 10_000))
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
