"""From a job to an answer: which bytes leave in which write, and when each write is due.

Pure: the bytes of an answer depend on script and turn only, its times also on the number of
the request (jitter). The server plays answers and knows nothing of what is in them.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

import msgspec

from lens.simulator.dialects.base import Dialect, Failure
from lens.simulator.http import LAST_CHUNK, chunk
from lens.simulator.job import CLOSING, OPENING, Event, Job, Slot, Turn, make_job
from lens.simulator.script import Script
from lens.simulator.words import mixed, share

End = Literal["complete", "reset", "truncated"]

FLOOD_WRITE_BYTES = 64 * 1024
MAX_COMMENTS = 10_000
HTML = b"<!doctype html><html><body><h1>Sign in</h1><p>This network asks you to sign in first.</p></body></html>\n"


class Write(msgspec.Struct, frozen=True):
    """Bytes that leave together, and the events that they complete: (kind, wire index, tokens)."""

    slot: int  # OPENING, a content slot's index, or their number for the closing events
    data: bytes
    events: tuple[tuple[str, int | None, int], ...]
    lead_ns: int = 0  # leaves so long before its slot


class Answer(msgspec.Struct, frozen=True, eq=False):
    """A whole response but for its head's changing headers."""

    status: int
    headers: tuple[tuple[str, str], ...]
    writes: tuple[Write, ...]
    end: End = "complete"
    close: bool = False
    head_ns: int | None = 0  # None: the head leaves with the first write
    slots: tuple[Slot, ...] = ()
    at_once: bool = False  # no pacing: an error, or a page
    prefill_ns: int = 0  # before head and writes, once the answer's turn has come


def slot_times(script: Script, slots: tuple[Slot, ...], request_no: int) -> list[int]:
    """When each slot is due, in ns after the request, and at last when the closing events are."""
    times: list[int] = []
    at, said = script.ttft_ns, 0
    stalls = sorted(script.stalls)
    for slot in slots:
        if slot.index and not script.flood:
            at += script.itl_ns * slot.tokens
            if script.jitter_ns:
                drawn = (share(script.seed, request_no, slot.index) * 2 - 1) * script.jitter_ns
                at = max(times[-1], at + round(drawn))
        while stalls and stalls[0][0] <= said:
            at += stalls.pop(0)[1]
        times.append(at)
        said += slot.tokens
    return [*times, at + sum(wait for after, wait in stalls if after <= said) + script.tail_ns]


def due_times(script: Script, answer: Answer, request_no: int) -> tuple[int, ...]:
    """When each write is due, in ns after the request."""
    if answer.at_once:
        return (script.head_ns or 0,) * len(answer.writes)
    if not script.jitter_ns:
        return _steady_times(script, answer.slots, tuple((w.slot, w.lead_ns) for w in answer.writes))
    return _times(slot_times(script, answer.slots, request_no), answer.writes)


@lru_cache(maxsize=256)
def _steady_times(script: Script, slots: tuple[Slot, ...], places: tuple[tuple[int, int], ...]) -> tuple[int, ...]:
    times = slot_times(script, slots, 0)
    return tuple(max(0, times[max(slot, 0)] - lead) for slot, lead in places)


def _times(times: list[int], writes: tuple[Write, ...]) -> tuple[int, ...]:
    return tuple(max(0, times[max(w.slot, 0)] - w.lead_ns) for w in writes)


@lru_cache(maxsize=256)
def stream_answer(script: Script, dialect: Dialect, turn: Turn) -> Answer:
    """The answer to a request that asked for a stream."""
    job = make_job(script, turn)
    writes = _grouped(script, job, dialect)
    if script.flood:
        writes = _flooded(writes)
    elif script.coalesce > 1:
        writes = _coalesced(writes, script.coalesce)
    writes = _with_comments(script, dialect, writes)
    encoded = _encoded(script, writes)
    length = sum(len(w.data) for w in encoded)
    end: End = "complete"
    mark = script.reset_at if script.reset_at is not None else script.truncate_at
    if mark is not None:
        end = "reset" if script.reset_at is not None else "truncated"
        # The end comes when the next event would have come, so that what was sent can be read.
        kept = _slots_up_to(job, mark)
        encoded = [*(w for w in encoded if w.slot < kept), Write(kept, b"", ())]
    return Answer(
        status=200,
        headers=_headers(script, dialect.media_type, length),
        writes=tuple(encoded),
        end=end,
        close=script.close or script.framing == "close",
        head_ns=script.head_ns,
        slots=job.slots,
        prefill_ns=_prefill_ns(job),
    )


