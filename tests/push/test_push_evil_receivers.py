"""Receivers of pushes and webhooks that do all they can: each push ends within its time, and its message is clean.

Every kind of push goes to the same receiver at once, so that a row costs one timeout.
"""

from __future__ import annotations

import gzip
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from backend import dripping, endless
from handmade import INFO, record
from waiting import HANG_S

from lens.errors import LensError, TransportError
from lens.monitor.outbox import WebhookOutbox
from lens.monitor.watch import Alert
from lens.pricing import PriceBook
from lens.push import http
from lens.push.push import Push, push_run
from lens.secrets import remember_url

TIMEOUT_S, BUDGET_S = 0.25, 0.6
USER, KEY = "evil-user", "hush-7f3a9"
BOOK = PriceBook([])
KINDS = ("push-gateway", "influx", "otlp", "export-prometheus", "webhook")


def set_times(monkeypatch, timeout_s, budget_s):
    monkeypatch.setitem(http.send.__kwdefaults__, "timeout_s", timeout_s)
    monkeypatch.setitem(http.send.__kwdefaults__, "budget_s", budget_s)
    monkeypatch.setattr("lens.monitor.outbox.LAST_S", budget_s)


@pytest.fixture(autouse=True)
def short_times(monkeypatch):
    monkeypatch.setattr(http, "FIRST_PAUSE_S", 0.05)
    set_times(monkeypatch, TIMEOUT_S, BUDGET_S)


class Receiver:
    """A listener that does `answer(socket)` with each connection; `asked` counts them."""

    def __init__(self, answer, *, read_first=True):
        self.asked, self._answer, self._read = 0, answer, read_first
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.asked += 1
            self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            if self._read:
                sock.recv(1 << 20)
            self._answer(sock)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(HANG_S)
        for sock in self._open:
            sock.close()


@contextmanager
def receiving(answer, **options):
    receiver = Receiver(answer, **options)
    try:
        yield receiver
    finally:
        receiver.close()


def failure_of(kind, url):
    """Return what a push to the receiver fails with; None where it was accepted."""
    remember_url(url)
    try:
        if kind == "webhook":
            box = WebhookOutbox(url)
            box.add(Alert(status="firing", alert="failing", provider="p", model="m", says="s"))
            box._send(lambda _: None)
        else:
            push_run(Push(kind, url), INFO, [record()], BOOK, {"INFLUX_TOKEN": KEY})
    except LensError as error:
        return error
    return None


def push_all_kinds(receiver, scheme="http"):
    """Push by every kind at once; return the failures by kind."""
    url = f"{scheme}://{USER}:{KEY}@127.0.0.1:{receiver.port}"
    queries = {"influx": f"?db=d&token={KEY}", "webhook": f"/hook?token={KEY}"}
    with ThreadPoolExecutor(len(KINDS)) as pool:
        tasks = {kind: pool.submit(failure_of, kind, url + queries.get(kind, "")) for kind in KINDS}
        return {kind: task.result(HANG_S) for kind, task in tasks.items()}


def whole(head, body=b""):
    return lambda sock: sock.sendall(head + body)


def silent(sock):
    while sock.recv(65536):
        pass


