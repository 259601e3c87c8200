"""Pictures of a run made of characters: where the time went, what happened when, how values are spread.

Every picture has its scale beside it, in the unit of the metric; where block characters cannot
be shown, plain ones are drawn, and a picture without values is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from lens.metrics.definitions import measure
from lens.metrics.summary import Distribution, Histogram
from lens.model import Record, Status
from lens.report import terminal
from lens.report.request import Phase, phases
from lens.report.time_series import arrivals, course_of, span_ns
from lens.units import NS_PER_S, ms

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Requests that a picture is drawn from; more are thinned evenly, for a page of text has no more detail.
MOST = 20_000
# Left of a picture: name, two numbers.
LEFT = 35


def print_phases(console: Console, records: Sequence[Record]) -> None:
    """The mean request, phase after phase, to scale; of those that succeeded."""
    good = [r for r in _thinned(records) if r.status is Status.SUCCESS]
    total_ns: dict[str, int] = {}
    count: dict[str, int] = {}
    style: dict[str, str] = {}
    for record in good:
        for phase in phases(record):
            total_ns[phase.name] = total_ns.get(phase.name, 0) + phase.end_ns - phase.start_ns
            count[phase.name] = count.get(phase.name, 0) + 1
            style[phase.name] = phase.style
    if not total_ns:
        return
    at, shown = 0.0, []
    for name in sorted(total_ns, key=_ORDER.index):
        mean = total_ns[name] / len(good)
        shown.append((Phase(name, round(at), round(at + mean), style[name]), count[name]))
        at += mean
    _print_bars(console, shown, at, len(good))


# As they happen; a run may have requests with and without any of them.
_ORDER = (
    "queue", "DNS", "TCP", "proxy", "TLS", "send", "wait", "first token", "thinking", "stream", "tail", "answer",
)  # fmt: skip


def _print_bars(console: Console, shown: Sequence[tuple[Phase, int]], span: float, requests: int) -> None:
    fine, width = terminal.blocks(console), max(console.width - LEFT, 10)
    console.print(Text(f"{'phase':<11}  {'mean ms':>9}  {'requests':>9}", style="dim"))
    for phase, count in shown:
        line = Text(f"{phase.name:<11}  {terminal.number(ms(phase.end_ns - phase.start_ns)):>9}")
        line.append(f"  {count if count < requests else 'all':>9}  ", style="dim")
        drawn = terminal.bar(phase.start_ns / max(span, 1), phase.end_ns / max(span, 1), width, fine=fine)
        line.append(drawn, style=phase.style)
        console.print(line, no_wrap=True, overflow="crop")
    console.print()


def print_course(console: Console, records: Sequence[Record]) -> None:
    """What happened when: TTFT, requests open, tokens, failures; a cell a slice of time."""
    drawn = _thinned(records)
    if len(drawn) < 2:
        return
    zero = min(r.stamps.start for r in drawn)
    span = span_ns(drawn, zero)
    # At least two requests for each cell, or the line would be mostly holes.
    width = max(min(console.width - LEFT - 5, len(drawn) // 2, 72), 8)
    step = -(-span // width)
    found = course_of(drawn, arrivals(drawn), zero_ns=zero, step_ns=step)
    share = len(records) / len(drawn)
    console.print(Text(f"{'over time':<11}  {'least':>9}  {'most':>9}", style="dim"))
    _print_line(console, "TTFT ms", _medians(drawn, "ttft_ms", zero, step, len(found.open)), "cyan")
    _print_line(console, "open", found.open * share, "blue")
    _print_line(console, "answers/s", found.requests * share, "green")
    if found.tokens.any():
        _print_line(console, "tokens/s", found.tokens * share, "green")
    if found.failed.any():
        _print_line(console, "failed", found.failed * share, "red")
    end = f"{terminal.number(span / NS_PER_S)} s"
    console.print(Text(f"{'':{LEFT}}0{end:>{max(len(found.open) - 1, len(end) + 1)}}", style="dim"), no_wrap=True)
    console.print()


def _medians(records: Sequence[Record], metric: str, zero: int, step: int, n: int) -> NDArray[Any]:
    """Of the requests that started in each slice; nan where none did."""
    import numpy as np

    values: list[list[float]] = [[] for _ in range(n)]
    for record in records:
        value = measure(metric, record)
        if value is not None:
            values[min((record.stamps.start - zero) // step, n - 1)].append(float(value))
    return np.array([np.median(v) if v else np.nan for v in values])


def _print_line(console: Console, name: str, values: NDArray[Any], style: str) -> None:
    """One line: name, least, most, a cell a slice. The scale begins at zero, so that heights can be compared."""
    import numpy as np

    known = values[~np.isnan(values)]
    if not len(known):
        return
    line = Text(f"{name:<11}  ")
    line.append(f"{_short(float(known.min())):>9}", style="dim")
    line.append(f"  {_short(float(known.max())):>9}  ")
    cells = np.nan_to_num(values).tolist()
    line.append(terminal.sparkline(cells, fine=terminal.blocks(console)), style=style)
    console.print(line, no_wrap=True, overflow="crop")


def _short(value: float) -> str:
    """A number of few digits; a whole one without a point."""
    return f"{value:.0f}" if value == round(value) else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def print_histogram(console: Console, name: str, found: Distribution | None) -> None:
    """A line a bin; the last holds what lies beyond the axis."""
    if found is None or found.histogram is None:
        return
    console.print(Text(f"{name}, {found.unit}", style="bold"))
    fine, histogram = terminal.blocks(console), found.histogram
    width = max(min(console.width - 32, 60), 10)
    top = max(histogram.counts)
    for i, count in enumerate(histogram.counts):
        line = Text(f"{_bin(histogram, i, found.max):>19}", style="dim")
        if count:
            line.append(f" {terminal.bar(0, count / top, width, fine=fine)}", style="green not dim")
            line.append(f" {count:,}")
        console.print(line, no_wrap=True, overflow="crop")
    console.print()


def _bin(histogram: Histogram, i: int, greatest: float) -> str:
    edges = histogram.edges
    last = i == len(histogram.counts) - 1
    return f"{terminal.number(edges[i])} - {terminal.number(greatest if last else edges[i + 1])}"


def _thinned(records: Sequence[Record]) -> Sequence[Record]:
    measured = [r for r in records if not r.warmup]
    return measured if len(measured) <= MOST else measured[:: -(-len(measured) // MOST)]
