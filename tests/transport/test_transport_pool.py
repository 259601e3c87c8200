"""Connections that are opened ahead keep the time limits of a request."""

import socket

import pytest

from lens.errors import TimedOut
from lens.transport.endpoint import Timeouts, parse_endpoint
from lens.transport.pool import open_pool
from lens.units import NS_PER_MS, NS_PER_S


@pytest.mark.parametrize(
    ("total_ns", "connect_ns", "limit"),
    [
        (None, None, ("--connect-timeout", None)),
        (5, None, ("--timeout", 5)),
        (None, 3, ("--connect-timeout", 3)),
        (5, 3, ("--connect-timeout", 3)),
        (3, 5, ("--timeout", 3)),
    ],
)
def test_the_shorter_limit_bounds_a_setup(total_ns, connect_ns, limit):
    assert Timeouts(total_ns=total_ns, connect_ns=connect_ns).of_setup() == limit


async def test_a_peer_that_is_silent_in_the_handshake_holds_nobody_up_beyond_the_timeout():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = parse_endpoint(f"https://127.0.0.1:{silent.getsockname()[1]}", insecure=True)
        async with open_pool() as pool:
            with pytest.raises(TimedOut, match=r"within 20.00 ms \(--timeout\)"):
                await pool.warm(endpoint, 2, Timeouts(total_ns=20 * NS_PER_MS, connect_ns=600 * NS_PER_S))
            assert pool.idle_count(endpoint) == 0