REFUSED = b"HTTP/1.1 400 Bad\r\nConnection: close\r\n\r\n"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n"
UGLY = (
    f"\x1b]0;owned\x07\x1b[2J::error::gone\r\n::add-mask::x\n\u202e\u2066 key={KEY} \x9b31m".encode()
    + b"\xff\xfe\xed\xa0\x80"
)
BOMB = gzip.compress(bytes(20 << 20), mtime=0)
# What the receiver does, and words of the failure.
EVIL = {
    "100 Continue without end": (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 500), "illegal answer"),
    "100 Continue now and then": (dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "no answer within"),
    "a head without end": (endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 500), "illegal answer"),
    "a header without end": (endless(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 65536), "illegal answer"),
    "a reason without end": (endless(b"HTTP/1.1 200 ", b"y" * 65536), "illegal answer"),
    "a head a byte at a time": (dripping(b"HTTP/1.1 200 OK\r\n", b"X"), "no answer within"),
    "a body a byte at a time": (dripping(b"HTTP/1.1 400 No\r\n\r\n", b"x"), "no answer within"),
    "a body without end": (endless(b"HTTP/1.1 400 No\r\n\r\n", b"x" * 65536), "HTTP 400: xxx"),
    "chunks without end": (
        endless(b"HTTP/1.1 400 No\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 1000), "HTTP 400: xxx"
    ),
    "a chunk of a negative size": (
        whole(b"HTTP/1.1 400 No\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nxxxxx\r\n"), "illegal answer"
    ),
    "a gzip bomb": (whole(b"HTTP/1.1 400 No\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n", BOMB), "HTTP 400"),
    "a connection that is accepted and never answered": (silent, "no answer within"),
    "an end at once": (lambda sock: None, "closed the connection without an answer"),
    "TLS where HTTP is spoken": (whole(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), "illegal answer"),
    "words with escapes, bidi marks and workflow commands": (whole(REFUSED, UGLY), "HTTP 400"),
    "the same as a reason": (whole(b"HTTP/1.1 400 " + UGLY.replace(b"\r\n", b" ") + b"\r\n\r\n"), ""),
    "the same as a status line": (whole(UGLY + b"\r\n\r\n"), "illegal answer"),
    "a key that is echoed": (whole(REFUSED, f"{USER}:{KEY} is wrong".encode()), "HTTP 400"),
    "Retry-After of a year": (whole(BUSY + b"Retry-After: 31536000\r\n\r\n"), "HTTP 503"),
    "Retry-After of thousands of digits": (whole(BUSY + b"Retry-After: " + b"9" * 5000 + b"\r\n\r\n"), "HTTP 503"),
    "Retry-After in the year 99999": (
        whole(BUSY + b"Retry-After: Fri, 31 Dec 99999 23:59:59 GMT\r\n\r\n"), "HTTP 503"
    ),
    "busy for ever": (whole(BUSY + b"Retry-After: 0\r\n\r\n"), "HTTP 503"),
}  # fmt: skip


def check(found, says):
    for kind, error in found.items():
        assert isinstance(error, TransportError), f"{kind}: {error!r}"
        text = str(error)
        # The latter two on a machine that is busy.
        assert any(one in text for one in (says, "no answer within", "there was no time left")), f"{kind}: {text}"
        assert text.isprintable(), f"{kind}: {text!r}"
        assert not any("\u2066" <= c <= "\u2069" or "\u202a" <= c <= "\u202e" for c in text)
        assert text.startswith("push to http")
        assert KEY not in text
        assert len(text) < 600


@pytest.mark.parametrize("name", EVIL)
def test_no_receiver_holds_a_push_beyond_its_time_or_writes_on_the_terminal(name):
    answer, says = EVIL[name]
    with receiving(answer) as receiver:
        check(push_all_kinds(receiver), says)
    assert receiver.asked <= http.ATTEMPTS * len(KINDS)


def test_an_answer_before_the_request_delivers_nothing_twice_and_ends():
    with receiving(whole(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), read_first=False) as receiver:
        push_all_kinds(receiver)
    assert receiver.asked <= http.ATTEMPTS * len(KINDS)


NO_TLS = {
    "words": whole(b"no TLS at all\r\n\r\n" * 100),
    "silence": silent,
    "an end": lambda sock: None,
    "records without end": endless(b"", b"\x16\x03\x03\x40\x00" * 9000),
}


@pytest.mark.parametrize("answer", NO_TLS.values(), ids=NO_TLS)
def test_what_is_no_tls_ends_the_push(answer):
    with receiving(answer) as receiver:
        check(push_all_kinds(receiver, "https"), "TLS")
    assert receiver.asked <= http.ATTEMPTS * len(KINDS)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_to_another_host_nor_in_a_circle(status, monkeypatch):
    set_times(monkeypatch, HANG_S, HANG_S)  # one attempt is enough
    with receiving(silent) as other:
        for port in (other.port, None):

            def answer(sock, port=port):
                place = f"http://{USER}:{KEY}@127.0.0.1:{port or receiver.port}/a\x1b[31m"
                sock.sendall(f"HTTP/1.1 {status} Go\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode())

            with receiving(answer) as receiver:
                check(push_all_kinds(receiver), "give the address it redirects to")
            assert receiver.asked <= 2 * len(KINDS), "a collector is sent spans and metrics"
    assert other.asked == 0
