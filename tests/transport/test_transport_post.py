"""Requests that nobody measures (pushes, tokens, webhooks): the answer whole, or which error and at which phase."""

import socket
import struct
import threading
from contextlib import contextmanager

import pytest
import trio
import trustme
from waiting import HANG_S

from lens.errors import ConfigError, PeerClosed, ProtocolError, TimedOut, TlsError, TransportError
from lens.simulator.tls import make_context
from lens.transport import post as module
from lens.transport.endpoint import parse_endpoint
from lens.transport.post import post

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def serving(answer, context=None):
    """A port that reads a request and answers with these bytes (or does what answer(socket) does); what was read."""
    got = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run():
            while True:
                try:
                    sock, _ = listener.accept()
                    with context.wrap_socket(sock, server_side=True) if context else sock as talk:
                        talk.settimeout(HANG_S)
                        got.append(whole_request(talk))
                        answer(talk) if callable(answer) else talk.sendall(answer)
                except OSError:
                    if listener.fileno() < 0:
                        return

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1], got
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join(HANG_S)


def whole_request(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += sock.recv(65536)
    return head, body


async def test_a_body_arrives_whole_and_so_does_the_answer():
    body = bytes(range(256)) * 2000
    with serving(OK) as (port, got):
        answer = await post(f"http://127.0.0.1:{port}/write?db=llm", body, {"X-Scope": "a"})
    assert answer == (200, b"ok")
    head, received = got[0]
    assert received == body
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /write?db=llm HTTP/1.1"
    assert f"host: 127.0.0.1:{port}" in {line.lower() for line in lines}
    assert "x-scope: a" in {line.lower() for line in lines}
    assert "connection: close" in {line.lower() for line in lines}


async def test_a_get_has_no_body_and_no_length():
    with serving(OK) as (port, got):
        assert (await post(f"http://127.0.0.1:{port}", method="GET")).body == b"ok"
    assert got[0][0].startswith(b"GET / HTTP/1.1")
    assert b"content-length" not in got[0][0].lower()


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nwait", 503, b"wait"),
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", 302, b""),  # it is not followed
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, b"ok"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"ok"),
    ],
)
async def test_any_answer_is_read_to_its_end(answer, status, body):
    with serving(answer) as (port, _):
        assert await post(f"http://127.0.0.1:{port}", b"x") == (status, body)


async def test_it_is_the_same_over_tls(tmp_path):
    context = make_context(tmp_path / "ca.pem", ("127.0.0.1",))
    body = b"y" * 50_000
    with serving(OK, context) as (port, got):
        url = f"https://127.0.0.1:{port}/push"
        endpoint = parse_endpoint(url, cafile=str(tmp_path / "ca.pem"))
        assert (await post(url, body, endpoint=endpoint)).body == b"ok"
        trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
        with pytest.raises(TlsError):
            await post(url, body, endpoint=parse_endpoint(url, cafile=str(tmp_path / "other.pem")))
    assert got[0][1] == body


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (lambda sock: None, PeerClosed, "the peer closed the connection without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", PeerClosed, "without sending"),
        (b"220 mail.example ESMTP\r\n\r\n", ProtocolError, "illegal"),
        (reset, TransportError, "connection reset by peer"),
    ],
)
async def test_an_answer_that_is_none_is_told_with_who_was_asked(answer, kind, says):
    with serving(answer) as (port, _), pytest.raises(kind) as caught:
        await post(f"http://127.0.0.1:{port}/x", b"body")
    assert str(caught.value).startswith(f"POST 127.0.0.1:{port}: ")
    assert says in str(caught.value)


async def test_an_answer_without_end_is_not_read_without_end(monkeypatch):
    monkeypatch.setattr(module, "ANSWER_MOST_BYTES", 100_000)

    def endless(sock):
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sock.sendall(b"z" * 65536)

    with serving(endless) as (port, _), pytest.raises(ProtocolError, match="longer than 100000 bytes"):
        await post(f"http://127.0.0.1:{port}")


async def test_who_takes_too_long_is_told_with_the_phase_it_was_in():
    done = threading.Event()
    with serving(lambda sock: done.wait(HANG_S)) as (port, _):
        with pytest.raises(TimedOut, match=r"no answer within 0\.05 s; it was "):
            await post(f"http://127.0.0.1:{port}", timeout_s=0.05)
        done.set()


@pytest.mark.parametrize("headers", [{"Authorization": "Bearer s3cret\r\nX: y"}, {"Authorization": "s3cret\u20ac"}])
async def test_a_header_that_cannot_be_sent_is_named_and_its_value_is_not(headers):
    with pytest.raises(ConfigError) as caught:
        await post("http://127.0.0.1:9/x", b"", headers)
    assert "(Authorization) cannot go on the wire" in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_it_can_be_called_off():
    done = threading.Event()
    with serving(lambda sock: done.wait(HANG_S)) as (port, _):
        with trio.move_on_after(0.05) as scope:
            await post(f"http://127.0.0.1:{port}", timeout_s=5)
        done.set()
    assert scope.cancelled_caught
