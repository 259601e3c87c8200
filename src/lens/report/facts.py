"""What is known of a request besides its times, as named sentences: connection, limits, outcome."""

from __future__ import annotations

from collections.abc import Iterator

from lens.model import Record, Status
from lens.report.terminal import clean, number, time_ms
from lens.units import ms


def connection_facts(record: Record) -> Iterator[tuple[str, str]]:
    """Yield who was reached and how; nothing when no connection was made."""
    found = record.connection
    if found is None:
        return
    parts = ["reused" if found.reused else "new" if found.peer else "none", f"to {found.peer}" if found.peer else ""]
    if found.via_proxy:
        parts.append(f"through {clean(found.via_proxy)}")
    failed = [a for a in found.attempts if a.error]
    if failed:
        parts.append(f"after {', '.join(f'{a.address} ({clean(a.error or str())})' for a in failed)} failed")
    if len(found.addresses) > 1:
        parts.append(f"of {len(found.addresses)} addresses")
    yield "connection", " ".join(p for p in parts if p)
    if found.tls_version:
        tls = [found.tls_version, found.tls_cipher or ""]
        tls.append(f"ALPN {found.alpn}" if found.alpn else "no ALPN")
        if found.tls_resumed is not None:
            tls.append("resumed" if found.tls_resumed else "full handshake")
        if found.verified is False:
            tls.append("certificate NOT verified")
        yield "TLS", ", ".join(t for t in tls if t)
    tcp = found.tcp_at_end or found.tcp_at_send
    if tcp:
        least = f", least {number(tcp.min_rtt_us / 1000)} ms" if tcp.min_rtt_us is not None else ""
        again = f", {tcp.retransmits} segments sent again" if tcp.retransmits else ""
        yield "network", f"round trip {number(tcp.rtt_us / 1000)} ms{least}{again}"
    if record.stamps.first_byte is None:
        return
    stepped = "; the wall clock was set meanwhile" if record.clock_stepped else ""
    kind = "the kernel's, on receipt" if record.stamp_kind == "kernel" else "taken when this client read"
    yield "stamps", f"{kind}{stepped}"


def limit_facts(record: Record) -> Iterator[tuple[str, str]]:
    """Yield the rate limits as the provider told them."""
    for name, limit in record.rate_limits.items():
        left = "?" if limit.remaining is None else f"{limit.remaining:,}"
        of = "" if limit.limit is None else f" of {limit.limit:,}"
        resets = "" if limit.reset_s is None else f", resets in {limit.reset_s:g} s"
        yield "limit", f"{clean(name)}: {left}{of} left{resets}"


def tool_facts(record: Record) -> Iterator[tuple[str, str]]:
    """Yield a line a tool call whose events are known: when it began and was ready, and its silences."""
    for call in record.tool_calls:
        if call.first_ns is None or call.last_ns is None:
            continue
        ready = "arguments incomplete" if call.valid is False else f"ready {time_ms(ms(call.last_ns))}"
        events = "" if call.deltas is None else f", {call.deltas} event{'s' if call.deltas > 1 else ''}"
        before = "" if call.silence_ns is None else f", {time_ms(ms(call.silence_ns))} of silence before it"
        inside = "" if call.gap_ns is None else f", {time_ms(ms(call.gap_ns))} inside at most"
        yield "tool", f"{clean(call.name)}: first {time_ms(ms(call.first_ns))}, {ready}{events}{before}{inside}"


def outcome_facts(record: Record, error: str | None) -> Iterator[tuple[str, str]]:
    """Yield how it ended, and what went wrong. error: of metrics.rows.error_texts."""
    if record.session is not None:
        yield "session", f"{clean(record.session.session_id)}, turn {record.session.turn} of {record.session.turns}"
    for attempt in record.tries:
        status = f"HTTP {attempt.http_status} " if attempt.http_status else ""
        why = clean(attempt.message or "")
        times = f"; sent {attempt.resent + 1} times" if attempt.resent else ""
        yield "retried", f"{status}{attempt.category}: {why}{times}; waited {attempt.wait_ns / 1e9:.1f} s"
    said = [f"finish reason {clean(record.finish_reason)}"] if record.finish_reason else []
    if record.served_model and record.served_model != record.model:
        said.append(f"served by {clean(record.served_model)}")
    if record.provider_request_id:
        said.append(f"id {clean(record.provider_request_id)}")
    if said and record.status is Status.SUCCESS:
        yield "outcome", ", ".join(said)
    if record.cache_miss:
        tokens = f", {record.cache_miss.tokens:,} tokens" if record.cache_miss.tokens is not None else ""
        yield "cache miss", f"{clean(record.cache_miss.reason)}{tokens}"
    if record.judged is not None:
        yield "valid", "yes" if record.judged.valid else f"no: {clean(record.judged.reason or '')}"
    if record.failure:
        yield "error", f"{record.category}: {clean(error or '')}"
        if record.failure.retry_after_s is not None:
            yield "retry after", f"{record.failure.retry_after_s:g} s, says the server"
    elif record.status is not Status.SUCCESS:
        yield "error", record.category