@lru_cache(maxsize=256)
def document_answer(script: Script, dialect: Dialect, turn: Turn) -> Answer:
    """The answer in one piece, when its last token would have come."""
    job = Job(script, turn, ()) if dialect.document_only else make_job(script, turn)
    body = dialect.document(job)
    if script.gzip:
        body = gzip.compress(body, mtime=0)
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    if script.gzip:
        headers.insert(1, ("Content-Encoding", "gzip"))
    end: End = "complete"
    if script.reset_at is not None or script.truncate_at is not None:
        end, body = ("reset" if script.reset_at is not None else "truncated"), body[: len(body) // 2]
    write = Write(len(job.slots), body, (("document", 0, job.output_tokens),))
    return Answer(
        status=200,
        headers=tuple(headers),
        writes=(write,),
        end=end,
        close=script.close,
        head_ns=None,
        slots=job.slots,
        at_once=dialect.name == "openai_models",
        prefill_ns=0 if dialect.document_only else _prefill_ns(job),
    )


def _prefill_ns(job: Job) -> int:
    return job.script.prefill_ns * (job.prompt_tokens - job.cached_tokens)


def failure_answer(script: Script, dialect: Dialect, turn: Turn, failure: Failure, request_id: str) -> Answer:
    """An error from the first byte; status 0 stands for a reset without any byte."""
    if failure.status == 0:
        return Answer(0, (), (), "reset", True, script.head_ns or 0, at_once=True)
    body, more = dialect.failure(failure, turn, request_id)
    headers = (("Content-Type", "application/json"), ("Content-Length", str(len(body))), *more)
    write = Write(OPENING, body, (("error", None, 0),))
    return Answer(failure.status, headers, (write,), "complete", script.close, script.head_ns or 0, at_once=True)


def page_answer(script: Script) -> Answer:
    """A web page where an answer was wanted: a portal or a firewall."""
    headers = (("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(HTML))))
    return Answer(200, headers, (Write(OPENING, HTML, (("page", None, 0),)),), close=script.close, at_once=True)


def _slots_up_to(job: Job, tokens: int) -> int:
    """How many slots bring the first `tokens` tokens."""
    said = 0
    for slot in job.slots:
        if said >= tokens:
            return slot.index
        said += slot.tokens
    return len(job.slots)


def _events(script: Script, job: Job, dialect: Dialect) -> Iterator[Event]:
    """The dialect's events with the script's faults among them; CLOSING becomes the number of slots."""
    n = len(job.slots)
    broken_at = _slots_up_to(job, script.malformed_at) if script.malformed_at is not None else None
    failed_at = _slots_up_to(job, script.error_at) if script.error_at is not None else None
    for event in dialect.events(job):
        slot = n if event.slot == CLOSING else event.slot
        if broken_at is not None and slot >= broken_at:
            yield Event(broken_at, "malformed", dialect.malformed_event())
            broken_at = None
        if failed_at is not None and slot >= failed_at:
            yield Event(failed_at, "error", dialect.error_event(job))
            return
        yield Event(slot, event.kind, event.data, event.tokens, event.counted)


def _grouped(script: Script, job: Job, dialect: Dialect) -> list[Write]:
    """One write for each slot, for what opens and for what closes; events are numbered here."""
    data: dict[int, list[bytes]] = {}
    notes: dict[int, list[tuple[str, int | None, int]]] = {}
    index = 0
    for event in _events(script, job, dialect):
        raw = event.data.replace(b"\n", b"\r\n") if dialect.crlf or (script.crlf and dialect.comment) else event.data
        data.setdefault(event.slot, []).append(raw)
        notes.setdefault(event.slot, []).append((event.kind, index if event.counted else None, event.tokens))
        index += event.counted
    lead = {OPENING: script.role_lead_ns}
    return [Write(slot, b"".join(data[slot]), tuple(notes[slot]), lead.get(slot, 0)) for slot in data]


def _coalesced(writes: list[Write], size: int) -> list[Write]:
    """Events held back until `size` of them, or the end, are there."""
    merged: list[Write] = []
    held: list[Write] = []
    for write in writes:
        held.append(write)
        if sum(len(w.events) for w in held) >= size or write is writes[-1]:
            events = tuple(event for w in held for event in w.events)
            merged.append(Write(write.slot, b"".join(w.data for w in held), events, write.lead_ns))
            held = []
    return merged


def _flooded(writes: list[Write]) -> list[Write]:
    """Large writes; each is logged as one entry with its number of tokens."""
    merged, data, tokens, first = [], bytearray(), 0, True
    for write in writes:
        data += write.data
        tokens += sum(event[2] for event in write.events)
        if first or len(data) >= FLOOD_WRITE_BYTES or write is writes[-1]:
            merged.append(Write(write.slot, bytes(data), (("flood", None, tokens),), write.lead_ns))
            data, tokens, first = bytearray(), 0, False
    return merged


def _with_comments(script: Script, dialect: Dialect, writes: list[Write]) -> list[Write]:
    if not (script.comment_ns and dialect.comment and writes):
        return writes
    count = min(MAX_COMMENTS, (script.ttft_ns - 1) // script.comment_ns)
    leads = (script.ttft_ns - (k + 1) * script.comment_ns for k in range(count))
    comments = [Write(OPENING, dialect.comment, (("comment", None, 0),), lead) for lead in leads]
    early = [w for w in writes if w.slot == OPENING]
    return sorted(comments + early, key=lambda w: -w.lead_ns) + [w for w in writes if w.slot != OPENING]


def _encoded(script: Script, writes: list[Write]) -> list[Write]:
    """Content coding and body framing; what ends the body joins the last write."""
    squeeze = zlib.compressobj(6, zlib.DEFLATED, 31) if script.gzip else None
    out = []
    for k, write in enumerate(writes):
        data, last = write.data, k == len(writes) - 1
        if squeeze:
            data = squeeze.compress(data) + squeeze.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
        if script.framing == "chunked":
            data = b"".join(map(chunk, _cut(data, script, k))) + (LAST_CHUNK if last else b"")
        out.append(Write(write.slot, data, write.events, write.lead_ns))
    return out


def _cut(data: bytes, script: Script, write_no: int) -> Iterator[bytes]:
    if not script.cut:
        if data:
            yield data
        return
    at = 0
    while at < len(data):
        size = 1 + mixed(script.seed, write_no, at) % script.cut
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
