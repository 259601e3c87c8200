"""What every page of text shares: the console, how a figure is written, how a bar is drawn.

Text of a server is cleaned before it is shown, so that no answer can steer the terminal.
Where the output cannot show block characters, plain ones are drawn. Rich is loaded where a page is printed on its
console, not before.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, TextIO

from lens.report.page import LEAST_TEXT, NAME_WIDTH, WIDEST, TextPage, fitting_width
from lens.secrets import one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = ["NAME_WIDTH", "WIDEST"]

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"
_PLAIN_LEVELS = ".:-=+*#@"


def console_for(out: TextIO | None = None, width: int | None = None) -> Console:
    """Return a console that honours NO_COLOR, and draws no colour into a file or a pipe."""
    from lens.report.console import CleanConsole

    out = out or sys.stdout
    console = CleanConsole(file=out, highlight=False, markup=False, emoji=False, soft_wrap=False, width=width)
    console.width = fitting_width(console.width)
    return console


def blocks(console: Console | TextPage) -> bool:
    """Return whether block characters can be shown."""
    return console.encoding.lower().replace("-", "").startswith("utf")


def clean(text: str, limit: int = 400) -> str:
    """Return the text masked, without control characters, on one line that is shortened to `limit` characters."""
    return one_line(text, limit)


def number(value: float | None) -> str:
    """Return a number with enough digits to tell values apart, no more: 0.083, 12.31, 342.7, 28471."""
    if value is None:
        return "-"
    size = abs(value)
    digits = 3 if size < 10 else 2 if size < 100 else 1 if size < 10_000 else 0
    return f"{value:.{digits}f}"


def number_or_blank(value: float | None) -> str:
    """Return a number as above; nothing where it is None."""
    return "" if value is None else number(value)


def time_ms(value: float | None) -> str:
    """Return a time in ms with its unit; "-" where it is None."""
    return "-" if value is None else f"{number(value)} ms"


def in_unit(value: float, unit: str) -> str:
    """Return a figure with the unit of its metric."""
    return number(value) + ("" if unit in ("count", "share") else f" {unit}")


def count(value: int | None) -> str:
    """Return a count with separators of thousands; "-" where it is None."""
    return "-" if value is None else f"{value:,}"


def dollars(value: Decimal | None) -> str:
    """Exact, without an exponent, and with no zeros that say nothing."""
    if value is None:
        return "-"
    shown = format(value, "f")
    whole, _, rest = shown.partition(".")
    rest = rest.rstrip("0")
    return f"${whole}.{rest.ljust(2, '0')}"


def bar(start: float, end: float, width: int, *, fine: bool) -> str:
    """Return a bar from start to end (shares of the width), to an eighth of a cell; never invisible, never wider.

    Stamps of a file need not make sense: shares below 0 or above 1 are drawn as those.
    """
    first = min(int(max(start, 0) * width), width - 1)
    cells = min(max(end * width - first, 0), width - first)
    if not fine:
        return " " * first + "#" * max(1, round(cells))
    whole = int(cells)
    part = _EIGHTHS[int((cells - whole) * 8)].strip()
    drawn = "█" * whole + part
    return " " * first + (drawn or "▏")


def sparkline(counts: Sequence[float], *, fine: bool) -> str:
    """Return one cell a value; nothing where nothing was, or less: stamps of a file need not make sense."""
    levels = _LEVELS if fine else _PLAIN_LEVELS
    top = max(counts, default=0)
    return "".join(" " if c <= 0 else levels[min(int(c / top * len(levels)), len(levels) - 1)] for c in counts)


def fact(console: Console, name: str, says: str | Text, *, style: str = "") -> None:
    """Print a named line, its text wrapped under itself and not under its name."""
    from rich.text import Text

    text = says if isinstance(says, Text) else Text(says, style=style)
    for i, part in enumerate(text.wrap(console, max(console.width - NAME_WIDTH - 2, LEAST_TEXT))):
        part.rstrip()
        line = Text.assemble((f"{'' if i else name:<{NAME_WIDTH}}  ", "dim"))
        line.append_text(part)
        console.print(line, no_wrap=True, overflow="ignore", crop=False)
