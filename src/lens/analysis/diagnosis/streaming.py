"""Diagnose answers after their first token: coalescing, stalls, limits, and the part of this client.

A gap before k events that came in one read is split: one k-th is the making of a token, the rest is time
in which tokens that were there already were held back by somebody between.
"""

from __future__ import annotations

from statistics import median

import numpy as np

from lens.analysis.diagnosis.symptoms import (
    FEWEST_EVENTS,
    LONG_ANSWER,
    Client,
    Finding,
    Found,
    Stream,
    View,
    figure,
    grew_ms,
    in_one_piece,
    one_piece,
    requests,
    series,
)
from lens.metrics.quality_warnings import OWN_LAG_SHARE
from lens.model import Record
from lens.units import NS_PER_MS

# From this share of events that came together with the one before, tokens are held back by somebody...
BUFFERED_SHARE = 0.3
# ...unless the reads follow each other this closely: then the server is merely fast. A reader sees no pause
# below some 20 ms.
CLUMP_GAP_MS = 20.0
# A limit with less than this share left is worth a warning.
REMAINING_SHARE = 0.2
# This client disturbs its figures from here on.
LOOP_LAG_MS = 10.0
CPU_SHARE = 0.8
LOAD_PER_CPU = 2.0


def decode(view: View) -> Found:
    """Return the time from the first to the last token of a long answer, without what was held back."""
    streams = [r for r in view.of(LONG_ANSWER) if len(view.stream(r).at_ns) >= FEWEST_EVENTS]
    if not streams:
        events = [len(view.stream(r).at_ns) for r in view.of(LONG_ANSWER)]
        had = f"they had {max(events)} events" if events else "none came"
        return f"decode: no answer was long enough to tell its speed ({had})"
    if in_one_piece(view):
        return "decode: answers come in one piece, so the speed of their making does not show"
    took = series(streams, lambda r: spans_ms(view.stream(r))[0])
    gaps = series(streams, view.median_of("itl_ms"))
    if took is None or gaps is None:
        return "decode: no gaps between tokens were measured"
    tokens = [int(view.stream(r).tokens.sum()) for r in streams]
    mean = sum(
        (spans_ms(view.stream(r))[0] + spans_ms(view.stream(r))[1]) / max(n - 1, 1)
        for r, n in zip(streams, tokens, strict=True)
    )
    per_token = mean / len(streams)
    return Finding(
        cause="decode",
        kind="time",
        says=f"decode: {round(median(tokens))} tokens take {figure(took.middle)} ms after the first, "
        f"{figure(per_token)} ms each ({1000 / per_token if per_token else 0:.0f} tokens a second)",
        ms=took.middle,
        evidence=(gaps.says("median gap between tokens"), took.says("first to last token")),
        try_next="shorter answers; a smaller or quantised model, speculative decoding, or fewer requests in a batch",
    )


def buffering(view: View) -> Found:
    """Return the finding that tokens arrive in clumps, or all at the end, though a stream was asked for."""
    streams = [r for r in view.of(LONG_ANSWER) if r.stream and len(view.stream(r).at_ns)]
    if in_one_piece(view):
        return _whole(view, [r for r in streams if one_piece(view, r)])
    streams = [r for r in streams if len(view.stream(r).at_ns) >= FEWEST_EVENTS]
    if not streams:
        return "buffering: no answer had events enough to see clumps"
    clumped = [
        r
        for r in streams
        if _share_together(view.stream(r)) >= BUFFERED_SHARE and _clump_gap_ms(view.stream(r)) >= CLUMP_GAP_MS
    ]
    per_read = series(streams, lambda r: len(view.stream(r).read) / view.stream(r).reads)
    if not clumped or per_read is None:
        each = f"{per_read.middle:.1f} events a read" if per_read else "a read each"
        return Finding(cause="buffering", kind="fine", says=f"buffering: tokens come as they are made, {each}")
    gap = series(clumped, lambda r: _clump_gap_ms(view.stream(r)))
    held = series(clumped, lambda r: spans_ms(view.stream(r))[1])
    if gap is None or held is None:
        return None
    lag = series(clumped, view.metric("client_lag_us"))
    if lag is not None and lag.middle / 1000 > OWN_LAG_SHARE * gap.middle:
        return (
            f"buffering: tokens come in clumps, but this client itself read up to {figure(lag.middle / 1000)} ms late"
        )
    return Finding(
        cause="buffering",
        kind="time",
        says=f"buffering: tokens come {per_read.middle:.0f} at a time, {figure(gap.middle)} ms apart: something on the "
        "way collects them",
        ms=held.middle,
        evidence=(
            f"{per_read.middle:.1f} events a read ({requests(per_read.numbers)})",
            gap.says("between clumps"),
            *_encodings(clumped),
        ),
        try_next=UNBUFFER,
    )


UNBUFFER = (
    "ask past the proxy to see whose it is; nginx: proxy_buffering off, gzip off; a load balancer, a CDN or a guard "
    "that reads the whole answer does the same"
)


