"""A backend of metrics with a script: what it answers to each request in turn; it keeps what it was sent."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from waiting import HANG_S


class Got(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Answer(NamedTuple):
    status: int = 204
    words: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    drip_s: float = 0  # pause before each byte of the words


def endless(head, more, pause_s=0.0):
    """What does to a connection what a receiver does that never ends: the head, then more and more."""

    def answer(sock):
        sock.sendall(head)
        while True:
            sock.sendall(more)
            time.sleep(pause_s)

    return answer


def dripping(head, more):
    """The same, a little again and again, so that no single read ever waits long."""
    return endless(head, more, 0.02)


class Backend:
    """Its address, and what it got; answers after the script's end are 204."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.got: list[Got] = []


@contextmanager
def backend(*script: Answer) -> Iterator[Backend]:
    answers = list(script)

    class Handler(BaseHTTPRequestHandler):
        def take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            found.got.append(Got(self.command, self.path, dict(self.headers), body))
            answer = answers.pop(0) if answers else Answer()
            self.send_response(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.words)))
            self.end_headers()
            try:
                for byte in answer.words if answer.drip_s else ():
                    time.sleep(answer.drip_s)
                    self.wfile.write(bytes([byte]))
                if not answer.drip_s:
                    self.wfile.write(answer.words)
            except OSError:
                self.close_connection = True  # nobody listens any more

        do_POST = do_PUT = do_GET = take

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found = Backend(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join(HANG_S)
