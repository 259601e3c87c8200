"""One request as another load tool would have seen it: its zero, its first token, its end.

Only what those tools' result files are made of; the definitions are those of metrics/dialects.py, so
that a figure in such a file, in `--definitions` and in the tool's own file can be laid side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from lens.export.wallclock import start_unix_ns
from lens.metrics.rows import error_text
from lens.metrics.timeline import timeline
from lens.metrics.tool_definitions import Dialect
from lens.model import Record, Status
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


def view_of(record: Record, tool: Dialect) -> View:
    """The request by the tool's definitions."""
    line, usage, seen = timeline(record), record.usage, tool.look(record)
    # A body in one piece has no token of its own: such a tool then shows the whole latency.
    end_ns = record.stamps.end - record.stamps.start if seen.end is None and record.stamps.end else seen.end
    visible = line.at_ns[line.output]
    return View(
        ok=record.status is Status.SUCCESS,
        start_s=(start_unix_ns(record) + seen.zero) / NS_PER_S,
        latency_s=None if end_ns is None else (end_ns - seen.zero) / NS_PER_S,
        ttft_s=None if seen.first is None else (seen.first - seen.zero) / NS_PER_S,
        gaps_s=seen.gaps / NS_PER_S,
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=seen.tokens,
        category=record.category,
        code=record.http_status,
        error=error_text(record) or "",
        text=record.text or "",
        request_id=record.request_id,
        stage=record.stage,
        reasoning_tokens=usage.reasoning_tokens if usage else None,
        ttfo_s=(int(visible[0]) - seen.zero) / NS_PER_S if len(visible) else None,
    )


def values(views: list[View], of: Callable[[View], float | int | None], scale: float = 1) -> list[float]:
    """One figure of every request that has it; these tools speak of successes only."""
    found = (of(view) for view in views if view.ok)
    return [value * scale for value in found if value is not None]


def span_s(views: list[View]) -> float:
    """First start to last end, of all requests; 0 when nothing ended."""
    ends = [view.start_s + view.latency_s for view in views if view.latency_s is not None]
    return max(ends) - min(view.start_s for view in views) if ends else 0.0
