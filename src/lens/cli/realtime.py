"""`--real-time`: what happens, as a JSON line each, on standard output while the run goes on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import msgspec

from lens.metrics.definitions import measure
from lens.model import Record
from lens.units import NS_PER_S

if TYPE_CHECKING:
    from lens.orchestrator.engine import RunState

_FIGURES = ("ttfb_ms", "ttft_ms", "tpot_ms", "total_latency_ms", "tokens_per_second")
PROGRESS_EVERY_NS = NS_PER_S


class RealTime:
    """Writes events; a reader that goes away ends the writing, not the run."""

    def __init__(self) -> None:
        self._next_ns = PROGRESS_EVERY_NS
        self._gone = False

    def record(self, record: Record) -> None:
        """One request has ended."""
        figures = {name: measure(name, record) for name in _FIGURES}
        usage = record.usage
        self._say(
            "request",
            index=record.index,
            request_id=record.request_id,
            provider=record.provider,
            model=record.model,
            timestamp=record.timestamp,
            stage=record.stage,
            status=record.status.value,
            category=record.category,
            **figures,
            input_tokens=usage.input_tokens if usage else None,
            output_tokens=usage.output_tokens if usage else None,
            error=record.failure.message if record.failure else None,
        )

    def progress(self, state: RunState) -> None:
        """Called often; speaks once a second."""
        if state.elapsed_ns < self._next_ns:
            return
        self._next_ns = state.elapsed_ns + PROGRESS_EVERY_NS
        self._say(
            "progress",
            elapsed_s=round(state.elapsed_ns / NS_PER_S, 3),
            done=state.done,
            failed=state.failed,
            open=state.in_flight,
            total=state.total,
        )

    def _say(self, event: str, **fields: Any) -> None:
        if self._gone:
            return
        told = {"event": event, **{name: value for name, value in fields.items() if value is not None}}
        try:
            sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            self._gone = True
