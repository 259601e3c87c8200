"""Tables of text in which no number is cut: columns are left out until the others fit, or the lines are wider.

A number that lacks its last digits is another number, and nobody sees it. Texts may be folded into several lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lens.report import terminal

GAP = 3  # cells between two columns
# A text that may be folded keeps so many cells, whatever the terminal.
LEAST_FOLDED = 8


class WholeTable:
    """Rows of cells; the columns that fit are shown, each as wide as its longest cell."""

    def __init__(self, columns: Sequence[str], *, left: Iterable[int] = (0,), folds: Mapping[int, int] | None = None):
        """
        left: positions of columns that are text. folds: of columns whose cells may be folded, and to how many
        cells before another column is left out.
        """
        self.columns, self.left, self.folds = tuple(columns), frozenset(left), dict(folds or {})
        self._rows: list[tuple[list[Text], str]] = []
        self._widths = [cell_len(name) for name in self.columns]

    def __len__(self) -> int:
        return len(self._rows)

    def add_row(self, *cells: str | Text, style: str = "") -> None:
        """Add a row: a cell for each column."""
        row = [cell if isinstance(cell, Text) else Text(cell) for cell in cells]
        self._rows.append((row, style))
        self._widths = [max(wide, cell_len(cell.plain)) for wide, cell in zip(self._widths, row, strict=True)]

    def least_width(self, shown: Sequence[int]) -> int:
        """Return how wide the table is with these columns and all texts folded."""
        least = [min(self._widths[place], self.folds.get(place, self._widths[place])) for place in shown]
        return sum(least) + GAP * (len(shown) - 1)

    def print(self, console: Console, choices: Iterable[Sequence[int]] = ()) -> list[str]:
        """Print the first choice of columns that fits, the last one where none does; return what it lacks of all.

        choices: positions of columns; where there are none, all columns.
        """
        tried = [list(shown) for shown in choices] or [list(range(len(self.columns)))]
        shown = next((one for one in tried if self.least_width(one) <= console.width), tried[-1])
        widths = self._folded(shown, console.width)
        total = max(sum(widths.values()) + GAP * (len(shown) - 1), 0)
        table = Table(
            box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False, header_style="bold", width=total
        )
        for place, wide in widths.items():
            folded = wide < self._widths[place]
            justify: Literal["left", "right"] = "left" if place in self.left else "right"
            table.add_column(
                Text(self.columns[place]), justify=justify, width=wide, no_wrap=not folded, overflow="fold"
            )  # fmt: skip
        for cells, style in self._rows:
            table.add_row(*[cells[place] for place in shown], style=style)
        console.print(table, crop=False)
        return [name for place, name in enumerate(self.columns) if place not in widths]

    def _folded(self, shown: Sequence[int], width: int) -> dict[int, int]:
        """Return how wide each column is; the widest of those that may be folded gives way first."""
        widths = {place: self._widths[place] for place in shown}
        excess = sum(widths.values()) + GAP * (len(shown) - 1) - width
        fits = self.least_width(shown) <= width
        while excess > 0:
            least = {place: self.folds[place] if fits else LEAST_FOLDED for place in shown if place in self.folds}
            wide = max([place for place in least if widths[place] > least[place]], key=widths.__getitem__, default=None)
            if wide is None:
                break
            widths[wide] -= 1
            excess -= 1
        return widths


def without(columns: Sequence[str], order: Sequence[str]) -> Iterator[list[int]]:
    """Yield positions of columns: of all, then of all but the first of `order`, and so on."""
    known = [name for name in order if name in columns]
    for many in range(len(known) + 1):
        yield [place for place, name in enumerate(columns) if name not in known[:many]]


def print_left_out(console: Console, names: Sequence[str], elsewhere: str = "the JSON output") -> None:
    """Print which columns had no room, and what has them."""
    if names:
        wider = console.width < terminal.WIDEST
        where = f"a wider terminal, or {elsewhere}," if wider else elsewhere
        terminal.fact(console, "not shown", f"{', '.join(names)}: {where} has them", style="dim")
