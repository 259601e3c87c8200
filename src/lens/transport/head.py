"""HTTP/1.1 heads, both ways, and what a response head says of its body.

No sockets and no clock: bytes in, bytes or facts out. The body is never seen here; the core cuts it by the framing
(RFC 9112, section 6.3) that is decided here. A plain request head is written here, the core reads a usual response
head; any other goes through h11, which is loaded then: most runs of one request never need it.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, Literal

import msgspec

from lens._version import __version__
from lens.errors import ConfigError, ProtocolError
from lens.transport.endpoint import Proxy
from lens.wire import EventFraming, WireRequest

if TYPE_CHECKING:
    import h11

BodyFraming = Literal["none", "length", "chunked", "close"]

USER_AGENT = f"llm-latency-lens/{__version__}".encode()

# How many rendered heads are kept; one for each body length and target in use.
MAX_RENDERED = 4096

_EVENT_FRAMINGS: dict[str, EventFraming] = {
    "text/event-stream": "sse",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/vnd.amazon.eventstream": "aws",
}
_DECODINGS = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
# Codings that cannot be undone here. Other names ("none", "utf-8") are no codings: the body is what it is.
_UNREADABLE_CODINGS = frozenset(
    {"br", "zstd", "compress", "x-compress", "dcb", "dcz", "exi", "pack200-gzip", "aes128gcm"}
)
_SSE_STARTS = (b"data:", b"event:", b"id:", b"retry:", b":")
_FRAMING_WORDS = {
    "sse": "server-sent events",
    "ndjson": "JSON lines",
    "json_array": "a JSON array",
    "document": "JSON",
    "aws": "an AWS event stream",
}
# RFC 9112, section 6.3: the length is not to be used, and the connection not again.
BOTH_FRAMINGS = "the answer has both Transfer-Encoding and Content-Length: it was read as chunked"
# RFC 9110, section 15.5.9: the server ends a connection on which it has waited for too long.
REQUEST_TIMEOUT = 408
_SET_HERE = (b"content-length", b"transfer-encoding", b"connection")
# RFC 9110, section 5.6.2: the characters of a method and of a header's name.
_TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_VISIBLE = bytes(range(0x21, 0x7F))


class ResponseHead(msgspec.Struct, frozen=True, kw_only=True):
    """What the final response head says of the response."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]  # names in lower case
    body: BodyFraming
    length: int  # of the body where framing is "length"; else 0
    events: EventFraming
    coding: str  # Content-Encoding as the peer wrote it; "" when none
    encoding: str  # the same for the core: "", "gzip" or "deflate"
    keep_alive: bool  # the connection may serve another request
    media: str  # Content-Type without its parameters; "" when none
    certain: bool  # `events` is what was asked for; else the first bytes of the body decide
    warnings: tuple[str, ...]  # what is against the rules and does no harm


class HeadWriter:
    """Renders request heads, each distinct one once."""

    def __init__(self) -> None:
        self._rendered: dict[tuple[object, ...], bytes] = {}

    def render(self, request: WireRequest, authority: str, relay: Proxy | None = None) -> bytes:
        """Return the head of this request, signed anew if the request asks for it; for a relay, with the whole address.

        Raises:
            ConfigError: a header or the path has a character that HTTP forbids; its value is not shown.
        """
        headers = request.headers
        if request.sign is not None:
            return _render_head(request, override_headers(headers, request.sign(request)), authority, relay)
        key = (request.method, request.path, headers, len(request.body), authority, relay)
        head = self._rendered.get(key)
        if head is None:
            if len(self._rendered) >= MAX_RENDERED:
                self._rendered.clear()
            head = self._rendered[key] = _render_head(request, headers, authority, relay)
        return head


