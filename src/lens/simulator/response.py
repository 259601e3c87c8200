"""From a completion to a response: which bytes leave in which write, and when each write is due.

Pure: the bytes of a response depend on script and params only, its times also on the number of the request (jitter).
The server sends responses and knows nothing of what is in them.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

import msgspec

from lens.simulator.http import LAST_CHUNK, encode_chunk
from lens.simulator.protocols.base import ErrorStatus, WireProtocol
from lens.simulator.protocols.completion import CLOSING, OPENING, Completion, Delta, Event, Params, make_completion
from lens.simulator.script import Script
from lens.simulator.words import hash_bits, hash_fraction

End = Literal["complete", "reset", "truncated"]

FLOOD_WRITE_BYTES = 64 * 1024
MAX_COMMENTS = 10_000
HTML = b"<!doctype html><html><body><h1>Sign in</h1><p>This network asks you to sign in first.</p></body></html>\n"


class Write(msgspec.Struct, frozen=True):
    """Bytes that leave together, and the events that they complete: (kind, wire index, tokens)."""

    at: int  # OPENING, the index of a delta, or the number of deltas for the closing events
    data: bytes
    events: tuple[tuple[str, int | None, int], ...]
    lead_ns: int = 0  # it leaves so long before its delta


class Response(msgspec.Struct, frozen=True, eq=False):
    """A whole response but for its head's changing headers."""

    status: int
    headers: tuple[tuple[str, str], ...]
    writes: tuple[Write, ...]
    end: End = "complete"
    close: bool = False
    head_ns: int | None = 0  # None: the head leaves with the first write
    deltas: tuple[Delta, ...] = ()
    unpaced: bool = False  # no pacing: an error, or a page
    cached_tokens: int = 0  # of the prompt
    prefill_ns: int = 0  # before head and writes, once it is this request's turn


def delta_times(script: Script, deltas: tuple[Delta, ...], request_no: int) -> list[int]:
    """Return when each delta is due, in ns after the request, and at last when the closing events are."""
    times: list[int] = []
    at, sent = script.ttft_ns, 0
    stalls = sorted(script.stalls)
    for delta in deltas:
        if delta.index and not script.flood:
            at += script.itl_ns * delta.tokens
            if script.jitter_ns:
                drawn = (hash_fraction(script.seed, request_no, delta.index) * 2 - 1) * script.jitter_ns
                at = max(times[-1], at + round(drawn))
        while stalls and stalls[0][0] <= sent:
            at += stalls.pop(0)[1]
        times.append(at)
        sent += delta.tokens
    return [*times, at + sum(wait for after, wait in stalls if after <= sent) + script.tail_ns]


def due_times(script: Script, response: Response, request_no: int) -> tuple[int, ...]:
    """Return when each write is due, in ns after the request."""
    if response.unpaced:
        return (script.head_ns or 0,) * len(response.writes)
    places = tuple((max(w.at, 0), w.lead_ns) for w in response.writes)
    if not script.jitter_ns:
        return _steady_times(script, response.deltas, places)
    return _write_times(delta_times(script, response.deltas, request_no), places)


