"""Say on standard error which long step is under way, where a person looks on and it takes more than a moment."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from lens.cli.redraw import has_blocks

# Nothing is said of steps that are over by then.
PATIENCE_S = 1.0
# How often a share is written anew.
EVERY_S = 0.2
SPIN_S = 0.1
FRAMES, PLAIN_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\"


class Steps:
    """One line that is written over: what is being done, and how much of it is."""

    def __init__(self, *, live: bool) -> None:
        self._live = live
        self._began = self._last = time.monotonic()
        self._drawn = False

    def reading(self, share: float) -> None:
        """Say what share of the files is read, 0 to 1."""
        if share >= 1 or time.monotonic() - self._last >= EVERY_S:
            self._draw(f"reading {share:.0%}")

    def computing(self) -> None:
        """Say that the figures are being computed."""
        self._draw("computing the figures")

    def clear(self) -> None:
        """Wipe the line, so that something else can be written."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False

    def _draw(self, text: str) -> None:
        now = time.monotonic()
        if self._live and now - self._began >= PATIENCE_S:
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
            self._last, self._drawn = now, True


@contextmanager
def shown_steps() -> Iterator[Steps]:
    """Yield what is told of each long step; the line is wiped at the end."""
    steps = Steps(live=sys.stderr.isatty())
    try:
        yield steps
    finally:
        steps.clear()


class Spinner:
    """A line that moves while a long step is under way; drawn by a thread of its own, so that the step need not."""

    def __init__(self, *, live: bool) -> None:
        self._live = live
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, text: str) -> None:
        """Begin to say what is being done; a step that is over in a moment is not said."""
        if not self._live or self._thread is not None:
            return
        self._ended.clear()
        self._thread = threading.Thread(target=self._spin, args=(text,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Wipe the line."""
        if self._thread is None:
            return
        self._ended.set()
        self._thread.join()
        self._thread = None

    def _spin(self, text: str) -> None:
        frames = FRAMES if has_blocks() else PLAIN_FRAMES
        turn = 0
        while not self._ended.wait(SPIN_S):
            sys.stderr.write(f"\r\x1b[K{frames[turn % len(frames)]} {text}")
            sys.stderr.flush()
            turn += 1
        if turn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


@contextmanager
def shown_step(text: str) -> Iterator[None]:
    """Say what is being done while the block lasts, where a person looks on and it takes more than a moment."""
    spinner = Spinner(live=sys.stderr.isatty())
    spinner.start(text)
    try:
        yield
    finally:
        spinner.stop()
