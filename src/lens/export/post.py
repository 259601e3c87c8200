"""One HTTP request to a backend of metrics: bounded in time, tried again only where that can help.

Redirects are not followed, because credentials would go along. What the backend answers is read up to
a limit and shown; its address is shown without credentials and query.
"""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from lens.errors import TransportError
from lens.secrets import bare_url
from lens.units import parse_count

# For all attempts together, with the pauses between them.
BUDGET_S = 30.0
TIMEOUT_S = 10.0  # of one attempt
TRIES = 3
_PAUSE_S = 0.5  # before the second attempt; twice that before the third
# Too many requests, or a server that is busy or away: all of them pass.
_AGAIN = frozenset((429, 500, 502, 503, 504))
_WORDS_BYTES = 2000  # of an answer, to be shown


class Request(NamedTuple):
    """What is sent."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


class _Answer(NamedTuple):
    status: int
    words: str
    retry_after_s: float


def send(request: Request, *, budget_s: float = BUDGET_S, timeout_s: float = TIMEOUT_S) -> None:
    """Send one request; a backend that is busy is asked again after a moment.

    Raises:
        TransportError: it was not taken within the time; the message holds the backend's own words.
    """
    until = time.monotonic() + budget_s
    pause_s, why, hint = _PAUSE_S, "", ""
    for attempt in range(TRIES):
        left_s = until - time.monotonic()
        if left_s <= 0:
            break
        try:
            answer = _exchange(request, min(timeout_s, left_s))
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            wait_s = pause_s
        else:
            if 200 <= answer.status < 300:
                return
            why = f"HTTP {answer.status}{': ' + answer.words if answer.words else ''}"
            hint = _hint(answer)
            if answer.status not in _AGAIN:
                break
            wait_s = max(pause_s, answer.retry_after_s)
        if attempt + 1 == TRIES or time.monotonic() + wait_s >= until:
            break
        time.sleep(wait_s)
        pause_s *= 2
    raise TransportError(f"push to {bare_url(request.url)}: {why or 'there was no time left'}{hint}")


def _hint(answer: _Answer) -> str:
    """What would work, where the answer says it well enough."""
    if answer.status in (401, 403):
        return "; it wants credentials: in the URL (user:password@) or the backend's variables"
    if 300 <= answer.status < 400:
        return "; give the address it redirects to"
    if "database not found" in answer.words:
        return "; make it first: CREATE DATABASE, or name another with ?db="
    return ""


def _exchange(request: Request, timeout_s: float) -> _Answer:
    """One attempt; a watch ends it when a slow answer would stretch it beyond the time."""
    made = _connection(request.url, timeout_s)
    made.connect()
    # http.client lets go of the socket when the answer's head is read, so the watch holds it itself.
    watch = threading.Timer(timeout_s, _cut, (made.sock,))
    watch.daemon = True
    watch.start()
    try:
        parts = urlsplit(request.url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        made.request(request.method, target, body=request.body, headers={**request.headers, **credentials(request.url)})
        answer = made.getresponse()
        words = " ".join(answer.read(_WORDS_BYTES).decode("utf-8", "replace").split())
        return _Answer(answer.status, words[:200], _seconds(answer.getheader("Retry-After", "")))
    finally:
        watch.cancel()
        made.close()


def _connection(url: str, timeout_s: float) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, port, timeout=timeout_s)


def _cut(sock: socket.socket) -> None:
    """Wake whoever waits for this connection."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _seconds(text: str) -> float:
    """Retry-After where it is a number of seconds; a date is left alone."""
    return float(parse_count(text) or 0)


def credentials(url: str) -> dict[str, str]:
    """The header for user:password@ in a URL; nothing where there is none."""
    parts = urlsplit(url)
    return basic(unquote(parts.username), unquote(parts.password or "")) if parts.username else {}


def basic(user: str, password: str) -> dict[str, str]:
    """The header of a name and a password."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