@lru_cache(maxsize=256)
def _steady_times(script: Script, deltas: tuple[Delta, ...], places: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    return _write_times(delta_times(script, deltas, 0), places)


def _write_times(times: list[int], places: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    return tuple(max(0, times[at] - lead) for at, lead in places)


@lru_cache(maxsize=256)
def make_stream_response(script: Script, protocol: WireProtocol, params: Params) -> Response:
    """Return the response to a request that asks for a stream."""
    completion = make_completion(script, params)
    writes = _group_events(script, completion, protocol)
    if script.flood:
        writes = _merge_for_flood(writes)
    elif script.coalesce > 1:
        writes = _coalesce(writes, script.coalesce)
    writes = _add_comments(script, protocol, writes)
    encoded = _encode(script, writes)
    length = sum(len(w.data) for w in encoded)
    end: End = "complete"
    mark = script.reset_at if script.reset_at is not None else script.truncate_at
    if mark is not None:
        end = "reset" if script.reset_at is not None else "truncated"
        # The end comes when the next event would have come, so that what was sent can be read.
        kept = _deltas_up_to(completion, mark)
        encoded = [*(w for w in encoded if w.at < kept), Write(kept, b"", ())]
    return Response(
        status=200,
        headers=_headers(script, protocol.media_type, length),
        writes=tuple(encoded),
        end=end,
        close=script.close or script.framing == "close",
        head_ns=script.head_ns,
        deltas=completion.deltas,
        cached_tokens=completion.cached_tokens,
        prefill_ns=completion.prefill_ns,
    )


@lru_cache(maxsize=256)
def make_document_response(script: Script, protocol: WireProtocol, params: Params) -> Response:
    """Return the response in one piece, sent when its last token would have come."""
    completion = Completion(script, params, ()) if protocol.document_only else make_completion(script, params)
    body = protocol.document(completion)
    if script.gzip:
        body = gzip.compress(body, mtime=0)
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    if script.gzip:
        headers.insert(1, ("Content-Encoding", "gzip"))
    end: End = "complete"
    if script.reset_at is not None or script.truncate_at is not None:
        end, body = ("reset" if script.reset_at is not None else "truncated"), body[: len(body) // 2]
    write = Write(len(completion.deltas), body, (("document", 0, completion.output_tokens),))
    return Response(
        status=200,
        headers=tuple(headers),
        writes=(write,),
        end=end,
        close=script.close,
        head_ns=None,
        deltas=completion.deltas,
        unpaced=protocol.name == "openai_models",
        cached_tokens=completion.cached_tokens,
        prefill_ns=0 if protocol.document_only else completion.prefill_ns,
    )


def make_error_response(
    script: Script, protocol: WireProtocol, params: Params, error: ErrorStatus, request_id: str
) -> Response:
    """Return an error from the first byte; status 0 stands for a reset without any byte."""
    if error.status == 0:
        return Response(0, (), (), "reset", True, script.head_ns or 0, unpaced=True)
    body, head_ns = protocol.error_document(error, params, request_id), script.head_ns or 0
    response = make_plain_response(error.status, body, "error", close=script.close, head_ns=head_ns)
    return msgspec.structs.replace(response, headers=(*response.headers, *protocol.error_headers(error)))


def make_page_response(script: Script) -> Response:
    """Return a web page where an answer was wanted, as a portal or a firewall does."""
    return make_plain_response(200, HTML, "page", media_type="text/html; charset=utf-8", close=script.close)


def make_plain_response(
    status: int,
    body: bytes,
    kind: str,
    *,
    media_type: str = "application/json",
    close: bool = False,
    head_ns: int = 0,
) -> Response:
    """Return a response that sends this body in one write without pacing."""
    headers = (("Content-Type", media_type), ("Content-Length", str(len(body))))
    write = Write(OPENING, body, ((kind, None, 0),))
    return Response(status, headers, (write,), close=close, head_ns=head_ns, unpaced=True)


def _deltas_up_to(completion: Completion, tokens: int) -> int:
    """Return how many deltas bring the first `tokens` tokens."""
    sent = 0
    for delta in completion.deltas:
        if sent >= tokens:
            return delta.index
        sent += delta.tokens
    return len(completion.deltas)


def _events_with_faults(script: Script, completion: Completion, protocol: WireProtocol) -> Iterator[Event]:
    """Yield the protocol's events with the script's faults among them; CLOSING becomes the number of deltas."""
    n = len(completion.deltas)
    broken_at = _deltas_up_to(completion, script.malformed_at) if script.malformed_at is not None else None
    failed_at = _deltas_up_to(completion, script.error_at) if script.error_at is not None else None
    for event in protocol.events(completion):
        at = n if event.at == CLOSING else event.at
        if broken_at is not None and at >= broken_at:
            yield Event(broken_at, "malformed", protocol.malformed_event())
            broken_at = None
        if failed_at is not None and at >= failed_at:
            yield Event(failed_at, "error", protocol.error_event(completion))
            return
        yield Event(at, event.kind, event.data, event.tokens, event.counted)


def _group_events(script: Script, completion: Completion, protocol: WireProtocol) -> list[Write]:
    """Return one write for each delta, for what opens and for what closes; events are numbered here."""
    data: dict[int, list[bytes]] = {}
    notes: dict[int, list[tuple[str, int | None, int]]] = {}
    index = 0
    for event in _events_with_faults(script, completion, protocol):
        raw = event.data.replace(b"\n", b"\r\n") if protocol.crlf or (script.crlf and protocol.comment) else event.data
        data.setdefault(event.at, []).append(raw)
        notes.setdefault(event.at, []).append((event.kind, index if event.counted else None, event.tokens))
        index += event.counted
    lead = {OPENING: script.role_lead_ns}
    return [Write(at, b"".join(data[at]), tuple(notes[at]), lead.get(at, 0)) for at in data]


def _coalesce(writes: list[Write], size: int) -> list[Write]:
    """Hold events back until `size` of them, or the end, are there."""
    merged: list[Write] = []
    held: list[Write] = []
    for write in writes:
        held.append(write)
        if sum(len(w.events) for w in held) >= size or write is writes[-1]:
            events = tuple(event for w in held for event in w.events)
            merged.append(Write(write.at, b"".join(w.data for w in held), events, write.lead_ns))
            held = []
    return merged


def _merge_for_flood(writes: list[Write]) -> list[Write]:
    """Merge into large writes; each is logged as one event with its number of tokens."""
    merged, data, tokens, first = [], bytearray(), 0, True
    for write in writes:
        data += write.data
        tokens += sum(event[2] for event in write.events)
        if first or len(data) >= FLOOD_WRITE_BYTES or write is writes[-1]:
            merged.append(Write(write.at, bytes(data), (("flood", None, tokens),), write.lead_ns))
            data, tokens, first = bytearray(), 0, False
    return merged


def _add_comments(script: Script, protocol: WireProtocol, writes: list[Write]) -> list[Write]:
    if not (script.comment_ns and protocol.comment and writes):
        return writes
    count = min(MAX_COMMENTS, (script.ttft_ns - 1) // script.comment_ns)
    leads = (script.ttft_ns - (k + 1) * script.comment_ns for k in range(count))
    comments = [Write(OPENING, protocol.comment, (("comment", None, 0),), lead) for lead in leads]
    early = [w for w in writes if w.at == OPENING]
    return sorted(comments + early, key=lambda w: -w.lead_ns) + [w for w in writes if w.at != OPENING]


def _encode(script: Script, writes: list[Write]) -> list[Write]:
    """Apply content coding and body framing; what ends the body joins the last write."""
    squeeze = zlib.compressobj(6, zlib.DEFLATED, 31) if script.gzip else None
    out = []
    for k, write in enumerate(writes):
        data, last = write.data, k == len(writes) - 1
        if squeeze:
            data = squeeze.compress(data) + squeeze.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
        if script.framing == "chunked":
            data = b"".join(map(encode_chunk, _cut(data, script, k))) + (LAST_CHUNK if last else b"")
        out.append(Write(write.at, data, write.events, write.lead_ns))
    return out


def _cut(data: bytes, script: Script, write_no: int) -> Iterator[bytes]:
    if not script.cut:
        if data:
            yield data
        return
    at = 0
    while at < len(data):
        size = 1 + hash_bits(script.seed, write_no, at) % script.cut
        yield data[at : at + size]
        at += size


def _headers(script: Script, media_type: str, length: int) -> tuple[tuple[str, str], ...]:
    headers = [("Content-Type", media_type), ("Cache-Control", "no-cache")]
    if script.gzip:
        headers.append(("Content-Encoding", "gzip"))
    if script.framing == "chunked":
        headers.append(("Transfer-Encoding", "chunked"))
    elif script.framing == "length":
        headers.append(("Content-Length", str(length)))
    return tuple(headers)
