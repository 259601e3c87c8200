"""Write events of a run as JSON Lines to standard output while it goes on (`output.real_time`)."""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from lens.metrics.builder import table_of
from lens.metrics.definitions import METRICS
from lens.metrics.rows import values_of
from lens.model import Record
from lens.orchestrator.run_state import RunState
from lens.run.result import RunResult
from lens.run.sink import Sink
from lens.secrets import clean_json
from lens.units import NS_PER_S

_FIGURES = ("ttfb_ms", "ttft_ms", "tpot_ms", "total_latency_ms", "tokens_per_second")
PROGRESS_EVERY_NS = NS_PER_S


class RealTime(Sink):
    """Writes a line a request and a line a second; a reader that goes away ends the writing, not the run.

    Requests that have ended since the last look at the progress are written together, so that measuring is not slowed.
    """

    def __init__(self) -> None:
        self._ended: list[Record] = []
        self._next_ns = PROGRESS_EVERY_NS
        self._gone = False

    def on_record(self, record: Record) -> None:
        """Take a request that has ended; it is written soon."""
        self._ended.append(record)

    def on_end(self, result: RunResult) -> None:  # noqa: ARG002 - the lines are all there is
        """Write what ended since the last look."""
        self._write_requests()

    def _write_requests(self) -> None:
        ended, self._ended = self._ended, []
        if not ended:
            return
        table = table_of(ended)
        columns = [values_of(table, METRICS[name]) for name in _FIGURES]
        for record, *figures in zip(ended, *columns, strict=True):
            self._write_request(record, dict(zip(_FIGURES, figures, strict=True)))

    def _write_request(self, record: Record, figures: dict[str, Any]) -> None:
        usage = record.usage
        self._write(
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

    def on_progress(self, state: RunState) -> None:
        """Write the requests that have ended, and once a second the progress."""
        self._write_requests()
        if state.elapsed_ns < self._next_ns:
            return
        self._next_ns = state.elapsed_ns + PROGRESS_EVERY_NS
        self._write(
            "progress",
            elapsed_s=round(state.elapsed_ns / NS_PER_S, 3),
            done=state.done,
            failed=state.failed,
            open=state.in_flight,
            total=state.total,
        )

    def _write(self, event: str, **fields: Any) -> None:
        if self._gone:
            return
        line = {"event": event, **{name: value for name, value in fields.items() if value is not None}}
        try:
            sys.stdout.buffer.write(clean_json(msgspec.json.encode(line).decode()).encode() + b"\n")
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            self._gone = True