def _whole(view: View, whole: list[Record]) -> Found:
    """Return the finding that all tokens come at the end: the answer is waited for without seeing one."""
    late, base = series(whole, view.metric("ttft_from_send_ms")), view.base
    if late is None or base is None:
        return None
    more = grew_ms(late, base)
    rtt = series(view.records, view.metric("min_rtt_ms"))
    held = more if more is not None else max(late.middle - (min(rtt.values) if rtt else 0), 0)
    events = [len(view.stream(r).at_ns) for r in whole]
    return Finding(
        cause="buffering",
        kind="time",
        says=f"buffering: answers come all at once after {figure(late.middle)} ms, though a stream was asked for",
        ms=held,
        evidence=(
            late.says("first and last token of long answers"),
            base.says("of short answers"),
            f"{max(events)} events in one read",
            *_encodings(whole),
        ),
        try_next=UNBUFFER,
    )


def _encodings(records: list[Record]) -> list[str]:
    named = {r.content_encoding for r in records if r.content_encoding}
    return [f"the stream is compressed ({', '.join(sorted(named))}), which collects"] if named else []


def spans_ms(stream: Stream) -> tuple[float, float]:
    """Return (making, held back) of the time between first and last token."""
    gaps = np.diff(stream.at_ns) / NS_PER_MS
    together = np.bincount(stream.read)[stream.read[1:]]
    made = float((gaps / together).sum())
    held = float((gaps * (together - 1) / together).sum())
    # Held back means that somebody saw a pause; a fast server's clumps are no loss.
    return (made, held) if _clump_gap_ms(stream) >= CLUMP_GAP_MS else (made + held, 0.0)


def _share_together(stream: Stream) -> float:
    return float((stream.read[1:] == stream.read[:-1]).sum()) / len(stream.read)


def _clump_gap_ms(stream: Stream) -> float:
    """Return the median time between two reads that brought content."""
    begins = np.flatnonzero(np.diff(stream.read, prepend=-1))
    gaps = np.diff(stream.at_ns[begins])
    return float(np.median(gaps)) / NS_PER_MS if len(gaps) else 0.0


def limits(view: View) -> Found:
    """Return what the headers say is left of the provider's limits."""
    lowest: dict[str, tuple[float, str, int]] = {}
    for record in view.records:
        for name, limit in record.rate_limits.items():
            if limit.limit and limit.remaining is not None:
                share = limit.remaining / limit.limit
                if name not in lowest or share < lowest[name][0]:
                    lowest[name] = (share, f"{limit.remaining:,} of {limit.limit:,} {name} left", record.index)
    if not lowest:
        return "rate limit: the answers' headers tell of none"
    share = min(found[0] for found in lowest.values())
    evidence = tuple([f"{says} (request {number})" for _, says, number in lowest.values()])
    if share >= REMAINING_SHARE:
        return Finding(cause="rate limit", kind="fine", says=f"rate limit: {'; '.join(evidence)}")
    return Finding(
        cause="rate limit",
        kind="warning",
        says=f"rate limit: only {share:.0%} of it is left; requests beyond it are refused",
        evidence=evidence,
        try_next="--adaptive holds a load back under it; or ask the provider for a higher limit",
    )


def client(view: View) -> Found:
    """Return what this instrument and this machine add themselves."""
    kept = [r for r in view.good if r.connection is not None and r.connection.reused]
    before = series(kept, view.time_between("start", "send_start"))
    lag = series(view.good, view.metric("client_lag_us"))
    own = (before.middle if before else 0) + (lag.middle / 1000 if lag else 0)
    evidence, here = [], view.client
    if before is not None:
        evidence.append(before.says("from the start to the send on a kept connection"))
    if lag is not None:
        evidence.append(f"tokens were read up to {figure(max(lag.values))} us after the kernel had them")
    elif view.good:
        evidence.append("no kernel stamps: what this client reads late stands in the figures")
    trouble = []
    if any(record.clock_stepped for record in view.records):
        trouble.append("the wall clock was set meanwhile")
    if here is not None:
        if here.loop_lag_ms is not None and here.loop_lag_ms > LOOP_LAG_MS:
            trouble.append(f"its loop woke {figure(here.loop_lag_ms)} ms late (p95)")
        if here.cpu_share is not None and here.cpu_share > CPU_SHARE:
            trouble.append(f"it kept a processor busy for {here.cpu_share:.0%} of the time")
        if here.load_per_cpu is not None and here.load_per_cpu > LOAD_PER_CPU:
            trouble.append(f"{here.load_per_cpu:.1f} processes want each processor")
        trouble += here.warnings
    if trouble:
        return Finding(
            cause="client",
            kind="warning",
            says=f"{_subject(here)}: {'; '.join(trouble)}",
            ms=own,
            evidence=tuple(evidence),
            try_next="ask from a machine with less to do; `lll selftest` tells this instrument's own error here",
        )
    return Finding(
        cause="client",
        kind="time",
        says=f"this client: it adds {figure(own)} ms of its own",
        ms=own,
        evidence=tuple(evidence),
        try_next="`lll selftest` tells this instrument's own error on this machine",
    )


def _subject(here: Client | None) -> str:
    """Return who disturbs: this process, others on this machine, or something else about this client."""
    if here is not None and ((here.loop_lag_ms or 0) > LOOP_LAG_MS or (here.cpu_share or 0) > CPU_SHARE):
        return "this client is overloaded"
    busy = here is not None and (here.load_per_cpu or 0) > LOAD_PER_CPU
    return "this machine is busy" if busy else "this client"
