"""The HTTP client for what is not measured: pushes, webhooks, questions to a server. Built on urllib3.

One request, one connection. The time of an exchange, and of all its attempts, is bounded whatever the peer
does; an answer is read up to a limit. Redirects are not followed, because credentials would go along. No
message shows credentials, a query or a header's value.
"""

from __future__ import annotations

import http.client
import os
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import NamedTuple, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

import trio
import urllib3
from urllib3.exceptions import HTTPError, InvalidHeader, MaxRetryError

from lens.errors import ConfigError, LensError, PeerClosed, ProtocolError, TimedOut, TlsError, TransportError
from lens.push.connection import Deadline, basic_credentials, open_connection
from lens.secrets import bare_url, one_line
from lens.transport.endpoint import Endpoint, parse_endpoint, usable_proxy
from lens.transport.head import USER_AGENT
from lens.transport.tls import describe_handshake_failure

# Of all attempts together, with the pauses between them.
BUDGET_S = 30.0
TIMEOUT_S = 10.0  # of one attempt
ATTEMPTS = 3
# Before the second attempt; later ones double it.
FIRST_PAUSE_S = 0.5
# Too many requests, or a server that is busy or away: all of them pass.
RETRYABLE_STATUS = frozenset((429, 500, 502, 503, 504))
# What an answer may need at most.
ANSWER_MOST_BYTES = 16 * 1024 * 1024
# Of the answer to a push, to be shown.
_WORDS_BYTES, _WORDS_CHARS = 2000, 200

T = TypeVar("T")


class Request(NamedTuple):
    """What is sent. User and password in the URL become a header."""

    method: str
    url: str
    headers: Mapping[str, str] = {}
    body: bytes = b""


class Answer(NamedTuple):
    """What came back; whether the status is good is the caller's to say."""

    status: int
    body: bytes
    retry_after: str = ""  # the header, as it came


async def in_thread(call: Callable[[], T]) -> T:
    """Run a blocking call beside a trio loop; a cancelled one is abandoned and ends by its own deadline."""
    return await trio.to_thread.run_sync(call, abandon_on_cancel=True)


def exchange(
    request: Request,
    timeout_s: float = TIMEOUT_S,
    *,
    endpoint: Endpoint | None = None,
    most_bytes: int = ANSWER_MOST_BYTES,
    shorten: bool = False,
) -> Answer:
    """Send a request once and return its answer.

    endpoint: the route (proxy, certificates) where it is not the plain one.
    shorten: return the beginning of an answer that is longer than `most_bytes`.

    Raises:
        ConfigError: URL, headers or certificate files cannot be used.
        TransportError, ProtocolError: no complete answer; TimedOut after `timeout_s`.
    """
    parts, endpoint = _address(request.url, endpoint)
    doing = f"{request.method} {endpoint.label}"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = _headers(request, parts, endpoint)
    if (relay := endpoint.relay) is not None:
        target = f"http://{endpoint.authority}{target}"
        if relay.credentials is not None:
            headers |= basic_credentials(relay.credentials.reveal(), "Proxy-Authorization")
    _check_head(request, target, headers, doing)
    with Deadline(timeout_s) as deadline:
        try:
            answer = _talk(request, target, headers, endpoint, deadline, most_bytes + 1)
        except (HTTPError, http.client.HTTPException, OSError, ValueError) as error:  # ValueError: a size below zero
            if not deadline.passed and not isinstance(error, TimeoutError):
                raise _failure(error, doing, endpoint, deadline) from None
            deadline.passed = True
        if deadline.passed:
            # An answer that ends with its connection looks complete when the deadline cut it.
            raise TimedOut(f"{doing}: no answer within {timeout_s:g} s; it was {deadline.phase}")
    if len(answer.body) > most_bytes and not shorten:
        raise ProtocolError(f"{doing}: the answer is longer than {most_bytes} bytes")
    return answer._replace(body=answer.body[:most_bytes])


def send(request: Request, *, budget_s: float = BUDGET_S, timeout_s: float = TIMEOUT_S) -> None:
    """Push a request; a receiver that is busy is asked again after its Retry-After, or after a back-off.

    Raises:
        TransportError: it was not accepted within the time; the message holds the receiver's own words.
    """
    until_s = time.monotonic() + budget_s
    retries = urllib3.Retry(
        ATTEMPTS - 1,
        status_forcelist=RETRYABLE_STATUS,
        allowed_methods=None,
        backoff_factor=FIRST_PAUSE_S,
    )
    said = "there was no time left"
    while (left_s := until_s - time.monotonic()) > 0:
        answer: Answer | None = None
        try:
            answer = exchange(request, min(timeout_s, left_s), most_bytes=_WORDS_BYTES, shorten=True)
        except LensError as error:
            said = str(error)
            if not error.retryable and not isinstance(error, ProtocolError):
                break
        else:
            if 200 <= answer.status < 300:
                return
            said = _refusal(answer)
            if not retries.is_retry(request.method, answer.status, bool(answer.retry_after)):
                break
        try:
            retries = retries.increment(request.method)
        except MaxRetryError:
            break
        pause_s = _pause_s(retries, answer)
        if time.monotonic() + pause_s >= until_s:
            break
        time.sleep(pause_s)
    raise TransportError(f"push to {bare_url(request.url)}: {said}")


