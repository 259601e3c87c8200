"""The console of rich as every page with tables is printed on it: with text that cannot steer the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from lens.secrets import clean_piece


class CleanConsole(Console):
    """A console on which no text of a server can steer the terminal, or a runner that reads its log."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Yield what is written, clean; what moves the cursor is the console's own."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            lines = [clean_piece(line) for line in text.split("\n")] if control is None else []
            yield Segment("\n".join(lines), style) if control is None else segment

    def on_broken_pipe(self) -> None:
        """Raise the error that was caught: who reads has enough, which is no failure (rich would exit with 1)."""
        raise
