"""Requests that nobody measures (pushes, probes, webhooks): the answer whole, or which error and at which phase.

No peer holds one of them longer than its deadline, whatever it sends.
"""

import gzip
import re
import socket
import struct
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from functools import partial

import pytest
import trio
import trustme
from backend import Answer, backend, dripping, endless
from waiting import HANG_S, limits

from lens.errors import ConfigError, PeerClosed, ProtocolError, ProxyError, TimedOut, TlsError, TransportError
from lens.push.http import Request, exchange, in_thread, send
from lens.simulator.proxy import ProxyScript, start_proxy
from lens.simulator.server import make_tls_context
from lens.transport.endpoint import parse_endpoint

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def serving(answer, context=None, *, at=None, wait=True):
    """A port that reads a request and answers with these bytes (or does what answer(socket) does); what was read.

    at: the path of a unix socket instead. wait: for the request before the answer.
    """
    got, held = [], []
    with unix_server(at) if at else socket.create_server(("127.0.0.1", 0)) as listener:

        def run():
            while True:
                try:
                    sock, _ = listener.accept()
                    with context.wrap_socket(sock, server_side=True) if context else sock as talk:
                        talk.settimeout(HANG_S)
                        held[:] = [talk]
                        if wait:
                            got.append(whole_request(talk))
                        answer(talk) if callable(answer) else talk.sendall(answer)
                except OSError:
                    if listener.fileno() < 0:
                        return

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield None if at else listener.getsockname()[1], got
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            for talk in held:  # one that the client left with a full window would be held for minutes
                with suppress(OSError):
                    talk.shutdown(socket.SHUT_RDWR)
            thread.join(HANG_S)


def unix_server(path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    return listener


def whole_request(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
    while len(body) < length:
        body += sock.recv(65536)
    return head, body


def ask(url, body=b"", headers=None, timeout_s=10.0, method="POST", **options):
    return exchange(Request(method, url, headers or {}, body), timeout_s, **options)


def test_a_body_arrives_whole_and_so_does_the_answer():
    body = bytes(range(256)) * 2000
    with serving(OK) as (port, got):
        answer = ask(f"http://127.0.0.1:{port}/write?db=llm", body, {"X-Scope": "a"})
    assert (answer.status, answer.body) == (200, b"ok")
    head, received = got[0]
    assert received == body
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /write?db=llm HTTP/1.1"
    lines = {line.lower() for line in lines}
    assert lines >= {f"host: 127.0.0.1:{port}", "x-scope: a", "connection: close"}


def test_a_get_has_no_body_and_no_length():
    with serving(OK) as (port, got):
        assert ask(f"http://127.0.0.1:{port}", method="GET").body == b"ok"
    assert got[0][0].startswith(b"GET / HTTP/1.1")
    assert b"content-length" not in got[0][0].lower()


def test_user_and_password_of_the_url_become_a_header():
    with serving(OK) as (port, got):
        ask(f"http://me:x%20y@127.0.0.1:{port}/a")
    assert b"authorization: basic bwu6ecb5" in got[0][0].lower()
    assert b"me:" not in got[0][0]


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nwait", 503, b"wait"),
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", 302, b""),  # it is not followed
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, b"ok"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"ok"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 3 + OK, 200, b"ok"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"ok" * 999, mtime=0), 200, b"ok" * 999),
    ],
)
def test_any_answer_is_read_to_its_end(answer, status, body):
    with serving(answer) as (port, _):
        assert ask(f"http://127.0.0.1:{port}", b"x")[:2] == (status, body)


def test_it_is_the_same_over_tls(tmp_path):
    context = make_tls_context(tmp_path / "ca.pem", ("127.0.0.1",))
    body = b"y" * 50_000
    with serving(OK, context) as (port, got):
        url = f"https://127.0.0.1:{port}/push"
        endpoint = parse_endpoint(url, cafile=str(tmp_path / "ca.pem"))
        assert ask(url, body, endpoint=endpoint).body == b"ok"
        assert ask(url, body, endpoint=parse_endpoint(url, insecure=True)).body == b"ok"
        trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
        with pytest.raises(TlsError, match="--cacert FILE trusts its issuer"):
            ask(url, body, endpoint=parse_endpoint(url, cafile=str(tmp_path / "other.pem")))
        with pytest.raises(ConfigError, match="--cacert"):
            ask(url, body, endpoint=parse_endpoint(url, cafile=str(tmp_path / "none.pem")))
        named = parse_endpoint(f"https://example.com:{port}", resolve=(f"example.com:{port}:127.0.0.1",))
        with pytest.raises(TlsError, match=r"'example\.com'"):
            ask(f"https://example.com:{port}", endpoint=named)
    assert got[0][1] == body


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("wanted", ["", "me:hush"])
def test_a_proxy_tunnels_https_and_relays_http(tls, wanted, tmp_path):
    context = make_tls_context(tmp_path / "ca.pem", ("127.0.0.1",)) if tls else None
    with serving(OK, context) as (port, _), start_proxy(ProxyScript(credentials=wanted)) as proxy:
        url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/a"
        way = proxy.url.replace("//", f"//{wanted}@") if wanted else proxy.url
        options = {"cafile": str(tmp_path / "ca.pem")} if tls else {}
        assert ask(url, endpoint=parse_endpoint(url, proxy=way, **options)).body == b"ok"
        assert [tunnel.target for tunnel in proxy.tunnels] == [f"127.0.0.1:{port}"]
        assert [tunnel.method for tunnel in proxy.tunnels] == ["CONNECT" if tls else "POST"]