def override_headers(
    headers: tuple[tuple[bytes, bytes], ...], newer: tuple[tuple[bytes, bytes], ...]
) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers, those of `newer` in place of those with the same name."""
    names = {name.lower() for name, _ in newer}
    return (*(h for h in headers if h[0].lower() not in names), *newer)


def _render_head(
    request: WireRequest, headers: tuple[tuple[bytes, bytes], ...], authority: str, relay: Proxy | None
) -> bytes:
    given = {name.lower() for name, _ in headers}
    rows = [] if b"host" in given else [(b"host", authority.encode("ascii"))]
    if b"user-agent" not in given:
        rows.append((b"user-agent", USER_AGENT))
    if b"accept-encoding" not in given:
        rows.append((b"accept-encoding", b"identity"))  # compression batches tokens
    rows += [h for h in headers if h[0].lower() not in _SET_HERE]
    if request.body or request.method not in ("GET", "HEAD"):
        rows.append((b"content-length", str(len(request.body)).encode()))
    if relay is not None and relay.authorization is not None:
        rows.append((b"proxy-authorization", relay.authorization))
    target = request.path if relay is None else f"http://{authority}{request.path}"
    if (plain := _plain_head(request.method, target, rows)) is not None:
        return plain
    import h11

    try:
        head = h11.Connection(h11.CLIENT).send(h11.Request(method=request.method, target=target, headers=rows))
    except h11.LocalProtocolError:
        # h11 shows the value in its message, and the value may be a key.
        raise ConfigError(_describe_invalid_part(request, rows)) from None
    return head or b""


def _plain_head(method: str, target: str, rows: list[tuple[bytes, bytes]]) -> bytes | None:
    """Return the head where each part has only characters that need no second look; else None."""
    hosts = [row for row in rows if row[0].lower() == b"host"]
    if len(hosts) != 1 or not (method.isascii() and target.isascii()):
        return None
    words = (method.encode(), *[name for name, _ in rows])
    if not all(words) or b"".join(words).translate(None, _TOKEN):
        return None
    if not target or target.encode().translate(None, _VISIBLE):
        return None
    for _, value in rows:
        if value != value.strip(b" ") or value.translate(None, _VISIBLE + b" "):
            return None
    others = [row for row in rows if row is not hosts[0]]  # RFC 9112, section 3.2: Host should stand first
    lines = [f"{method} {target} HTTP/1.1".encode(), *[b"%s: %s" % row for row in (*hosts, *others)]]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _describe_invalid_part(request: WireRequest, rows: list[tuple[bytes, bytes]]) -> str:
    import h11

    for name, value in rows:
        try:
            host = [] if name == b"host" else [(b"host", b"x")]
            h11.Request(method=b"GET", target=b"/", headers=[*host, (name, value)])
        except h11.LocalProtocolError:
            shown = name.decode("ascii", "backslashreplace")
            return f"header {shown!r}: its name or value has a character that no header may have (a line break?)"
    return f"request {request.method} {request.path!r}: method or path has a character that no URL may have"


# A head longer than this is refused by the core already.
_MAX_HEAD_BYTES = 1 << 20


@cache
def load_parser() -> h11.Request:
    """Load what reads heads that the core does not; return a request to read them after.

    h11 reads a response only after a request; which one makes no difference to the head.
    """
    import h11

    return h11.Request(method=b"POST", target=b"/", headers=[(b"host", b"x"), (b"content-length", b"0")])


def parse_head(data: bytes) -> h11.Response | h11.InformationalResponse:
    """Parse one whole head, blank line included.

    Raises:
        ProtocolError: the bytes are not the head of an HTTP/1.x response.
    """
    import h11

    protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
    protocol.send(load_parser())
    protocol.receive_data(data)
    try:
        event = protocol.next_event()
    except h11.RemoteProtocolError as error:
        if data.split(b" ", 2)[1:2] == [b"101"]:
            raise ProtocolError("HTTP 101: the server switched protocols, which was not asked for") from None
        # What stands behind the colon is the answer's own bytes, a cookie perhaps.
        raise ProtocolError(f"the answer is not HTTP/1.1: {str(error).partition(':')[0]}") from None
    if isinstance(event, h11.Response | h11.InformationalResponse):
        return event
    raise ProtocolError("the answer is not HTTP/1.1: its head has no status line")


def interpret_head(response: h11.Response, request: WireRequest) -> ResponseHead:
    """Return what the head says: how the body is framed, and whether the connection may be reused.

    Raises:
        ProtocolError: the framing contradicts itself, or the content coding cannot be undone.
    """
    headers = tuple([(n.decode("latin-1"), v.decode("latin-1")) for n, v in response.headers])
    status = response.status_code
    warnings: list[str] = []
    body, length = _body_framing(headers, status, request.method, warnings)
    coding = _content_coding(headers, warnings)
    media = _media_type(headers)
    events = _event_framing(media, status, request)
    return ResponseHead(
        status=status,
        reason=response.reason.decode("latin-1"),
        headers=headers,
        body=body,
        length=length,
        events=events,
        coding=coding,
        encoding=_DECODINGS.get(coding, ""),
        keep_alive=_allows_reuse(headers, response.http_version)
        and body != "close"
        and status != REQUEST_TIMEOUT
        and BOTH_FRAMINGS not in warnings,
        media=media,
        certain=bool(coding) or not _is_success(status) or (bool(media) and events == request.framing),
        warnings=tuple(warnings),
    )


def describe_usual_head(
    usual: tuple[str, Literal["length", "chunked"], int, EventFraming, tuple[tuple[str, str], ...]],
) -> ResponseHead:
    """Return the ResponseHead of a head that the core has settled; see exchange.read_usual_head."""
    reason, body, length, events, headers = usual
    return ResponseHead(
        status=200,
        reason=reason,
        headers=headers,
        body=body,
        length=length,
        events=events,
        coding="",
        encoding="",
        keep_alive=True,
        media=_media_type(headers),
        certain=True,
        warnings=(),
    )


def decide_by_bytes(head: ResponseHead, held: bytes, request: WireRequest) -> ResponseHead:
    """Return the head with the event framing that the body's first bytes show, where its type does not say it."""
    start = held.partition(b"\n")[2] if head.body == "chunked" else held
    events = sniff_framing(start, head.events, request.framing)
    if events == head.events or not head.media:
        return msgspec.structs.replace(head, events=events)
    warning = f"the answer is labelled {head.media[:40]}, but is {_FRAMING_WORDS[events]}: it was read as that"
    return msgspec.structs.replace(head, events=events, warnings=(*head.warnings, warning))


