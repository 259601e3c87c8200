"""Show the progress of a run on standard error: a few lines that are written over, or a plain line now and then.

It is drawn inside the measuring loop, so it must cost little: a few sums, figures of the newest requests only, one
write, and no layout engine. What is shown is never cut: what does not fit a line goes to the next.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections import Counter, deque
from collections.abc import Sequence
from itertools import pairwise

from lens.cli.redraw import Redrawn, bars, has_blocks
from lens.cli.steps import Spinner
from lens.model import Record, Status
from lens.orchestrator.run_state import RunState
from lens.orchestrator.schedule import Stage
from lens.run.result import RunResult
from lens.run.sink import Sink
from lens.units import NS_PER_MS, NS_PER_S

# The figures shown are those of the newest requests and gaps, so that a change is seen.
RECENT = 200
RECENT_GAPS = 2000
# Of the requests that ended since the last look, so many are looked at: about a millisecond.
NEWEST = 50
LIVE_EVERY_NS = 200 * NS_PER_MS
PLAIN_EVERY_NS = 10 * NS_PER_S
# Connections are opened ahead within milliseconds; what takes longer than this is told.
OPENING_NS = NS_PER_S
STALLED_NS = 5 * NS_PER_S  # without an answer, while no more requests begin
MINUTE_S = 60  # that the sparkline shows, a cell a second
LEAST_BAR, MOST_BAR = 8, 40
KINDS = 3  # of failures that are named
GAP = "  "


class Progress(Sink):
    """Shows the progress of a run; `live` writes a few lines over, else lines follow."""

    def __init__(self, *, live: bool, duration_ns: int | None = None, timeout_ns: int = 0) -> None:
        """timeout_ns: of a request; 0 is none."""
        self._live, self._duration_ns, self._timeout_ns = live, duration_ns, timeout_ns
        self._every_ns = LIVE_EVERY_NS if live else PLAIN_EVERY_NS
        self._next_ns = self._every_ns if not live else 0
        self._seen_ns = 0
        self._stage: Stage | None = None
        self._done = 0
        self._stage_ns = self._done_ns = 0  # when the stage began, and when a request had last ended
        self._color = live and not os.environ.get("NO_COLOR")
        self._fine = has_blocks()
        self._ttft_ms: deque[float] = deque(maxlen=RECENT)
        self._itl_ms: deque[float] = deque(maxlen=RECENT_GAPS)
        self._lag_us: deque[float] = deque(maxlen=RECENT)
        self._ended: deque[Record] = deque(maxlen=NEWEST)  # since the last look
        self._errors: Counter[str] = Counter()
        self._tokens = 0
        self._done_by_second: dict[int, int] = {}
        self._told_opening = False
        self._drawn = Redrawn()
        self._spinner = Spinner(live=live)

    def on_record(self, record: Record) -> None:
        """Take from one record what is shown."""
        self._ended.append(record)
        if record.status is not Status.SUCCESS:
            self._errors[record.category] += 1
        elif record.usage and record.usage.output_tokens is not None:
            self._tokens += record.usage.output_tokens

    def on_progress(self, state: RunState) -> None:
        """Draw when it is time."""
        elapsed_ns = state.elapsed_ns
        if elapsed_ns < self._seen_ns:
            self._begin_again()
        self._seen_ns = elapsed_ns
        if state.opening:
            self._tell_opening(state.opening, elapsed_ns)
            return
        if state.stage is not self._stage:
            self._stage, self._stage_ns = state.stage, elapsed_ns
        if state.done != self._done:
            self._done, self._done_ns = state.done, elapsed_ns
        second = elapsed_ns // NS_PER_S
        self._done_by_second[second] = state.done
        self._done_by_second.pop(second - MINUTE_S - 1, None)
        if elapsed_ns < self._next_ns:
            return
        self._next_ns = elapsed_ns + self._every_ns
        if self._live:
            lines = self.view(state, elapsed_ns, shutil.get_terminal_size().columns - 1)
            self._drawn.draw([self._colored(line) for line in lines])
        else:
            sys.stderr.write(f"lll: {self.line(state, elapsed_ns)}\n")
            sys.stderr.flush()

    def _tell_opening(self, connections: int, elapsed_ns: int) -> None:
        """Say that connections are being opened ahead, where that takes long; once where lines follow."""
        if elapsed_ns < OPENING_NS:
            return
        says = f"opening {connections} connection{'s' if connections > 1 else ''} before the first request"
        if self._live:
            self._drawn.draw([f"{says}{GAP}{elapsed_ns // NS_PER_S} s"])
        elif not self._told_opening:
            self._told_opening = True
            sys.stderr.write(f"lll: {says}\n")
            sys.stderr.flush()

    def _begin_again(self) -> None:
        """Count from zero: a search for a load tries the next one, with a clock of its own."""
        self._next_ns = 0 if self._live else self._every_ns
        self._tokens = self._done = 0
        self._stage = None
        self._stage_ns = self._done_ns = 0
        self._errors.clear()
        self._done_by_second.clear()

    def line(self, state: RunState, elapsed_ns: int) -> str:
        """Return everything in one line, the most wanted first."""
        self._look()
        return GAP.join(
            [*self._counts(state, elapsed_ns), self._times(state, elapsed_ns), *self._figures(state, elapsed_ns)]
        )

    def view(self, state: RunState, elapsed_ns: int, width: int) -> list[str]:
        """Return the lines of the live view: counts and failures, latencies, the last minute, how far it is."""
        self._look()
        lines = [*_flow(self._counts(state, elapsed_ns), width), *_flow(self._figures(state, elapsed_ns), width)]
        lines += self._sparkline(elapsed_ns // NS_PER_S, width)
        times = self._times(state, elapsed_ns)
        share, room = self._share(state, elapsed_ns), min(width - len(times) - len(GAP), MOST_BAR)
        if share is None or room < LEAST_BAR:
            return [*lines, times]
        full = int(share * room)
        marks = "━╌" if self._fine else "#-"
        return [*lines, f"{marks[0] * full}{marks[1] * (room - full)}{GAP}{times}"]

    def _look(self) -> None:
        """Evaluate the requests that ended since the last look."""
        if not self._ended:
            return
        from lens.metrics.builder import table_of

        table = table_of(self._ended)
        self._ended.clear()
        for values, name in ((self._ttft_ms, "ttft_ms"), (self._lag_us, "client_lag_us")):
            values.extend(value for value in table.counted(name).tolist() if value == value)
        self._itl_ms.extend(table.pooled("itl_ms").values[-RECENT_GAPS:].tolist())

    def _counts(self, state: RunState, elapsed_ns: int) -> list[str]:
        """Return rate, open, done and failures."""
        total = f"/{state.total}" if state.total else ""
        rate = [f"{state.done * NS_PER_S / elapsed_ns:.1f} req/s"] if elapsed_ns and state.done else []
        failed = [self._failures(state)] if state.failed else []
        return [*rate, f"{state.in_flight} open", f"{state.done}{total} done", *failed]

    def _failures(self, state: RunState) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in self._errors.most_common(KINDS))
        return f"{state.failed} failed" + (f" ({kinds})" if kinds else "")

    def _times(self, state: RunState, elapsed_ns: int) -> str:
        seconds, share = elapsed_ns / NS_PER_S, self._share(state, elapsed_ns)
        if self._only_waits(state, elapsed_ns):
            most = f"at most {self._timeout_ns / NS_PER_S:g} s each" if self._timeout_ns else "without limit"
            answers = "answer" if state.in_flight == 1 else "answers"
            return f"{seconds:.0f} s, waiting for {state.in_flight} {answers} ({most}: --timeout)"
        return f"{seconds:.0f} s" + (f", {seconds / share - seconds:.0f} s left" if share else "")

    def _only_waits(self, state: RunState, elapsed_ns: int) -> bool:
        """Return whether all requests of the stage have begun and their answers are waited for."""
        if not state.in_flight:
            return False
        # Several workers have no stage in common.
        begun_ns, lasts_ns = (self._stage_ns, self._stage.duration_ns) if self._stage else (0, self._duration_ns)
        if lasts_ns and elapsed_ns - begun_ns >= lasts_ns:
            return True
        all_begun = state.total is not None and state.done + state.in_flight >= state.total
        return all_begun and elapsed_ns - self._done_ns >= STALLED_NS

    def _figures(self, state: RunState, elapsed_ns: int) -> list[str]:
        """Return tokens a second, latencies, spend and the lag of this client."""
        parts = []
        if self._tokens and elapsed_ns:
            parts.append(f"{self._tokens * NS_PER_S / elapsed_ns:.0f} tokens/s")
        for name, values, digits in (("TTFT", self._ttft_ms, 1), ("ITL", self._itl_ms, 2)):
            if values:
                p50, p95 = _rank(values, 50), _rank(values, 95)
                parts.append(f"{name} p50 {p50:.{digits}f} p95 {p95:.{digits}f} ms")
        if state.spent_nusd is not None:
            parts.append(f"${state.spent_nusd / 1e9:.4f}")
        if self._lag_us:
            parts.append(f"lag p95 {_rank(self._lag_us, 95):.0f} us")
        return parts

    def _sparkline(self, now_s: int, width: int) -> list[str]:
        """Return the requests of each of the last seconds as a line; none before there are a few."""
        says = f"req/s, last {MINUTE_S} s"
        seconds = min(now_s, MINUTE_S, width - len(says) - len(GAP))
        if seconds < 2:
            return []
        ends = [self._done_by(now_s - seconds + i) for i in range(seconds + 1)]
        counts = [late - early for early, late in pairwise(ends)]
        return [f"{bars(counts, fine=self._fine)}{GAP}{says}"]

    def _done_by(self, second: int) -> int:
        """Return how many requests had ended by the end of a second; of one without a look what the one before had."""
        while second >= 0 and second not in self._done_by_second:
            second -= 1
        return self._done_by_second.get(second, 0)

    def _share(self, state: RunState, elapsed_ns: int) -> float | None:
        """Return how much is done, by number or by time; None where neither is known."""
        if state.total:
            return min(state.done / state.total, 1.0)
        return min(elapsed_ns / self._duration_ns, 1.0) if self._duration_ns else None

    def _colored(self, text: str) -> str:
        if not self._color:
            return text
        full = len(text) - len(text.lstrip("━#"))
        if full:
            return f"\x1b[32m{text[:full]}\x1b[0m{text[full:]}"
        before, mark, after = text.partition(" failed")
        if not mark:
            return text
        words, space, count = before.rpartition(GAP)
        return f"{words}{space}\x1b[1;31m{count}{mark}{after}\x1b[0m"

    def on_end(self, result: RunResult) -> None:
        """Wipe what is drawn; what is computed until `close` is said beside a spinner."""
        if self._drawn.lines:
            self._drawn.clear()
            self._spinner.start(f"computing the figures of {len(result.listed):,} requests" if result else "computing")

    def close(self) -> None:
        """Leave a clean line to what follows."""
        self._drawn.clear()
        self._spinner.stop()


def _flow(parts: Sequence[str], width: int) -> list[str]:
    """Return the parts on lines of at most this width; one that is wider is broken at its blanks."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(GAP) + len(part) <= width:
            lines[-1] += f"{GAP}{part}"
        elif len(part) <= width or " " not in part:
            lines.append(part)
        else:
            head, _, tail = part.rpartition(" ")
            lines += [*_flow([head], width), *_flow([tail], width)]
    return lines


def _rank(values: deque[float], percent: int) -> float:
    """Return a percentile by nearest rank."""
    ordered = sorted(values)
    return ordered[max(-(-len(ordered) * percent // 100), 1) - 1]
