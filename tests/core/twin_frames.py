"""The decoder's plain twin: whole bytes in, events out, each with the place of the byte that completed it.

Nothing is resumable here, so nothing can be resumed wrongly. `Cut` runs the core over the same bytes in pieces,
each feed with stamps of its own, and `expected` says what must come out of it.
"""

import bisect
import itertools
import json
import struct
import zlib
from dataclasses import dataclass, field

import twin_signals

from lens._core.frames import Decoder
from lens._core.signals import SignalSet
from lens._core.tape import Tape

CONTENT, KEPT = 31, 32 | 64 | 128 | 256 | 512


# HTTP body framing: (payload, place of each payload byte, place of the byte that ended the body or None).


def chunked(data: bytes, *, trailers: list[bytes] | None = None):
    payload, places, at = b"", [], 0
    while True:
        stop = data.index(b"\n", at)
        size = int(data[at:stop].split(b";")[0].strip(), 16)
        at = stop + 1
        if size == 0:
            break
        payload += data[at : at + size]
        places += range(at, at + size)
        at += size
        at = data.index(b"\n", at) + 1
    while True:
        stop = data.index(b"\n", at)
        line, at = data[at : stop + 1], stop + 1
        if line in (b"\n", b"\r\n"):
            return payload, places, stop
        if trailers is not None:
            trailers.append(line)


# Event framings: [(name, data, place in the payload of the byte that completed it)].


@dataclass
class Sse:
    events: list = field(default_factory=list)
    comments: int = 0
    error_field: bytes = b""


def sse(payload: bytes) -> Sse:
    out, at = Sse(), 3 if payload.startswith(b"\xef\xbb\xbf") else 0
    data, name, where = [], b"", 0
    start = at

    def take(line, end):
        nonlocal name, where
        key, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if key == b"data":
            data.append(value)
            where = end
        elif key == b"event":
            name = value
        elif key == b"error" and not out.error_field:
            out.error_field = value
        elif line.startswith(b"{") and not out.error_field:
            out.error_field = line

    while at < len(payload):
        byte = payload[at : at + 1]
        if byte not in (b"\r", b"\n"):
            at += 1
            continue
        line, end = payload[start:at], at
        at += 2 if payload[at : at + 2] == b"\r\n" else 1
        start = at
        if not line:
            if data:
                out.events.append((name, b"\n".join(data), where))
            data, name = [], b""
        elif line.startswith(b":"):
            out.comments += 1
        else:
            take(line, end)
    # What lacks its end is no event, but its error is one.
    if payload[start:] and not payload[start:].startswith(b":"):
        take(payload[start:], at)
    pending = b"\n".join(data)
    if data and not out.error_field and (name == b"error" or _is_error(pending)):
        out.error_field = pending
    return out


def _is_error(data: bytes) -> bool:
    try:
        return bool(twin_signals.scan(twin_signals.CHAT, b"", data)[0] & twin_signals.ERROR)
    except twin_signals.DuplicateKey:
        return False


def ndjson(payload: bytes):
    events, at = [], 0
    for line in payload.split(b"\n"):
        end = min(at + len(line), len(payload) - 1)
        at += len(line) + 1
        if line.strip(b" \t\r"):
            data = line.removesuffix(b"\r") if at <= len(payload) else line
            events.append((b"", data, end))
    return events


def json_array(payload: bytes):
    """A valid JSON array, by the standard library's own idea of where an element ends."""
    text = payload.decode("latin-1")
    events, at = [], text.index("[") + 1
    while True:
        while text[at] in " \t\r\n,":
            at += 1
        if text[at] == "]":
            return events
        start = at
        _, at = json.JSONDecoder().raw_decode(text, at)
        if text[start] in "[{":
            events.append((b"", payload[start:at], at - 1))
            continue
        while text[at] not in ",]":
            at += 1
        events.append((b"", payload[start:at], at))


def aws_frame(headers: dict[str, str], payload: bytes, extra: bytes = b"") -> bytes:
    """One frame; `extra` are further header bytes."""
    head = extra
    for name, value in headers.items():
        head += bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value.encode())) + value.encode()
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + payload
    return message + struct.pack(">I", zlib.crc32(message))


def aws_event(kind: str, payload: bytes) -> bytes:
    return aws_frame({":event-type": kind, ":content-type": "application/json", ":message-type": "event"}, payload)


# The core, run over pieces, and what it should have said.


def arrived(feed: int) -> int:
    return 1_000_000 + 20_000_000 * feed + feed * feed


def seen(feed: int) -> int:
    return arrived(feed) + 128 * (feed % 5)  # lags are kept to 128 ns


@dataclass
class Cut:
    """The core's answer for one way of cutting."""

    columns: list
    frames: list
    decoder: Decoder
    taken: list


def run(data: bytes, cuts, body: str, length: int, events: str, rules=None, done=b"", *, close=False, **options) -> Cut:
    tape = Tape()
    decoder = Decoder(tape, **{"keep_all": True, **options})
    decoder.begin(body, length, events, None if rules is None else SignalSet(rules, done))
    places = [0, *sorted(cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(places)]
    taken = [decoder.feed(piece, arrived(k), seen(k)) for k, piece in enumerate(p for p in pieces if p)]
    if close:
        decoder.finish(arrived(len(taken)))
    return Cut([column.tolist() for column in tape.columns(0)], tape.frames(), decoder, taken)


def feed_of(place: int, cuts) -> int:
    """Which feed brings this byte, feeds without bytes not counted."""
    return bisect.bisect_right(sorted({c for c in cuts if c}), place)


def expected(events, places, cuts, rules=(), done=b""):
    """Columns for these events; `places` leads from payload to raw bytes."""
    feeds = [feed_of(places[place], cuts) for _, _, place in events]
    found = [twin_signals.scan(rules, done, data) for _, data, _ in events]
    return [
        [arrived(k) for k in feeds],
        [seen(k) - arrived(k) for k in feeds],
        [bits for bits, _ in found],
        [chars for _, chars in found],
        feeds,
    ]
