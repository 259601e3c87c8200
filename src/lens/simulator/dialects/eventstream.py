"""AWS event stream frames (vnd.amazon.eventstream): lengths, headers, payload and two CRC-32s (WIRE 9)."""

from __future__ import annotations

import struct
import zlib

STRING = 7  # the header value type of all that Bedrock sends


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """One frame."""
    block = b"".join(
        struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", STRING, len(value.encode())) + value.encode()
        for name, value in headers.items()
    )
    total = 12 + len(block) + len(payload) + 4
    prelude = struct.pack(">II", total, len(block))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + block + payload
    return body + struct.pack(">I", zlib.crc32(body))


def event(name: str, payload: bytes) -> bytes:
    """A frame of message type event."""
    return frame({":event-type": name, ":content-type": "application/json", ":message-type": "event"}, payload)


def exception(name: str, payload: bytes) -> bytes:
    """A frame of message type exception."""
    return frame({":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}, payload)
