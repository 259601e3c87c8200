"""Show the progress of a run on standard error: one line that is written over, or a plain line now and then.

It is drawn inside the measuring loop, so it must cost little: a few sums, figures of the newest requests only, one
write, and no layout engine.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter, deque

from lens.model import Record, Status
from lens.orchestrator.run_state import RunState
from lens.run.result import RunResult
from lens.run.sink import Sink
from lens.units import NS_PER_MS, NS_PER_S

# The figures shown are those of the newest requests, so that a change is seen.
RECENT = 200
# Of the requests that ended since the last look, so many are looked at: about a millisecond.
NEWEST = 50
LIVE_EVERY_NS = 200 * NS_PER_MS
PLAIN_EVERY_NS = 5 * NS_PER_S
_BAR_CELLS = 24


class Progress(Sink):
    """Shows the progress of a run; `live` writes one line over, else lines follow."""

    def __init__(self, *, live: bool, duration_ns: int | None = None) -> None:
        self._live, self._duration_ns = live, duration_ns
        self._every_ns = LIVE_EVERY_NS if live else PLAIN_EVERY_NS
        self._next_ns = self._every_ns if not live else 0
        self._color = live and not os.environ.get("NO_COLOR")
        self._ttft_ms: deque[float] = deque(maxlen=RECENT)
        self._tpot_ms: deque[float] = deque(maxlen=RECENT)
        self._lag_us: deque[float] = deque(maxlen=RECENT)
        self._ended: deque[Record] = deque(maxlen=NEWEST)  # since the last look
        self._errors: Counter[str] = Counter()
        self._tokens = 0
        self._drawn = False

    def on_record(self, record: Record) -> None:
        """Take from one record what the line shows."""
        self._ended.append(record)
        if record.status is not Status.SUCCESS:
            self._errors[record.category] += 1
        elif record.usage and record.usage.output_tokens is not None:
            self._tokens += record.usage.output_tokens

    def _look(self) -> None:
        """Evaluate the requests that ended since the last look."""
        if not self._ended:
            return
        from lens.metrics.builder import table_of

        table = table_of(self._ended)
        self._ended.clear()
        for values, name in ((self._ttft_ms, "ttft_ms"), (self._tpot_ms, "tpot_ms"), (self._lag_us, "client_lag_us")):
            values.extend(value for value in table.counted(name).tolist() if value == value)

    def on_progress(self, state: RunState) -> None:
        """Draw the line when it is time."""
        elapsed_ns = state.elapsed_ns
        if elapsed_ns < self._next_ns:
            return
        self._next_ns = elapsed_ns + self._every_ns
        text = self.line(state, elapsed_ns)
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\x1b[K{self._colored(text[:width])}")
            self._drawn = True
        else:
            sys.stderr.write(f"lll: {text}\n")
        sys.stderr.flush()

    def line(self, state: RunState, elapsed_ns: int) -> str:
        """Return everything in one line, the most wanted first."""
        self._look()
        seconds = elapsed_ns / NS_PER_S
        share = self._share(state, elapsed_ns)
        total = f"/{state.total}" if state.total else ""
        parts = []
        if share is not None and self._live:
            full = int(share * _BAR_CELLS)
            parts.append("#" * full + "-" * (_BAR_CELLS - full))
        parts.append(f"{state.done}{total} done, {state.in_flight} open")
        left = seconds / share - seconds if share else None
        parts.append(f"{seconds:.0f} s" + (f", {left:.0f} s left" if left is not None else ""))
        if seconds and state.done:
            parts.append(f"{state.done / seconds:.1f} req/s")
        if self._ttft_ms:
            parts.append(f"TTFT p50 {_rank(self._ttft_ms, 50):.1f} p95 {_rank(self._ttft_ms, 95):.1f} ms")
        if self._tpot_ms:
            parts.append(f"ITL {_rank(self._tpot_ms, 50):.2f} ms")
        if self._tokens and seconds:
            parts.append(f"{self._tokens / seconds:.0f} tokens/s")
        if state.spent_nusd is not None:
            parts.append(f"${state.spent_nusd / 1e9:.4f}")
        if self._lag_us:
            parts.append(f"lag p95 {_rank(self._lag_us, 95):.0f} us")
        if state.failed:
            kinds = ", ".join(f"{count} {kind}" for kind, count in self._errors.most_common(3))
            parts.append(f"{state.failed} failed" + (f" ({kinds})" if kinds else ""))
        return "  ".join(parts)

    def _share(self, state: RunState, elapsed_ns: int) -> float | None:
        """How much is done, by number or by time; None where neither is known."""
        if state.total:
            return min(state.done / state.total, 1.0)
        return min(elapsed_ns / self._duration_ns, 1.0) if self._duration_ns else None

    def _colored(self, text: str) -> str:
        if not self._color:
            return text
        full = len(text) - len(text.lstrip("#"))
        shown = f"\x1b[32m{'━' * full}\x1b[0m{text[full:]}" if full else text
        words, mark, rest = shown.rpartition("  ")
        return f"{words}{mark}\x1b[31m{rest}\x1b[0m" if " failed" in rest else shown

    def on_end(self, result: RunResult) -> None:  # noqa: ARG002
        """Leave a clean line to what follows."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False


def _rank(values: deque[float], percent: int) -> float:
    """By nearest rank."""
    ordered = sorted(values)
    return ordered[max(-(-len(ordered) * percent // 100), 1) - 1]
