"""Where the time of a request goes, cause by cause: each reads a View and gives a Finding.

The rule: a cause that cannot be told says so as a plain sentence, and is never guessed. No millisecond is
counted for two causes: round trips inside a handshake belong to distance, the rest of it to TLS.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from statistics import median

from lens.analysis.diagnosis.symptoms import (
    CONCURRENT,
    LONG_ANSWER,
    LONG_PROMPT,
    NEW_CONNECTION,
    REUSED_CONNECTION,
    Finding,
    Found,
    View,
    figure,
    grew_ms,
    in_one_piece,
    requests,
    series,
    waited_ms,
)
from lens.metrics.quality_warnings import CACHED_SHARE
from lens.model import Record
from lens.units import ms

# A first request is cold when it waited so much longer than the others, and so many times as long.
COLD_MS = 100.0
COLD_TIMES = 1.5
# One request of several that waited longer may be chance.
FEWEST_QUEUED = 2


def distance(view: View) -> Found:
    """Round trips: of TCP, of TLS and of the request itself."""
    rtt = series(view.records, view.metric("min_rtt_ms")) or series(view.fresh, view.metric("tcp_ms"))
    if rtt is None:
        return "distance: no round trip was measured (no TCP connection, or a system that does not tell)"
    nearest = min(rtt.values)
    trips = 2 + tls_trips(view)
    tcp = series(view.fresh, view.metric("tcp_ms"))
    evidence = [f"round trip {figure(nearest)} ms, the shortest the kernel saw ({requests(rtt.numbers)})"]
    if tcp is not None:
        evidence.append(tcp.says("TCP connect"))
        if tcp.middle > 3 * nearest + 50:
            evidence.append("connecting took longer than its round trip: packets were lost, or it is slow to accept")
    proxied = any(r.connection is not None and r.connection.via_proxy for r in view.records)
    whom = "the proxy" if proxied else "the server"
    parts = f"TCP 1, TLS {trips - 2}, the request 1" if trips > 2 else "TCP 1, the request 1"
    return Finding(
        cause="distance",
        kind="time",
        says=f"distance: {whom} is {figure(nearest)} ms away, and a request over a new connection goes there and back "
        f"{trips} times ({parts})",
        ms=nearest * trips,
        evidence=tuple(evidence),
        try_next="ask from nearer, or of a region that is nearer; keep connections, which leaves one round trip",
    )


def tls_trips(view: View) -> int:
    """Round trips of a full handshake: one in TLS 1.3, two before (RFC 8446, 2); 0 without TLS."""
    versions = [r.connection.tls_version for r in view.fresh if r.connection and r.connection.tls_version]
    return 0 if not versions else 1 if "1.3" in versions[0] else 2


def dns(view: View) -> Found:
    """Return what the lookup of the host's name takes."""
    took = series(view.fresh, view.metric("dns_ms"))
    if took is None:
        return "DNS: nothing was looked up (an address, a socket or a proxy took its place)"
    return Finding(
        cause="DNS",
        kind="time",
        says=f"DNS: looking the name up takes {figure(took.middle)} ms on each new connection",
        ms=took.middle,
        evidence=(took.says("lookup"),),
        try_next="a resolver that caches on this machine; or keep connections",
    )


def tls(view: View) -> Found:
    """Return what a handshake takes beyond its round trips."""
    full = [r for r in view.fresh if r.connection and not r.connection.tls_resumed]
    took = series(full, view.metric("tls_ms"))
    if took is None:
        return None
    rtt = series(view.records, view.metric("min_rtt_ms"))
    trips = tls_trips(view)
    own = max(took.middle - (min(rtt.values) * trips if rtt else 0), 0)
    resumed = [r.index for r in view.fresh if r.connection and r.connection.tls_resumed]
    evidence = [took.says(f"handshake, {full[0].connection.tls_version if full[0].connection else 'TLS'},")]
    evidence.append(
        f"{trips} round trip of it is distance" if trips == 1 else f"{trips} round trips of it are distance"
    )
    if resumed:
        evidence.append(f"resumed, and shorter: {requests(resumed)}")
    return Finding(
        cause="TLS",
        kind="time",
        says=f"TLS: the handshake takes {figure(own)} ms beyond its round trips, on each new connection",
        ms=own,
        evidence=tuple(evidence),
        try_next="keep connections; an ECDSA certificate and session resumption make the server's part shorter",
    )


