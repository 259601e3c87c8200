"""A server on loopback that does, byte by byte, what a fault's script says."""

import contextlib
import socket
import ssl
import struct
import threading
import time
from functools import partial

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PLAIN_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


def event(text):
    """One event of a chat completion with a token of text."""
    return b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % text.encode()


FINISH = (
    b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":3,"total_tokens":6}}\n\n'
    b"data: [DONE]\n\n"
)
STREAM = event("a") + event("b") + event("c") + FINISH


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


WHOLE = HEAD + chunk(STREAM) + b"0\r\n\r\n"


class Close:
    """FIN."""


class Notify:
    """TLS's close_notify, and FIN."""


class Reset:
    """RST."""


class Alert:
    """A fatal TLS alert: what OpenSSL sends when it is given a record that cannot be."""


class Wait(float):
    """Seconds of silence."""


class Silence:
    """Nothing, until the client is gone."""


class Taken:
    """Nothing, until the client has read all that was sent."""


class Trickle(bytes):
    """A byte at a time."""


class Endless(bytes):
    """Again and again, until the client has enough or 64 MB have gone."""


def play(sock, steps):
    for step in steps:
        if isinstance(step, Wait):
            time.sleep(step)
        elif step is Silence:
            while sock.recv(65536):
                pass
        elif step is Taken:
            from waiting import all_read, wait_until  # not where only the table is asked for

            wait_until(partial(all_read, sock.getsockname()[1]))
        elif isinstance(step, Trickle):
            for k in range(len(step)):
                sock.sendall(step[k : k + 1])
        elif isinstance(step, Endless):
            for _ in range(64 * 1024 * 1024 // len(step)):
                sock.sendall(step)
        elif isinstance(step, bytes):
            sock.sendall(step)
        elif step is Reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
            return
        elif step is Close:
            return
        elif step is Notify:
            sock.notify()
            return
        elif step is Alert:
            sock.fail()
            return


class TlsByHand:
    """The server's end of a TLS connection with its records in our hands."""

    # A record of application data whose checksum is none.
    WRONG = b"\x17\x03\x03\x00\x20" + bytes(32)

    def __init__(self, sock, context):
        self.sock, self.incoming, self.outgoing = sock, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self._with_more(self.tls.do_handshake)

    def _with_more(self, do, *words):
        while True:
            try:
                return do(*words)
            except ssl.SSLWantReadError:
                self._flush()
                data = self.sock.recv(65536)
                if not data:
                    return b""
                self.incoming.write(data)
            finally:
                self._flush()

    def _flush(self):
        if self.outgoing.pending:
            self.sock.sendall(self.outgoing.read())

    def recv(self, n):
        return self._with_more(self.tls.read, n)

    def sendall(self, data):
        self._with_more(self.tls.write, data)

    def notify(self):
        with contextlib.suppress(ssl.SSLWantReadError):  # it does not wait for the client's
            self.tls.unwrap()
        self._flush()

    def fail(self):
        self.incoming.write(self.WRONG)
        with contextlib.suppress(ssl.SSLError):
            self._with_more(self.tls.read, 1)


def read_request(sock):
    """Up to the end of its body; False when the client is gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return False
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    while len(body) < length:
        more = sock.recv(65536)
        if not more:
            return False
        body += more
    return True


@contextlib.contextmanager
def serving(*answers, context=None, read=None, done=None):
    """The port. Each request gets the next answer, the last one again and again; `context` makes it TLS.

    `read` takes the number of each request as its last byte has come: before the client can know of an answer.
    `done` takes it once all its steps are, and its connection is closed where they end with that.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    taken, lock = [0], threading.Lock()

    def one(sock):
        with contextlib.suppress(OSError), sock:
            peer = sock if context is None else TlsByHand(sock, context)
            while read_request(peer):
                with lock:
                    number = taken[0]
                    steps = answers[min(number, len(answers) - 1)]
                    if read is not None:
                        read.append(number)
                    taken[0] += 1
                play(peer, steps)
                ends = bool(steps) and steps[-1] in (Close, Notify, Reset, Alert)
                if ends:
                    sock.close()
                if done is not None:
                    done.append(number)
                if ends:
                    return

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=one, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()
