"""HTTP/1.1 as a server needs it: requests cut out of bytes, heads and chunks made of bytes.

No sockets and no clock. Written for this simulator alone, so that it is a witness of its
own to the client's reading of RFC 9112.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import unquote

import msgspec

from lens.simulator.script import parse_count

MAX_HEAD_BYTES = 64 * 1024
_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,16}")
MAX_BODY_BYTES = 256 * 1024 * 1024

REASONS = {
    200: "OK", 400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 407: "Proxy Authentication Required", 408: "Request Timeout", 409: "Conflict",
    413: "Content Too Large", 422: "Unprocessable Content", 424: "Failed Dependency", 429: "Too Many Requests",
    500: "Internal Server Error", 502: "Bad Gateway",
    503: "Service Unavailable", 504: "Gateway Timeout", 529: "",
}  # fmt: skip


class BadRequest(Exception):
    """The bytes are not a request of HTTP/1.1 as this server reads it."""


class Request(msgspec.Struct, frozen=True):
    """One request, complete. Header names in lower case; of repeated headers the last."""

    method: str
    target: str  # as it came, with the query
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The target without its query, percent-decoded."""
        target = self.target.partition("?")[0]
        if target.lower().startswith("http://"):  # absolute-form, as behind a proxy (RFC 9112, section 3.2.2)
            target = "/" + target[len("http://") :].partition("/")[2]
        return unquote(target)

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters; of repeated ones the last."""
        pairs = (part.partition("=") for part in self.target.partition("?")[2].split("&") if part)
        return {unquote(name): unquote(value) for name, _, value in pairs}


class RequestReader:
    """Cuts requests out of received bytes, however these are cut."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.wants_continue = False  # the client waits for 100 Continue before it sends its body
        self._head: tuple[str, str, dict[str, str]] | None = None

    def next_request(self) -> Request | None:
        """Return the next complete request, or None while bytes of it are missing.

        Raises:
            BadRequest: the bytes cannot become a request.
        """
        if self._head is None:
            self._head = self._read_head()
            if self._head is None:
                return None
        method, target, headers = self._head
        body = self._read_chunks() if "chunked" in headers.get("transfer-encoding", "") else self._read_length(headers)
        if body is None:
            self.wants_continue = headers.get("expect", "").lower() == "100-continue" and not self.data
            return None
        self._head, self.wants_continue = None, False
        return Request(method, target, headers, body)

    def _read_head(self) -> tuple[str, str, dict[str, str]] | None:
        while self.data[:2] == b"\r\n":  # RFC 9112, 2.2: empty lines before a request are to be ignored
            del self.data[:2]
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            if len(self.data) > MAX_HEAD_BYTES:
                raise BadRequest("the head is too long")
            return None
        lines = self.data[:end].decode("latin-1").split("\r\n")
        del self.data[: end + 4]
        words = lines[0].split(" ")
        if len(words) != 3 or words[2] not in ("HTTP/1.1", "HTTP/1.0"):
            raise BadRequest("the first line is not a request of HTTP/1.1")
        headers = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip():
                raise BadRequest("a header line has no name")
            headers[name.lower()] = value.strip()
        return words[0], words[1], headers

    def _read_length(self, headers: dict[str, str]) -> bytes | None:
        text = headers.get("content-length", "0")
        length = parse_count(text)
        if length is None or length > MAX_BODY_BYTES:
            raise BadRequest("the content length is not usable")
        if len(self.data) < length:
            return None
        body = bytes(self.data[:length])
        del self.data[:length]
        return body

    def _read_chunks(self) -> bytes | None:
        """Return the whole chunked body, read again from its start until it is complete."""
        body, at = bytearray(), 0
        while True:
            line_end = self.data.find(b"\r\n", at)
            if line_end < 0:
                return None
            digits = self.data[at:line_end].split(b";")[0].strip()
            if not _CHUNK_SIZE.fullmatch(digits):  # int() takes signs and underscores, too
                raise BadRequest("a chunk size is not hexadecimal")
            size = int(digits, 16)
            if len(body) + size > MAX_BODY_BYTES:
                raise BadRequest("the body is too long")
            at = line_end + 2
            if size == 0:
                break
            if len(self.data) < at + size + 2:
                return None
            body += self.data[at : at + size]
            at += size + 2
        end = self.data.find(b"\r\n", at) if self.data[at : at + 2] == b"\r\n" else self.data.find(b"\r\n\r\n", at)
        if end < 0:
            return None
        del self.data[: end + (2 if end == at else 4)]
        return bytes(body)


@lru_cache(maxsize=2)
def format_date(epoch_s: int) -> str:
    """Return the date header's value (RFC 9110, 5.6.7); made once a second."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(epoch_s))


def encode_head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """Return a response head, the empty line included."""
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}", f"Date: {format_date(int(time.time()))}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def encode_chunk(data: bytes) -> bytes:
    """Return one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