def proxy(view: View) -> Found:
    """Return what the way through a proxy takes."""
    took = series(view.fresh, view.metric("proxy_ms"))
    if took is None:
        return None
    return Finding(
        cause="proxy",
        kind="time",
        says=f"proxy: it takes {figure(took.middle)} ms to open the way on each new connection",
        ms=took.middle,
        evidence=(took.says("CONNECT"), "what lies behind the proxy is not told apart from it"),
        try_next="--proxy '' goes without, if the network lets it; or keep connections",
    )


def dead_address(view: View) -> Found:
    """Time that addresses took which did not answer, before one did (RFC 8305)."""

    def lost(record: Record) -> float | None:
        attempts = record.connection.attempts if record.connection else ()
        failed = [a for a in attempts if a.error is not None]
        if not failed or record.stamps.tcp_start is None:
            return None
        return max(ms(record.stamps.tcp_start - min(a.start_ns for a in failed)), 0)

    took = series(view.fresh, lost)
    if took is None:
        return None
    tried = {a.address for r in view.fresh if r.connection for a in r.connection.attempts if a.error is not None}
    return Finding(
        cause="dead address",
        kind="time",
        says=f"dead address: {', '.join(sorted(tried))} does not answer, and another is tried only after "
        f"{figure(took.middle)} ms",
        ms=took.middle,
        evidence=(took.says("lost"),),
        try_next="--ipv4 or --ipv6 leaves the dead family out; the name's DNS records want mending",
    )


def keep_alive(view: View) -> Found:
    """Return whether connections are kept, where we would keep them."""
    one_by_one = view.of(REUSED_CONNECTION, LONG_PROMPT, LONG_ANSWER)
    closed = [r for r in one_by_one if r.headers.get("connection", "").lower() == "close"]
    again = [r for r in one_by_one if r.connection is not None and not r.connection.reused]
    lost = sorted({r.index for r in (*closed, *again)})
    if not lost:
        return None
    opened = series(view.fresh, view.metric("connect_ms"))
    price = f"{figure(opened.middle)} ms for a new one" if opened is not None else "for a new one"
    return Finding(
        cause="keep-alive",
        kind="warning",
        says=f"keep-alive: connections are not kept, and each request pays {price}",
        evidence=(f"closed by the other side: {requests(lost)}", *([opened.says("connecting")] if opened else [])),
        try_next="let the server or the load balancer keep idle connections (HTTP/1.1 keep-alive) for a minute or more",
    )


def cold_start(view: View) -> Found:
    """Return how much longer the first request of all took."""
    first, base = view.first, view.base
    waited = view.metric("ttft_from_send_ms")(first) if first is not None else None
    if first is None or base is None or waited is None or base.numbers == (first.index,):
        return "cold start: it takes a second request to compare the first with"
    more = waited - base.middle
    if more <= COLD_MS or waited < COLD_TIMES * base.middle:
        return None
    return Finding(
        cause="cold start",
        kind="time",
        says=f"cold start: the very first request waited {figure(more)} ms longer for its first token than the next",
        ms=more,
        evidence=(
            f"first token {figure(waited)} ms after the send (request {first.index})",
            base.says("afterwards"),
        ),
        try_next="keep a replica warm, or ask once in a while; `lll benchmark --idle-gaps 10s,1m,5m` finds after which "
        "pause it is cold",
    )


def queue(view: View) -> Found:
    """Return how much longer the first token takes when several requests are sent at once."""
    together, base = series(view.of(CONCURRENT), view.metric("ttft_from_send_ms")), view.base
    if together is None or base is None:
        return "queue: no answer came of those that were asked at once"
    told = _queue_times(view)
    more, asked = grew_ms(together, base), len(together.values)
    waited = waited_ms(together, base)
    if more is None and len(waited) >= FEWEST_QUEUED:
        more = sum(waited) / asked
        later = f"{len(waited)} of them wait {figure(median(waited))} ms longer for the first token than one alone"
    else:
        later = f"the first token comes {figure(more or 0)} ms later than to one alone"
    if more is None:
        few = f"{asked - len(waited)} of {asked}" if waited else f"{asked}"
        one = f", one {figure(waited[0])} ms" if waited else ""
        says = f"queue: {few} at once wait no longer than one alone{one}"
        return Finding(cause="queue", kind="fine", says=says, evidence=(together.says("at once"), base.says("alone")))
    lag = view.client.loop_lag_ms if view.client else None
    if lag is not None and lag > more / 2:
        return f"queue: {figure(more)} ms more at once, but this client itself woke up to {figure(lag)} ms late"
    return Finding(
        cause="queue",
        kind="time",
        says=f"queue: with {asked} requests at once {later}",
        ms=more,
        evidence=(together.says("TTFT at once"), base.says("alone"), *told),
        try_next="more replicas or larger batches at the server; `lll benchmark --sweep-concurrency 1,2,4,8` draws the "
        "whole curve",
    )


