"""A page of text without tables: lines of styled pieces, wrapped at words, as wide as the terminal.

Drawn without rich, whose import takes longer than most of what the page of one request tells. Widths, wrapping,
colours and the variables that rule them are those of rich, so that all pages look alike.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TextIO

from lens.secrets import clean_piece

NAME_WIDTH = 11  # of the names at the left
NARROWEST, USUAL_WIDTH = 20, 80
WIDEST = 120  # columns; wider lines are harder to read, not richer
LEAST_TEXT = 20  # columns beside a name
# Select Graphic Rendition, ECMA-48, section 8.3.117; the bright colours are aixterm's.
_COLORS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_CODES = {
    "bold": "1",
    "dim": "2",
    "italic": "3",
    **{name: str(30 + number) for number, name in enumerate(_COLORS)},
    **{f"bright_{name}": str(90 + number) for number, name in enumerate(_COLORS)},
}
_ATTRIBUTES = ("bold", "dim", "italic")
# Below this, and among block characters and lines, each character takes one cell.
_FIRST_WIDE = "\u0300"
_DRAWN = ("\u2500", "\u259f")


class Line:
    """A line of text in pieces, each with its style: "", "dim", "bold red"."""

    def __init__(self, text: str = "", style: str = "") -> None:
        self.pieces = [(text, style)] if text else []

    def append(self, text: str, style: str = "") -> None:
        """Add a piece at the end."""
        if text:
            self.pieces.append((text, style))

    def __bool__(self) -> bool:
        return bool(self.pieces)

    @property
    def plain(self) -> str:
        """The text without its styles."""
        return "".join([text for text, _ in self.pieces])

    def part(self, start: int, end: int) -> Line:
        """Return the characters from `start` to `end`, with their styles."""
        found, at = Line(), 0
        for text, style in self.pieces:
            found.append(text[max(start - at, 0) : max(end - at, 0)], style)
            at += len(text)
        return found


class TextPage:
    """Where a page is printed: how wide it is, and whether styles are shown."""

    def __init__(self, out: TextIO | None = None, width: int | None = None) -> None:
        """
        out: standard output, where None.
        width: in columns; that of the terminal, where None.
        """
        self.out = out or sys.stdout
        is_terminal = _is_terminal(self.out, os.environ)
        is_dumb = is_terminal and os.environ.get("TERM", "").lower() in ("dumb", "unknown")
        self.styled = is_terminal and not is_dumb
        self.colored = os.environ.get("NO_COLOR", "") == ""
        self.width = fitting_width(width if width is not None else USUAL_WIDTH if is_dumb else _terminal_width())

    @property
    def encoding(self) -> str:
        """The encoding of what is printed."""
        return (getattr(self.out, "encoding", None) or "utf-8").lower()

    def print(self, line: Line | None = None, *, wrap: bool = True) -> None:
        """Print a line; what does not fit goes into the next, or without `wrap` makes the line wider than the page."""
        line = line or Line()
        if wrap:
            for start, end in wrapped(line.plain, self.width):
                self._write(line.part(start, end))
        else:
            self._write(line)

    def fact(self, name: str, says: str | Line, *, style: str = "") -> None:
        """Print a named line, its text wrapped under itself and not under its name."""
        text = says if isinstance(says, Line) else Line(says, style)
        plain = text.plain
        for number, (start, end) in enumerate(wrapped(plain, max(self.width - NAME_WIDTH - 2, LEAST_TEXT))):
            line = Line(f"{'' if number else name:<{NAME_WIDTH}}  ", "dim")
            line.pieces += text.part(start, start + len(plain[start:end].rstrip())).pieces
            self.print(line, wrap=False)

    def flush(self) -> None:
        """Hand what was printed to the system."""
        self.out.flush()

    def _write(self, line: Line) -> None:
        shown = "".join([self._styled(clean_piece(text), style) for text, style in line.pieces]) + "\n"
        if sys.platform == "win32":  # consoles there may not obey the codes; click sees to that
            import click

            click.echo(shown, file=self.out, nl=False, color=self.styled)
        else:
            self.out.write(shown)

    def _styled(self, text: str, style: str) -> str:
        if not (self.styled and style):
            return text
        words = [word for word in style.split() if self.colored or word in _ATTRIBUTES]
        return f"\x1b[{';'.join([_CODES[word] for word in words])}m{text}\x1b[0m" if words else text


def fitting_width(width: int) -> int:
    """Return how wide a page is in a terminal of this width; USUAL_WIDTH where that is not known."""
    return min(width if width >= NARROWEST else USUAL_WIDTH, WIDEST)


def wrapped(text: str, width: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of each row of a text that is wrapped at words; a word longer than a row is cut.

    Blanks at the end of a row that no longer fit are left out.
    """
    at = 0
    for line in text.split("\n"):
        places = [0, *_breaks(line, width), len(line)]
        for start, end in pairwise(places):
            row = line[start:end]
            extra = max(cells(row) - width, 0)
            end -= min(extra, len(row) - len(row.rstrip()))
            yield at + start, at + end
        at += len(line) + 1


def _breaks(line: str, width: int) -> Iterator[int]:
    """Yield the places at which a new row begins."""
    used = 0
    for found in re.finditer(r"\s*\S+\s*", line):
        word, start = found[0], found.start()
        size = cells(word.rstrip())
        if size <= width - used:
            used += cells(word)
        elif size > width:
            while word:
                if start:
                    yield start
                fits = max(fitting(word, width), 1)
                used, start, word = cells(word[:fits]), start + fits, word[fits:]
        elif used and start:
            yield start
            used = cells(word)


def cells(text: str) -> int:
    """Return how many columns of a terminal the text takes."""
    if _is_narrow(text):
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def fitting(text: str, width: int) -> int:
    """Return how many characters of the text fit into `width` columns."""
    if _is_narrow(text):
        return min(len(text), width)
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if cells(text[:middle]) <= width else (low, middle - 1)
    return low


def _is_narrow(text: str) -> bool:
    return text.isascii() or all(c < _FIRST_WIDE or _DRAWN[0] <= c <= _DRAWN[1] for c in text)


def _is_terminal(out: TextIO, environ: Mapping[str, str]) -> bool:
    """Return whether `out` obeys escape sequences; a user may say so.

    FORCE_COLOR is described at https://force-color.org, TTY_COMPATIBLE in rich's documentation of its console.
    """
    said = environ.get("TTY_COMPATIBLE", "")
    if said in ("0", "1"):
        return said == "1"
    forced = environ.get("FORCE_COLOR")
    if forced is not None:
        return forced != ""
    try:
        return out.isatty()
    except ValueError:  # it is closed
        return False


def _terminal_width() -> int:
    """Return the width of the terminal that this process has, or what COLUMNS says; USUAL_WIDTH where neither does."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdigit():
        return int(columns)
    for number in (0, 1, 2):
        try:
            return os.get_terminal_size(number).columns or USUAL_WIDTH
        except (OSError, ValueError):
            continue
    return USUAL_WIDTH
