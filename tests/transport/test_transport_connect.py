"""From addresses to one socket: the order of the race, what each attempt leaves, and that no other stays open."""

import errno
import os
import socket
from contextlib import ExitStack
from functools import partial
from itertools import pairwise

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from waiting import HANG_S

from lens.errors import ConnectError
from lens.transport.connect import ATTEMPT_DELAY_S, connect_tcp, connect_unix, interleave_families
from lens.transport.resolve import Address


def address(host: str, port: int) -> Address:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return Address(family=family, sockaddr=(host, port, 0, 0) if ":" in host else (host, port))


def open_sockets() -> set[str]:
    """The sockets of this process."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            at = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if at.startswith("socket:"):
            found.add(at)
    return found


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture
def silent():
    """An address whose queue of connections is full, so that another attempt is never answered."""
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()


@given(st.lists(st.sampled_from("46"), max_size=8))
def test_address_families_alternate_and_keep_their_own_order(families):
    made = [address(f"{'::' if family == '6' else '127.0.0.'}{n + 1}", 1) for n, family in enumerate(families)]
    order = interleave_families(made)
    assert set(order) == set(made)
    assert len(order) == len(made)
    assert order[:1] == made[:1]
    for family in {one.family for one in made}:
        assert [one for one in order if one.family == family] == [one for one in made if one.family == family]
    fewer = min(families.count("4"), families.count("6"))
    assert all(a.family != b.family for a, b in pairwise(order[: 2 * fewer]))


async def test_the_winner_is_ready_to_measure(listener):
    attempts = []
    sock, won = await connect_tcp([address(*listener.getsockname())], "here", attempts)
    with sock:
        assert attempts == [won]
        assert (won.address, won.family, won.error) == ("127.0.0.1", "ipv4", None)
        assert won.start_ns <= won.end_ns
        assert not sock.getblocking()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_when_all_addresses_refuse_the_error_names_each_with_its_reason(listener):
    port = listener.getsockname()[1]
    listener.close()
    attempts = []
    with pytest.raises(ConnectError) as caught:
        await connect_tcp([address("127.0.0.1", port), address("127.0.0.2", port)], "api.example:1", attempts)
    assert str(caught.value) == (
        "no connection to api.example:1: 127.0.0.1: connection refused; 127.0.0.2: connection refused"
    )
    assert [one.error for one in attempts] == ["connection refused"] * 2


async def test_a_name_without_addresses_is_a_connect_error():
    with pytest.raises(ConnectError, match="no connection to api:1: it has no address"):
        await connect_tcp([], "api:1", [])


async def test_a_refused_attempt_starts_the_next_at_once(listener, monkeypatch):
    attempts = []
    nobody = address("127.0.0.2", listener.getsockname()[1])
    monkeypatch.setattr("lens.transport.connect.ATTEMPT_DELAY_S", HANG_S)
    before = trio.current_time()
    sock, won = await connect_tcp([nobody, address(*listener.getsockname())], "here", attempts)
    sock.close()
    assert trio.current_time() - before < HANG_S / 2
    assert [one.error for one in attempts] == ["connection refused", None]
    assert attempts[-1] == won


async def test_an_unanswered_attempt_loses_the_race_and_is_recorded_as_called_off(silent, listener):
    before, attempts = open_sockets(), []
    sock, won = await connect_tcp([address(*silent), address(*listener.getsockname())], "here", attempts)
    assert won.start_ns - min(one.start_ns for one in attempts) >= ATTEMPT_DELAY_S * 1e9
    assert {one.error for one in attempts} == {None, "called off"}
    assert len(open_sockets() - before) == 1
    sock.close()


async def cancelled(connect, attempts_open=1):
    """Cancel what connects once it has opened so many sockets."""
    before = open_sockets()
    with trio.fail_after(HANG_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connect)
            while len(open_sockets() - before) < attempts_open:
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert nursery.cancel_scope.cancelled_caught


async def test_a_cancelled_race_leaves_no_socket_and_all_its_attempts(silent):
    before, attempts = open_sockets(), []
    await cancelled(partial(connect_tcp, [address(*silent), address(*silent)], "here", attempts), 2)
    assert [one.error for one in attempts] == ["called off"] * 2
    assert open_sockets() == before


async def test_a_cancelled_lone_attempt_leaves_no_socket_and_is_recorded(silent):
    before, attempts = open_sockets(), []
    await cancelled(partial(connect_tcp, [address(*silent)], "here", attempts))
    assert [one.error for one in attempts] == ["called off"]
    assert open_sockets() == before


async def test_a_unix_socket_is_connected_and_named_by_its_path(tmp_path):
    path, attempts = str(tmp_path / "s"), []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        sock, won = await connect_unix(path, attempts)
        with sock:
            assert attempts == [won]
            assert (won.address, won.family, won.error) == (path, "unix", None)
            assert not sock.getblocking()


@pytest.mark.parametrize(
    ("name", "says"), [("none", errno.ENOENT), ("x" * 200, errno.ENAMETOOLONG), ("file", errno.ECONNREFUSED)]
)
async def test_a_path_without_a_listener_is_a_connect_error(tmp_path, name, says):
    (tmp_path / "file").touch()
    path, before, attempts = str(tmp_path / name), open_sockets(), []
    with pytest.raises(ConnectError) as caught:
        await connect_unix(path, attempts)
    assert str(caught.value) == f"no connection to {path}: {os.strerror(says).lower()}"
    assert attempts[0].error == os.strerror(says).lower()
    assert open_sockets() == before


async def test_a_unix_socket_with_a_full_queue_is_tried_until_there_is_room(tmp_path):
    path, attempts = str(tmp_path / "s"), []
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(path)
        listener.listen(0)
        waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
        waiting.connect(path)
        before = open_sockets()
        await cancelled(partial(connect_unix, path, attempts))
        assert attempts[0].error == "called off"
        assert open_sockets() == before
        async with trio.open_nursery() as nursery:

            async def make_room():
                await trio.sleep(0.02)
                stack.enter_context(listener.accept()[0])

            nursery.start_soon(make_room)
            sock, won = await connect_unix(path, attempts)
            sock.close()
        assert won.error is None
