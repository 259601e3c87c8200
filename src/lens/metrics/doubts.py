"""When not to believe a figure: what the records themselves say against the instrument or the path.

Each doubt is one sentence that names the figure, how large the disturbance is, and what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lens.metrics.timeline import ASSUMED, SPREAD

if TYPE_CHECKING:
    from lens.metrics.summary import Summary

# From here on a disturbance is worth a sentence.
LAG_SHARE_OF_ITL = 0.05
COALESCED_SHARE = 0.05
SCHEDULE_LAG_US = 1000
ERROR_SHARE = 0.01


def doubts(summary: Summary) -> list[str]:
    """Sentences for people; none when there is nothing against the figures."""
    found = [_client_lag(summary), _stamps(summary), _coalesced(summary), _tokens(summary), _schedule(summary)]
    return [sentence for sentence in found if sentence]


def _client_lag(summary: Summary) -> str | None:
    lag, itl = summary.distributions.get("client_lag_us"), summary.distributions.get("inter_chunk_ms")
    if lag is None or itl is None or not itl.median:
        return None
    late_us = lag.percentiles.get("p95", lag.max)
    share = late_us / 1000 / itl.median
    if share < LAG_SHARE_OF_ITL:
        return None
    kept = "the kernel's stamps keep the figures right, but this client is near its limit"
    return f"client lag (p95 {late_us / 1000:.2f} ms) is {share:.0%} of the median gap: {kept}; lower the load"


def _stamps(summary: Summary) -> str | None:
    read, all_kinds = summary.stamp_kinds.get("read", 0), sum(summary.stamp_kinds.values())
    if not read:
        return None
    whose = "all" if read == all_kinds else f"{read} of {all_kinds}"
    return f"{whose} requests have no kernel stamps: their times are when this client read, its own lag included"


def _coalesced(summary: Summary) -> str | None:
    share = summary.coalesced_share
    if share is None or share < COALESCED_SHARE:
        return None
    return f"{share:.0%} of token events came together with the one before: a proxy or the server is buffering"


def _tokens(summary: Summary) -> str | None:
    assumed, spread = summary.token_evidence.get(ASSUMED, 0), summary.token_evidence.get(SPREAD, 0)
    if assumed:
        return f"ITL of {assumed} requests takes one token for each event: the server sent no token counts"
    if spread:
        return f"ITL of {spread} requests spreads the server's token count over events by their characters"
    return None


def _schedule(summary: Summary) -> str | None:
    lag = summary.distributions.get("schedule_lag_us")
    late_us = lag.percentiles.get("p99", lag.max) if lag else 0
    if late_us < SCHEDULE_LAG_US:
        return None
    return f"requests were sent up to {late_us / 1000:.1f} ms (p99) after their time: see ttft_from_schedule_ms"
