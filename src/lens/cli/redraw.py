"""A few lines at the bottom of a terminal that are written over, on standard error."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

BLOCKS, PLAIN_BLOCKS = " ▁▂▃▄▅▆▇█", " .:-=+*#@"


class Redrawn:
    """Knows how many lines are drawn, and so what to wipe."""

    def __init__(self) -> None:
        self.lines = 0

    def draw(self, lines: Sequence[str]) -> None:
        """Write the lines over those of the last time; as many as the terminal has room for."""
        lines = lines[: max(shutil.get_terminal_size().lines - 1, 1)]
        text = "\n".join(lines)
        sys.stderr.write(f"{self._back()}{text}")
        sys.stderr.flush()
        self.lines = len(lines)

    def clear(self) -> None:
        """Wipe the lines, so that something else can be written there."""
        if self.lines:
            sys.stderr.write(self._back())
            sys.stderr.flush()
            self.lines = 0

    def _back(self) -> str:
        """Return what leads to the first of the lines and wipes them."""
        up = f"\x1b[{self.lines - 1}A" if self.lines > 1 else ""
        return f"\r{up}\x1b[J"


def has_blocks() -> bool:
    """Whether standard error can show block characters."""
    return (getattr(sys.stderr, "encoding", "") or "").lower().startswith("utf")


def bars(values: Sequence[float], *, fine: bool) -> str:
    """Return a cell per value, its height from zero to the greatest of them; what is above zero is never blank."""
    levels, top = BLOCKS if fine else PLAIN_BLOCKS, max(values, default=0)
    most = len(levels) - 1
    return "".join([levels[min(int(-(-value * most // top)), most)] if top else levels[0] for value in values])
