"""One request as another load tool would have seen it: its zero, its first token, its end.

Only what those tools' result files are made of; the tools' own arithmetic is kept (METRICS,
"Dialects"), so that a figure can be laid beside one that the tool itself measured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from lens.export.rows import error_text
from lens.export.wallclock import start_unix_ns
from lens.metrics.timeline import timeline
from lens.model import CONTENT, Record, Signal, Status
from lens.units import NS_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray


class View(NamedTuple):
    """A request in a tool's eyes; seconds, as these tools have it."""

    ok: bool
    start_s: float  # Unix time of the tool's zero
    latency_s: float | None
    ttft_s: float | None
    gaps_s: NDArray[Any]
    input_tokens: int | None
    output_tokens: int | None
    category: str
    code: int | None  # HTTP status
    error: str
    text: str
    request_id: str
    stage: str | None
    reasoning_tokens: int | None
    ttfo_s: float | None

    def tpot_s(self) -> float | None:
        """(latency - TTFT) / (n - 1): how vllm and aiperf spread an answer over its tokens."""
        n = self.output_tokens
        if self.latency_s is None or self.ttft_s is None or n is None or n < 2:
            return None
        return (self.latency_s - self.ttft_s) / (n - 1)


Look = Callable[[Record], View]


def vllm_view(record: Record) -> View:
    """Zero is before the post; every message with `choices` is a token, role-only and finish ones too."""
    at_ns = _choices_ns(record)
    return _view(record, 0, at_ns, int(at_ns[-1]) if len(at_ns) else None)


def aiperf_view(record: Record) -> View:
    """Zero is before the request; content events alone count, and the last one is the end."""
    at_ns = timeline(record).at_ns
    return _view(record, 0, at_ns, int(at_ns[-1]) if len(at_ns) else None)


def guidellm_view(record: Record) -> View:
    """Zero is when the request's head is sent, so a connection never counts; the end is the response's."""
    stamps = record.stamps
    zero_ns = 0 if stamps.send_start is None else stamps.send_start - stamps.start
    end_ns = None if stamps.end is None else stamps.end - stamps.start
    return _view(record, zero_ns, timeline(record).at_ns, end_ns)


def _choices_ns(record: Record) -> NDArray[Any]:
    """Arrivals of messages that had a choice: content, a finish reason, or nothing that we would count."""
    import numpy as np

    signals = np.frombuffer(record.events.signals, dtype=record.events.signals.typecode).astype(np.int64)
    at_ns = np.frombuffer(record.events.arrived_ns, dtype=record.events.arrived_ns.typecode).astype(np.int64)
    choice = (signals == 0) | ((signals & int(CONTENT | Signal.FINISH)) != 0)
    # The first message opens the answer; under continuous usage it carries token counts too.
    choice[:1] |= (signals[:1] & int(Signal.ERROR | Signal.DONE)) == 0
    found: NDArray[Any] = at_ns[choice]
    return found


def _view(record: Record, zero_ns: int, at_ns: NDArray[Any], end_ns: int | None) -> View:
    import numpy as np

    line, usage = timeline(record), record.usage
    # A body in one piece has no first token of its own: these tools then show the whole latency.
    end_ns = record.stamps.end - record.stamps.start if end_ns is None and record.stamps.end else end_ns
    seen = line.at_ns[line.output]
    return View(
        ok=record.status is Status.SUCCESS,
        start_s=(start_unix_ns(record) + zero_ns) / NS_PER_S,
        latency_s=None if end_ns is None else (end_ns - zero_ns) / NS_PER_S,
        ttft_s=(int(at_ns[0]) - zero_ns) / NS_PER_S if len(at_ns) else None,
        gaps_s=np.diff(at_ns) / NS_PER_S,
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        category=record.category,
        code=record.http_status,
        error=error_text(record) or "",
        text=record.text or "",
        request_id=record.request_id,
        stage=record.stage,
        reasoning_tokens=usage.reasoning_tokens if usage else None,
        ttfo_s=(int(seen[0]) - zero_ns) / NS_PER_S if len(seen) else None,
    )


def values(views: list[View], of: Callable[[View], float | int | None], scale: float = 1) -> list[float]:
    """One figure of every request that has it; these tools speak of successes only."""
    found = (of(view) for view in views if view.ok)
    return [value * scale for value in found if value is not None]


def span_s(views: list[View]) -> float:
    """First start to last end, of all requests; 0 when nothing ended."""
    ends = [view.start_s + view.latency_s for view in views if view.latency_s is not None]
    return max(ends) - min(view.start_s for view in views) if ends else 0.0
