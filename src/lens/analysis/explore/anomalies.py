"""Requests unlike their peers: which, by how much, and what of them took the time.

A request is an outlier when it lies far on the bad side of the median of its peers, in robust
deviations of the logarithm: latencies are skewed, and the outliers themselves must not widen the scale
(Leys and others 2013). Peers are requests of one target under one setting. The reasons are read from its
own stamps and counts, set against the median of the peers: they say where, not why the server did it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from lens.analysis.columns import per_request
from lens.analysis.explore.trends import peers_of
from lens.analysis.sources import wall_s
from lens.metrics.definitions import METRICS, between, measure
from lens.metrics.timeline import timeline
from lens.model import Record
from lens.pricing import PriceBook
from lens.units import ms

if TYPE_CHECKING:
    from numpy.typing import NDArray

WATCHED = ("ttft_ms", "longest_gap_ms", "tpot_ms")
# Fewer peers have no median worth the name.
FEWEST = 20
# Robust deviations; of a thousand log-normal values none lies beyond five.
FAR = 5.0
# Values that hardly differ are no scale: below half as much again nobody asks why.
LEAST_SCALE = 0.08
# The median absolute deviation of a normal distribution is its standard deviation divided by this.
MAD = 1.4826
# A part that is this share of the delay is named; others that come so soon before or after are counted.
PART = 0.3
TOGETHER_S = 2.0


class Anomaly(msgspec.Struct, frozen=True, kw_only=True):
    """One request that stands out."""

    request_id: str
    index: int
    who: str
    timestamp: str
    metric: str
    value: float
    typical: float  # median of its peers
    deviations: float
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        unit = METRICS[self.metric].unit
        why = f": {'; '.join(self.reasons)}" if self.reasons else ""
        return f"{self.metric} {self.value:.4g} {unit}, {self.value / self.typical:.3g} times its peers{why}"


def anomalies_of(records: Sequence[Record], book: PriceBook) -> tuple[Anomaly, ...]:
    """Those that stand out, the farthest first; each request once, by what is most unlike."""
    found: dict[int, tuple[Anomaly, Record]] = {}
    for who, peers in peers_of(records).items():
        if len(peers) < FEWEST:
            continue
        columns = {name: per_request(METRICS[name], peers, book) for name in WATCHED}
        for name, values in columns.items():
            for place, far in _far(values):
                record = peers[place]
                earlier = found.get(id(record))
                if earlier is None or far > earlier[0].deviations:
                    found[id(record)] = (_anomaly(who, name, place, far, peers, values), record)
    together = [wall_s(record) for _, record in found.values()]
    told = [_with_others(one, wall_s(record), together) for one, record in found.values()]
    return tuple(sorted(told, key=lambda one: -one.deviations))


def _far(values: NDArray[Any]) -> list[tuple[int, float]]:
    """Places of values far above the median, and how far."""
    import numpy as np

    there = np.flatnonzero(~np.isnan(values) & (values > 0))
    if len(there) < FEWEST:
        return []
    logs = np.log(values[there])
    centre = np.median(logs)
    scale = max(MAD * float(np.median(np.abs(logs - centre))), LEAST_SCALE)
    far = (logs - centre) / scale
    return [(int(there[i]), float(far[i])) for i in np.flatnonzero(far > FAR)]


def _anomaly(who: str, name: str, place: int, far: float, peers: Sequence[Record], values: NDArray[Any]) -> Anomaly:
    import numpy as np

    record, value = peers[place], float(values[place])
    typical = float(np.nanmedian(values))
    why = _first_token if name == "ttft_ms" else _gaps
    return Anomaly(
        request_id=record.request_id,
        index=record.index,
        who=who,
        timestamp=record.timestamp,
        metric=name,
        value=value,
        typical=typical,
        deviations=far,
        reasons=(*why(record, peers, value - typical), *_circumstances(record, peers)),
    )


def _after_head(record: Record) -> float | None:
    ttft, ttfb = measure("ttft_ms", record), between(record, "start", "first_byte")
    return None if ttft is None or ttfb is None else ttft - ttfb


# The parts of a TTFT, and what is said of one that took long.
_PARTS: tuple[tuple[str, Callable[[Record], float | int | None]], ...] = (
    ("looking up the name", lambda r: measure("dns_ms", r)),
    ("connecting", lambda r: measure("tcp_ms", r)),
    ("the proxy", lambda r: measure("proxy_ms", r)),
    ("the TLS handshake", lambda r: measure("tls_ms", r)),
    ("sending the request", lambda r: measure("send_ms", r)),
    ("waiting for the first byte of the answer", lambda r: between(r, "send_end", "first_byte")),
    ("from the first byte to the first token", _after_head),
)


def _first_token(record: Record, peers: Sequence[Record], excess: float) -> list[str]:
    """The parts that make up most of what is too much."""
    found = []
    for says, part in _PARTS:
        # A phase that the peers did not have took none of their time: their connections were reused.
        mine, usual = part(record), _median(_or_none_spent(part), peers) or 0
        if mine is not None and mine - usual > PART * excess:
            found.append((mine - usual, f"{says} took {mine:.4g} ms{_usually(usual or None)}"))
    return [says for _, says in sorted(found, reverse=True)]


def _gaps(record: Record, peers: Sequence[Record], _excess: float) -> list[str]:
    """Where its longest pause was, or that there is none that stands out in it."""
    import numpy as np

    gaps = timeline(record).gaps_ns()
    if not len(gaps):
        return []
    place = int(gaps.argmax())
    longest = ms(int(gaps[place]))
    if float(np.median(gaps)) > gaps[place] / 2:
        return [f"slow all the way: {ms(float(np.median(gaps))):.4g} ms between events in the median"]
    usual = _median(lambda r: measure("longest_gap_ms", r), peers)
    return [f"a pause of {longest:.4g} ms before event {place + 2} of {len(gaps) + 1}{_usually(usual)}"]


def _circumstances(record: Record, peers: Sequence[Record]) -> list[str]:
    """What else was unlike its peers."""
    found = []
    server, usual = measure("server_ms", record), _median(lambda r: measure("server_ms", r), peers)
    if server is not None and usual and server > 2 * usual:
        found.append(f"the server itself names {server:.4g} ms{_usually(usual)}")
    prompt, typical = measure("input_tokens", record), _median(lambda r: measure("input_tokens", r), peers)
    if prompt is not None and typical and prompt > 2 * typical:
        found.append(f"its prompt has {prompt} tokens (usually {typical:.4g})")
    if sent_again := measure("retransmits", record):
        found.append(f"{sent_again} segments were sent again")
    lag = measure("client_lag_us", record)
    usual_lag = _median(lambda r: measure("client_lag_us", r), peers)
    if lag is not None and lag > 1000 and lag > 5 * (usual_lag or 0):
        found.append(f"this client read up to {lag / 1000:.3g} ms late")
    if record.tries:
        found.append(f"it was tried {len(record.tries) + 1} times")
    if record.clock_stepped:
        found.append("the wall clock was set meanwhile")
    return found


def _median(part: Callable[[Record], float | int | None], peers: Sequence[Record]) -> float | None:
    import numpy as np

    values = [value for peer in peers if (value := part(peer)) is not None]
    return float(np.median(values)) if values else None


def _or_none_spent(part: Callable[[Record], float | int | None]) -> Callable[[Record], float]:
    return lambda record: part(record) or 0.0


def _usually(usual: float | None) -> str:
    return "" if usual is None else f" (usually {usual:.4g})"


def _with_others(one: Anomaly, at_s: float, together: Sequence[float]) -> Anomaly:
    near = sum(abs(other - at_s) <= TOGETHER_S for other in together) - 1
    if near < 1:
        return one
    many = f"{near} other{'s' if near > 1 else ''} stood out within {TOGETHER_S:g} s"
    return msgspec.structs.replace(one, reasons=(*one.reasons, many))