def test_a_proxy_that_refuses_is_named_without_its_password():
    with start_proxy(ProxyScript(status=403)) as proxy:
        endpoint = parse_endpoint("https://h", proxy=proxy.url.replace("//", "//me:hush@"))
        with pytest.raises(ProxyError, match=rf"proxy {proxy.url}, CONNECT h:443: .*403") as caught:
            ask("https://h", endpoint=endpoint)
    assert "hush" not in str(caught.value)


def test_a_unix_socket_and_another_host_are_routes_too(tmp_path):
    with serving(OK) as (port, got):
        elsewhere = parse_endpoint("http://example.com/x", connect_to=(f"example.com:80:127.0.0.1:{port}",))
        assert ask("http://example.com/x", endpoint=elsewhere).body == b"ok"
        assert b"host: example.com\r\n" in got[0][0].lower() + b"\r\n"
    path = str(tmp_path / "s")
    with serving(OK, at=path) as (_, got):
        assert (
            ask("http://example.com/y", endpoint=parse_endpoint("http://example.com", unix_socket=path)).body == b"ok"
        )
    assert got[0][0].startswith(b"POST /y ")


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (lambda sock: None, PeerClosed, "the peer closed the connection without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", PeerClosed, "without sending"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf", PeerClosed, "without sending"),
        (b"220 mail.example ESMTP\r\n\r\n", ProtocolError, "illegal"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nno gzip", ProtocolError, "illegal"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"\r\n", ProtocolError, "more than 100 headers"),
        (reset, TransportError, "connection reset by peer"),
    ],
)
def test_an_answer_that_is_none_is_told_with_who_was_asked(answer, kind, says):
    with serving(answer) as (port, _), pytest.raises(kind) as caught:
        ask(f"http://127.0.0.1:{port}/x", b"body")
    assert str(caught.value).startswith(f"POST 127.0.0.1:{port}: ")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        endless(b"HTTP/1.1 200 OK\r\n\r\n", b"z" * 65536),
        endless(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", gzip.compress(bytes(10**7), mtime=0)),
    ],
)
def test_an_answer_without_end_is_not_read_without_end(answer):
    with serving(answer) as (port, _):
        with pytest.raises(ProtocolError, match="longer than 100000 bytes"):
            ask(f"http://127.0.0.1:{port}", most_bytes=100_000)
        assert ask(f"http://127.0.0.1:{port}", most_bytes=10, shorten=True).status == 200


@pytest.mark.parametrize(
    "answer",
    [
        endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
        endless(b"", b"HTTP/1.1 102 Processing\r\nX: y\r\n\r\n" * 1000),
        endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1000),
        endless(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 65536),
    ],
)
def test_a_flood_of_heads_or_headers_is_no_answer(answer):
    with serving(answer) as (port, _), pytest.raises(ProtocolError, match="illegal answer"):
        ask(f"http://127.0.0.1:{port}")


def message_at_the_deadline(phase, url, **options):
    """Return what is said of an exchange that its deadline ends, in this phase where the machine gets so far."""
    for timeout_s in limits(0.5):
        with pytest.raises(TimedOut) as caught:
            ask(url, timeout_s=timeout_s, **options)
        if phase in str(caught.value):
            break
    return str(caught.value)


@pytest.mark.parametrize(
    ("answer", "phase"),
    [
        (lambda sock: sock.recv(1), "waiting for the answer"),
        (dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "waiting for the answer"),
        (dripping(b"HTTP/1.1 200 OK\r\n", b"X"), "waiting for the answer"),
        (dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", b"X"), "waiting for the answer"),
        (dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"X"), "waiting for the answer"),  # its end would be the connection's
    ],
)
@pytest.mark.parametrize("tls", [False, True])
def test_the_deadline_ends_an_exchange_whatever_comes(answer, phase, tls, tmp_path):
    context = make_tls_context(tmp_path / "ca.pem", ("127.0.0.1",)) if tls else None
    with serving(answer, context) as (port, _):
        url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        endpoint = parse_endpoint(url, insecure=tls)
        assert re.fullmatch(
            rf"POST 127\.0\.0\.1:{port}: no answer within [\d.]+ s; it was {phase}",
            message_at_the_deadline(phase, url, endpoint=endpoint),
        )