def _queue_times(view: View) -> list[str]:
    """Return what the server itself says of its queue."""
    return _server_times(view.good, lambda name: "queue" in name)


def _server_times(records: list[Record], wanted: Callable[[str], bool] = bool) -> list[str]:
    """Return the times that the server itself names."""
    named = sorted({name for record in records for name in record.server_timing_ms if wanted(name)})
    told = []
    for name in named:
        found = series(records, partial(_server_time, name))
        told += [found.says(f"the server's own {name}")] if found else []
    return told


def _server_time(name: str, record: Record) -> float | None:
    return record.server_timing_ms.get(name)


def prefill(view: View) -> Found:
    """Return how much longer the first token takes after a long prompt."""
    asked = view.of(LONG_PROMPT)
    long, base = series(asked, view.metric("ttft_from_send_ms")), view.base
    if long is None or base is None:
        return "prefill: no answer came to a long prompt"
    cached = [
        r for r in asked if r.usage and (r.usage.cache_read_tokens or 0) > CACHED_SHARE * (r.usage.input_tokens or 1)
    ]
    if cached:
        return f"prefill: the long prompts came from the provider's cache ({requests([r.index for r in cached])})"
    more = grew_ms(long, base)
    tokens, before = _input_tokens(asked), _input_tokens(view.of(NEW_CONNECTION, REUSED_CONNECTION))
    counted = "" if tokens is None else f" of {tokens:,} tokens"
    if more is None:
        says = f"prefill: a long prompt{counted} waits no longer than a short one"
        return Finding(cause="prefill", kind="fine", says=says, evidence=(long.says("long"), base.says("short")))
    per_1k = None if tokens is None or before is None or tokens <= before else more / (tokens - before) * 1000
    rate = f", {figure(per_1k)} ms for each 1,000 tokens" if per_1k is not None else "; the server counts no tokens"
    return Finding(
        cause="prefill",
        kind="time",
        says=f"prefill: a long prompt{counted} puts the first token off by {figure(more)} ms{rate}",
        ms=more,
        evidence=(
            long.says(f"TTFT with {tokens:,} tokens in" if tokens is not None else "TTFT, long prompt"),
            base.says(f"with {before:,}" if before is not None else "short prompt"),
        ),
        try_next="shorter prompts, or a beginning that is always the same, so that a prefix cache can hold it",
    )


def _input_tokens(records: list[Record]) -> int | None:
    counts = [r.usage.input_tokens for r in records if r.usage and r.usage.input_tokens is not None]
    return round(median(counts)) if counts else None


def wait(view: View) -> Found:
    """Return what is left before the first token of a short question, asked alone, without the round trip."""
    base = view.base
    if base is None:
        return "first token: none came, so nothing is known of the phases before and after it"
    if in_one_piece(view):
        return "first token: answers come in one piece, so the wait before them and their making are not told apart"
    rtt = series(view.records, view.metric("min_rtt_ms"))
    own = max(base.middle - (min(rtt.values) if rtt else 0), 0)
    return Finding(
        cause="server",
        kind="time",
        says=f"server: {figure(own)} ms pass before the first token, whatever the prompt, and without other load",
        ms=own,
        evidence=(
            base.says("first token after the send, short prompt"),
            *_server_times(view.of(NEW_CONNECTION, REUSED_CONNECTION)),
        ),
        try_next="routing, guards and scheduling at the provider: compare another model, region or --provider with "
        "`lll compare`",
    )


FIRST_TOKEN: tuple[Callable[[View], Found], ...] = (
    distance, dns, tls, proxy, dead_address, keep_alive, cold_start, queue, prefill, wait,
)  # fmt: skip
