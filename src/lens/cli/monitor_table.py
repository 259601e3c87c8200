"""The live table of `lll monitor` on a terminal: a row per target, what is wrong, and when the next round is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import trio

from lens.cli.redraw import Redrawn, bars, has_blocks
from lens.secrets import one_line

if TYPE_CHECKING:
    from lens.monitor.daemon import Monitor
    from lens.monitor.watch import Watch

EVERY_S = 1.0
MOST_NAME, LEAST_NAME = 30, 10
MOST_CELLS = 40
# Title, width, and the width of the terminal from which on a column is shown.
COLUMNS = (
    ("failed", 7, 0), ("probes", 7, 60), ("TTFT ms", 9, 0), ("p50", 8, 60), ("p95", 8, 44), ("tokens/s", 9, 76),
)  # fmt: skip


class Row(NamedTuple):
    """What is known of a target."""

    name: str
    probes: int
    failed: int
    ttft_ms: tuple[float, ...]  # of the last probes that succeeded
    tokens_per_s: tuple[float, ...]
    firing: tuple[str, ...]


class MonitorTable:
    """Draws the table anew each second; `write` puts a line above it."""

    def __init__(self, monitor: Monitor, address: str = "") -> None:
        self._monitor, self._address = monitor, address
        self._drawn, self._fine = Redrawn(), has_blocks()
        self._color = not os.environ.get("NO_COLOR")

    async def run(self) -> None:
        """Draw until cancelled."""
        try:
            while True:
                self.draw()
                await trio.sleep(EVERY_S)
        finally:
            self._drawn.clear()

    def draw(self) -> None:
        """Draw the table as it is now."""
        rows = [_row(watch) for watch in self._monitor.watches.values()]
        width = shutil.get_terminal_size().columns - 1
        lines = table_lines(rows, width, fine=self._fine)
        shown = [f"\x1b[1;31m{line}\x1b[0m" if self._color and wrong else line for line, wrong in lines]
        self._drawn.draw([*shown, self._footer(width)])

    def clear(self) -> None:
        """Wipe the table, so that a line can be written above it."""
        self._drawn.clear()

    def _footer(self, width: int) -> str:
        wait_s = self._monitor.next_round_s
        when = "asking" if wait_s is None else f"next in {wait_s:.0f} s"
        late = f"  {self._monitor.late} late" if self._monitor.late else ""
        says = f"round {self._monitor.rounds}, {when}{late}"
        whole = f"{says}  {self._address}".rstrip()
        return whole if len(whole) <= width else says


def _row(watch: Watch) -> Row:
    alerts = tuple([one_line(alert.says, 200) for alert in watch.firing])
    return Row(
        one_line(watch.who.target), watch.requests, watch.failures, watch.values("ttft_ms"),
        watch.values("tokens_per_second"), alerts,
    )  # fmt: skip


def table_lines(rows: Sequence[Row], width: int, *, fine: bool) -> list[tuple[str, bool]]:
    """Return the lines, each with whether something is wrong; none before the first probe has ended."""
    if not rows:
        return []
    figures = [_figures(row) for row in rows]
    columns = _columns(figures, width)
    room = width - sum(wide for _, wide in columns)
    name = min(max(LEAST_NAME, *[len(row.name) for row in rows]), MOST_NAME, max(room, LEAST_NAME))
    cells = min(room - name - 2, MOST_CELLS)
    head = f"{'target':<{name}}" + "".join([f"{title:>{wide}}" for title, wide in columns])
    lines = [(head + ("  last ones" if cells >= 9 else ""), False)]
    for row, known in zip(rows, figures, strict=True):
        text = f"{row.name[:name]:<{name}}" + "".join([f"{known[title]:>{wide}}" for title, wide in columns])
        drawn = f"  {bars(row.ttft_ms[-cells:], fine=fine)}" if cells > 0 else ""
        lines.append(((text + drawn).rstrip(), bool(row.firing)))
        lines += [(f"  {says}"[:width], True) for says in row.firing]
    return lines


def _columns(figures: Sequence[dict[str, str]], width: int) -> list[tuple[str, int]]:
    """Return title and width of the columns that fit; each has a blank before its widest number."""
    wanted = [
        (title, max(wide, *[len(known[title]) + 1 for known in figures]), least)
        for title, wide, least in COLUMNS
        if width >= least - 1
    ]
    for least in sorted({least for *_, least in wanted if least}, reverse=True):
        if LEAST_NAME + sum(wide for _, wide, _ in wanted) > width:
            wanted = [one for one in wanted if one[2] < least]
    return [(title, wide) for title, wide, _ in wanted]


def _figures(row: Row) -> dict[str, str]:
    ordered = sorted(row.ttft_ms)

    def rank(percent: int) -> str:
        return f"{ordered[max(-(-len(ordered) * percent // 100), 1) - 1]:.1f}" if ordered else "-"

    return {
        "failed": f"{row.failed:,}",
        "probes": f"{row.probes:,}",
        "TTFT ms": f"{row.ttft_ms[-1]:.1f}" if ordered else "-",
        "p50": rank(50),
        "p95": rank(95),
        "tokens/s": f"{row.tokens_per_s[-1]:.1f}" if row.tokens_per_s else "-",
    }
