"""Records made by hand: every stamp is chosen, so every figure can be worked out on paper."""

from __future__ import annotations

from array import array

import msgspec

from lens.model import (
    Connection,
    Events,
    Failure,
    Limit,
    Record,
    RunInfo,
    SessionTurn,
    Signal,
    Stamps,
    Status,
    Target,
    TcpInfo,
    Usage,
)

MS = 1_000_000
START = 5_000 * MS
TEXT, REASONING = int(Signal.TEXT), int(Signal.REASONING)

INFO = RunInfo(
    schema=1,
    version="0.1.0",
    run_id="a1b2c3",
    started_at="2025-11-07T18:30:00Z",
    started_ns=START,
    targets=(Target(provider="openai", model="gpt-4", url="https://api.example/v1/chat/completions"),),
)


def events(*rows: tuple[float, int, int], reads: list[int] | None = None, lag_us: int = 20) -> Events:
    """Rows of (ms after the start, signals, characters)."""
    return Events(
        arrived_ns=array("q", [round(at * MS) for at, _, _ in rows]),
        lag_ns=array("q", [lag_us * 1000] * len(rows)),
        signals=array("H", [s for _, s, _ in rows]),
        chars=array("I", [c for _, _, c in rows]),
        read=array("I", reads or range(len(rows))),
    )


def stamps(start_ns: int = START, **ms_after: float) -> Stamps:
    """Stamps in ms after the start."""
    return Stamps(start=start_ns, **{name: start_ns + round(at * MS) for name, at in ms_after.items()})


def record(at_ms: tuple[float, ...] = (100, 110, 120, 130), *, tokens: int | None = None, **more: object) -> Record:
    """A successful stream: a role-only event, then one text event of four characters at each time."""
    came = events((at_ms[0] - 5 if at_ms else 50, 0, 0), *((at, TEXT, 4) for at in at_ms))
    end = (at_ms[-1] if at_ms else 50) + 5
    given: dict[str, object] = {
        "request_id": "f47ac10b-58cc-4372-a567-0e02b2c3d479",
        "index": 0,
        "provider": "openai",
        "model": "gpt-4",
        "timestamp": "2025-11-07T18:30:00.000000Z",
        "stamps": stamps(first_byte=at_ms[0] - 10 if at_ms else 45, send_start=40, send_end=41, end=end),
        "status": Status.SUCCESS,
        "category": "success",
        "events": came,
        "usage": Usage(input_tokens=42, output_tokens=len(at_ms) if tokens is None else tokens),
        "token_source": "usage",
        "stamp_kind": "kernel",
        "http_status": 200,
    }
    return Record(**(given | more))  # type: ignore[arg-type]


def full_record() -> Record:
    """Every phase, thinking, limits, server timings: what a page can show."""
    return record(
        events=events(
            (205, 0, 0), (240, REASONING, 8), (260, REASONING, 8), (300, TEXT, 4), (320, TEXT, 4), (640, TEXT, 4),
            (660, TEXT, 4), (661, int(Signal.FINISH | Signal.USAGE), 0),
        ),
        stamps=stamps(dns_start=0, dns_end=12, tcp_start=12, tcp_end=20, tls_start=20, tls_end=45, send_start=45.1,
                      send_end=45.2, first_byte=200, head_end=201, end=665),
        usage=Usage(input_tokens=42, output_tokens=6, reasoning_tokens=2),
        finish_reason="stop",
        connection=Connection(
            reused=False, peer="192.0.2.1:443", addresses=("192.0.2.1", "192.0.2.2"), tls_version="TLSv1.3",
            tls_cipher="TLS_AES_256_GCM_SHA384", alpn="http/1.1", tls_resumed=False, verified=True,
            tcp_at_end=TcpInfo(rtt_us=8300, min_rtt_us=7900, retransmits=1),
        ),
        rate_limits={"requests": Limit(limit=500, remaining=499, reset_s=0.12)},
        server_timing_ms={"openai-processing-ms": 150.0},
        session=SessionTurn(session_id="s-1", turn=1, turns=3, after=(0,), think_ns=5 * MS),
    )  # fmt: skip


def failed_record(message: str = "Rate limit reached", **more: object) -> Record:
    """A 429 that was answered before any content."""
    failed = record(
        (),
        status=Status.RATE_LIMITED,
        category="rate_limited",
        http_status=429,
        usage=None,
        failure=Failure(message=message, where="http", retryable=True, retry_after_s=2.0),
        events=Events(),
    )
    return msgspec.structs.replace(failed, **more)


def paced(one: Record, start_ns: int, *, ttft_ms: float, itl_ms: float) -> Record:
    """A measured record with the times of a script in place of those of a machine that was busy with something else."""
    content = [bool(chars) for chars in one.events.chars]
    first = content.index(True)
    at = [round((ttft_ms + (max(k - first, 0)) * itl_ms) * MS) for k in range(len(content))]
    return msgspec.structs.replace(
        one,
        stamps=stamps(
            start_ns,
            send_start=ttft_ms / 10,
            send_end=ttft_ms / 9,
            first_byte=ttft_ms / 2,
            head_end=ttft_ms / 2,
            end=at[-1] / MS,
        ),
        events=msgspec.structs.replace(
            one.events, arrived_ns=array("q", at), lag_ns=array("q", [1000] * len(at)), read=array("I", range(len(at)))
        ),
    )