def sniff_framing(start: bytes, declared: EventFraming, expected: EventFraming) -> EventFraming:
    """Return the event framing that the first bytes of a body show; `declared` where they show none."""
    start = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(_SSE_STARTS):
        return "sse"
    if start.startswith(b"["):
        return "json_array" if expected == "json_array" else "document"
    if start.startswith(b"{"):
        line = start.partition(b"\n")[0].strip()
        is_line = line != b"{" and ("ndjson" in (declared, expected) or (b'"delta"' in line and expected == "sse"))
        return "ndjson" if is_line else "document"  # one object over many lines, or a whole answer
    return "aws" if expected == "aws" and start.startswith(b"\0") else declared


def _media_type(headers: tuple[tuple[str, str], ...]) -> str:
    for name, value in headers:
        if name == "content-type":
            return _media_of(value)
    return ""


@lru_cache(maxsize=64)
def _media_of(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _content_coding(headers: tuple[tuple[str, str], ...], warnings: list[str]) -> str:
    """Return the one coding of the body, "" where there is none; a name that is no coding adds a warning."""
    named = [part.strip().lower() for n, v in headers if n == "content-encoding" for part in v.split(",")]
    codings = [name for name in named if name not in ("", "identity")]
    if any(name in _UNREADABLE_CODINGS for name in codings) or sum(name in _DECODINGS for name in codings) > 1:
        raise ProtocolError(f"the body has Content-Encoding {', '.join(named)[:40]!r}, where identity was asked for")
    known = next((name for name in codings if name in _DECODINGS), "")
    if codings and not known:
        warnings.append(f"Content-Encoding {', '.join(codings)[:40]!r} is no coding: the body was read as it is")
    return known


def _body_framing(
    headers: tuple[tuple[str, str], ...], status: int, method: str, warnings: list[str]
) -> tuple[BodyFraming, int]:
    """Return framing and length of the body, by RFC 9112, section 6.3, in its order."""
    if method == "HEAD" or status in (204, 304):
        return "none", 0
    transfer = [v.strip().lower() for n, v in headers if n == "transfer-encoding" and v.strip().lower() != "identity"]
    lengths = {p.strip() for n, v in headers if n == "content-length" for p in v.split(",")}
    if transfer and lengths:
        warnings.append(BOTH_FRAMINGS)
    if transfer:
        if transfer != ["chunked"]:
            raise ProtocolError(
                f"the answer has Transfer-Encoding {', '.join(transfer)[:40]!r}, which was not requested"
            )
        return "chunked", 0
    if not lengths:
        return "close", 0
    text = lengths.pop()
    if lengths or not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ProtocolError("the answer's Content-Length is not one number")
    return "length", int(text)


def _is_success(status: int) -> bool:
    return 200 <= status < 300


def _event_framing(media: str, status: int, request: WireRequest) -> EventFraming:
    """Return how events are framed: an error is one document, a body without a type is what was asked for."""
    if not _is_success(status):
        return "document"
    if not media:
        return request.framing
    if media == "application/json" and request.framing == "json_array":
        return "json_array"
    return _EVENT_FRAMINGS.get(media, "document")


def _allows_reuse(headers: tuple[tuple[str, str], ...], version: bytes) -> bool:
    tokens = {t.strip().lower() for n, v in headers if n == "connection" for t in v.split(",")}
    if "close" in tokens:
        return False
    return version >= b"1.1" or "keep-alive" in tokens
