"""A server on loopback that does, byte by byte, what a fault's script says."""

import contextlib
import socket
import struct
import threading
import time

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


class Reset:
    """RST."""


class Wait(float):
    """Seconds of silence."""


class Trickle(bytes):
    """A byte at a time."""


class Endless(bytes):
    """Again and again, until the client has enough or 64 MB have gone."""


def play(sock, steps):
    for step in steps:
        if isinstance(step, Wait):
            time.sleep(step)
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
def serving(*answers, context=None):
    """The port. Each request gets the next answer, the last one again and again; `context` makes it TLS."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    taken, lock = [0], threading.Lock()

    def one(sock):
        with contextlib.suppress(OSError):
            if context is not None:
                sock = context.wrap_socket(sock, server_side=True)
            with sock:
                while read_request(sock):
                    with lock:
                        steps = answers[min(taken[0], len(answers) - 1)]
                        taken[0] += 1
                    play(sock, steps)
                    if steps and steps[-1] in (Close, Reset):
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
