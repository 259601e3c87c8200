"""The CONNECT proxy passes bytes through, and delays, refuses and requires credentials as scripted."""

from __future__ import annotations

import base64
import socket
import threading
import time

import pytest
import simulator_wire as wire
from waiting import HANG_S

from lens.simulator import make_script, start_thread
from lens.simulator.proxy import ProxyScript, start_proxy


@pytest.fixture(scope="module")
def simulator():
    with start_thread(make_script(ttft="1ms", itl="1ms", tokens=3)) as handle:
        yield handle


def connect(proxy, target, *headers):
    """(socket, status, what came after the head)."""
    sock = socket.create_connection((proxy.host, proxy.port), timeout=HANG_S)
    head = "\r\n".join([f"CONNECT {target} HTTP/1.1", f"Host: {target}", *headers])
    sock.sendall(f"{head}\r\n\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(1000)
    head, _, rest = data.partition(b"\r\n\r\n")
    return sock, int(head.split()[1]), rest


def test_a_request_goes_through_the_tunnel(simulator):
    target = f"{simulator.host}:{simulator.port}"
    with start_proxy() as proxy:
        sock, status, _ = connect(proxy, target)
        with sock:
            assert status == 200
            answer = wire.exchange(sock, "/v1/chat/completions", {"messages": [], "stream": True})
        assert wire.parse_openai(answer.body).done
        assert [(tunnel.target, tunnel.status) for tunnel in proxy.tunnels] == [(target, 200)]


def test_the_answer_comes_after_its_delay(simulator):
    with start_proxy(ProxyScript(delay_ns=80_000_000)) as proxy:
        began = time.monotonic_ns()
        sock, _, _ = connect(proxy, f"{simulator.host}:{simulator.port}")
        sock.close()
        assert time.monotonic_ns() - began >= 80_000_000
        assert proxy.tunnels[0].answered_ns - proxy.tunnels[0].asked_ns >= 80_000_000


@pytest.mark.parametrize(("password", "status"), [("user:right", 200), ("user:wrong", 407), (None, 407)])
def test_credentials_are_required_if_the_script_has_them(simulator, password, status):
    with start_proxy(ProxyScript(credentials="user:right")) as proxy:
        headers = ["Proxy-Authorization: Basic " + base64.b64encode(password.encode()).decode()] if password else []
        sock, got, _ = connect(proxy, f"{simulator.host}:{simulator.port}", *headers)
        sock.close()
        assert got == status


def test_it_refuses_by_script_and_where_no_process_listens():
    with start_proxy(ProxyScript(status=403)) as proxy:
        sock, status, _ = connect(proxy, "127.0.0.1:1")
        sock.close()
        assert status == 403
    with start_proxy() as proxy:
        for target in ("127.0.0.1:1", "no port"):
            sock, status, _ = connect(proxy, target)
            sock.close()
            assert status in (502, 405)


def test_bytes_that_come_with_the_answer_belong_to_the_tunnel(simulator):
    with start_proxy(ProxyScript(greeting=b"hello")) as proxy:
        sock, _, rest = connect(proxy, f"{simulator.host}:{simulator.port}")
        with sock:
            while len(rest) < 5:
                rest += sock.recv(5)
        assert rest == b"hello"


def test_stopping_ends_open_tunnels_and_their_threads(simulator):
    before = threading.active_count()
    with start_proxy() as proxy:
        sock, _, _ = connect(proxy, f"{simulator.host}:{simulator.port}")
    with sock:
        assert sock.recv(1) == b""
    assert threading.active_count() == before