@pytest.mark.parametrize(
    "answer",
    [
        lambda sock: sock.recv(65536) and sock.recv(65536),
        dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        dripping(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1000),
    ],
)
def test_a_proxy_that_never_ends_its_answer_is_left_at_the_deadline(answer):
    with serving(answer, wait=False) as (port, _):
        endpoint = parse_endpoint("https://h", proxy=f"http://127.0.0.1:{port}")
        phase = "waiting for the proxy"
        assert f"it was {phase}" in message_at_the_deadline(phase, "https://h", endpoint=endpoint)


def test_a_handshake_that_never_ends_is_left_at_the_deadline():
    with serving(lambda sock: sock.recv(65536) and sock.recv(65536), wait=False) as (port, _):
        phase = "in the TLS handshake"
        assert f"it was {phase}" in message_at_the_deadline(phase, f"https://127.0.0.1:{port}")


@pytest.mark.parametrize("headers", [{"Authorization": "Bearer s3cret\r\nX: y"}, {"Authorization": "s3cret\u20ac"}])
def test_a_header_that_cannot_be_sent_is_named_and_its_value_is_not(headers):
    with pytest.raises(ConfigError) as caught:
        ask("http://127.0.0.1:9/x", b"", headers)
    assert "(Authorization) cannot go on the wire" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://h", "http://", "http://h:99999", "http://[::1", "h:1", "http://h/a b"])
def test_an_address_that_cannot_be_is_a_mistake_of_the_user(url):
    with pytest.raises(ConfigError):
        ask(url)


async def test_it_can_be_called_off_beside_a_loop():
    done = threading.Event()
    with serving(lambda sock: done.wait(HANG_S)) as (port, _):
        with trio.move_on_after(0.05) as scope:
            await in_thread(partial(ask, f"http://127.0.0.1:{port}", timeout_s=5))
        done.set()
    assert scope.cancelled_caught


async def test_it_may_block_a_loop_that_has_nothing_else_to_do():
    with serving(OK) as (port, _):
        assert ask(f"http://127.0.0.1:{port}").body == b"ok"


@pytest.mark.parametrize(
    ("answers", "count", "says"),
    [
        ([b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nwait"] * 3, 3, "HTTP 503: wait"),
        ([b"HTTP/1.1 429 Slow\r\nRetry-After: nonsense\r\nContent-Length: 0\r\n\r\n", OK], 2, None),
        ([b"HTTP/1.1 429 Slow\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n"], 1, "HTTP 429"),
        ([b"", OK], 2, None),
        ([b"nonsense\r\n\r\n", OK], 2, None),
        ([b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"], 1, "HTTP 404"),
        ([b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"], 1, "HTTP 401; it wants credentials"),
        ([b"HTTP/1.1 400 No\r\n\r\nkey sk-abcdefghijk\x1b[31m\n is bad"], 1, r"HTTP 400: key sk-\*\*\* \[31m is bad"),
    ],
)
def test_a_push_is_tried_again_only_where_that_can_help(answers, count, says):
    script = list(answers)
    with serving(lambda sock: sock.sendall(script.pop(0))) as (port, got):
        request = Request("POST", f"http://me:hush@127.0.0.1:{port}/a?token=hush", {}, b"x")
        if says is None:
            send(request)
        else:
            with pytest.raises(TransportError, match=says) as caught:
                send(request)
            assert str(caught.value).startswith(f"push to http://127.0.0.1:{port}/a: ")
            assert "hush" not in str(caught.value)
    assert len(got) == count


def test_what_cannot_be_sent_is_a_push_that_failed_and_no_end_of_a_monitor():
    with pytest.raises(TransportError, match=r"push to ftp://h/a: .*http://"):
        send(Request("POST", "ftp://h/a"))
    with pytest.raises(TransportError, match="there was no time left"):
        send(Request("POST", "http://h"), budget_s=0)


def test_the_library_is_loaded_only_when_something_is_pushed():
    code = "import sys, lens, lens.cli.main; assert 'urllib3' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_push_goes_through_the_proxy_of_the_environment_and_past_it_where_that_says_so(monkeypatch):
    with backend(Answer()) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        send(Request("POST", "http://observatory:9091/metrics"))
        assert proxy.got[0].path == "http://observatory:9091/metrics"
        assert proxy.got[0].headers["Host"] == "observatory:9091"
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        send(Request("POST", f"{proxy.url}/metrics"))
        assert proxy.got[1].path == "/metrics"
        monkeypatch.setenv("HTTP_PROXY", "socks5://127.0.0.1:1")
        with pytest.raises(ConfigError, match="HTTP_PROXY of the environment"):
            exchange(Request("POST", "http://observatory:9091/metrics"))