def _address(url: str, endpoint: Endpoint | None) -> tuple[SplitResult, Endpoint]:
    """Return the parts of a URL, and its endpoint; user and password are no part of that."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigError(f"{bare_url(url)!r} is not a URL; write http://host:port") from None
    if endpoint is None:
        bare = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        endpoint = parse_endpoint(bare, proxy=usable_proxy(bare, os.environ))
    return parts, endpoint


def _headers(request: Request, parts: SplitResult, endpoint: Endpoint) -> dict[str, str]:
    headers = {
        "Host": endpoint.authority,
        "User-Agent": USER_AGENT.decode(),
        "Accept-Encoding": "gzip, deflate",
        "Connection": "close",
        **request.headers,
    }
    if parts.username:
        headers |= basic_credentials(f"{unquote(parts.username)}:{unquote(parts.password or '')}")
    return headers


def _check_head(request: Request, target: str, headers: Mapping[str, str], doing: str) -> None:
    """Write the head into a connection that is never opened: what cannot be sent is refused before a lookup."""
    unopened = http.client.HTTPConnection("localhost")
    try:
        unopened.putrequest(request.method, target, skip_host=True)
        for name, value in headers.items():
            unopened.putheader(name, value)
    except (ValueError, http.client.HTTPException):
        # http.client shows the value, and the value may be a token.
        names = ", ".join(request.headers) or "none"
        raise ConfigError(f"{doing}: path or headers ({names}) cannot go on the wire") from None


def _talk(
    request: Request, target: str, headers: Mapping[str, str], endpoint: Endpoint, deadline: Deadline, most_bytes: int
) -> Answer:
    with closing(open_connection(endpoint, deadline)) as connection:
        connection.connect()
        deadline.phase = "waiting for the answer"
        connection.request(request.method, target, request.body or None, headers, preload_content=False)
        response = connection.getresponse()
        with closing(response):
            body = response.read(most_bytes, decode_content=True)
        return Answer(response.status, body, response.headers.get("Retry-After", ""))


def _failure(error: Exception, doing: str, endpoint: Endpoint, deadline: Deadline) -> LensError:
    """Our error for what urllib3, http.client or the system raised."""
    cause = error.__cause__ if isinstance(error, HTTPError) and error.__cause__ is not None else error
    if isinstance(cause, ssl.SSLError) and "TLS" in deadline.phase:
        return TlsError(describe_handshake_failure(cause, endpoint))
    if isinstance(cause, http.client.RemoteDisconnected):
        return PeerClosed(f"{doing}: the peer closed the connection without an answer")
    if isinstance(cause, http.client.IncompleteRead):
        return PeerClosed(f"{doing}: the peer closed the connection without sending all of its answer")
    if isinstance(cause, OSError):
        return TransportError(f"{doing}: {(cause.strerror or 'the connection broke').lower()}")
    return ProtocolError(f"{doing}: illegal answer: {one_line(str(cause), _WORDS_CHARS) or type(cause).__name__}")


def _pause_s(retries: urllib3.Retry, answer: Answer | None) -> float:
    """Return how long to wait before the next attempt: as long as the receiver asks, or longer each time."""
    try:
        asked_s = float(retries.parse_retry_after(answer.retry_after)) if answer and answer.retry_after else 0.0
    except (InvalidHeader, ValueError, OverflowError):  # also a year that no calendar has, and thousands of digits
        asked_s = 0.0
    return max(asked_s, FIRST_PAUSE_S, retries.get_backoff_time())


def _refusal(answer: Answer) -> str:
    """Return the receiver's words, and what would work where they say it well enough."""
    words = one_line(answer.body.decode("utf-8", "replace"), _WORDS_CHARS)
    said = f"HTTP {answer.status}{': ' + words if words else ''}"
    if answer.status in (401, 403):
        return f"{said}; it wants credentials: in the URL (user:password@) or the backend's variables"
    if 300 <= answer.status < 400:
        return f"{said}; give the address it redirects to"
    if "database not found" in words:
        return f"{said}; make it first: CREATE DATABASE, or name another with ?db="
    return said
