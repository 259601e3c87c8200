"""The highest load that keeps an SLO: which load to try next, and when enough is known. Pure; nothing is sent.

Loads are doubled until one fails, then the span between the last that passed and the first that failed
is halved. A try whose interval holds the limit decides nothing: it is repeated, and what was measured
at that load counts together, until it decides or the tries are used up; then the plain value does.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Verdict = Literal["kept", "broken", "undecided"]


class Try(msgspec.Struct, frozen=True):
    """One try: the load, and what came of it."""

    load: float
    verdict: Verdict  # "undecided" became one of the others when the tries at this load were used up
    counted_as: Literal["kept", "broken", "again"]


class Search:
    """Ask next_load(), measure, tell(); until next_load() is None."""

    def __init__(
        self, start: float, most: float, *, whole: bool = False, width: float = 0.05, repeats: int = 3
    ) -> None:
        """
        whole: loads are whole numbers (requests at a time).
        width: the span that is narrow enough, as a share of the load.
        repeats: tries of one load before the plain value decides.
        """
        self.kept: float | None = None
        self.broken: float | None = None
        self.tries: list[Try] = []
        self._most, self._whole, self._width, self._repeats = most, whole, width, repeats
        self._load: float | None = self._even(start)
        self._again = 0

    def next_load(self) -> float | None:
        """The load to try; None when the answer is known."""
        return self._load

    def tell(self, verdict: Verdict, *, plainly_kept: bool) -> None:
        """What the try of next_load() said; `plainly_kept` is the value without its interval."""
        load = self._load
        assert load is not None
        if verdict == "undecided":
            self._again += 1
            if self._again < self._repeats:
                self.tries.append(Try(load, verdict, "again"))
                return
        kept = plainly_kept if verdict == "undecided" else verdict == "kept"
        self.tries.append(Try(load, verdict, "kept" if kept else "broken"))
        self._again = 0
        if kept:
            self.kept = load
        else:
            self.broken = load
        self._load = self._next()

    def _next(self) -> float | None:
        if self.broken is None:
            assert self.kept is not None
            return None if self.kept >= self._most else self._even(min(self.kept * 2, self._most))
        if self.kept is None:
            lower = self._even(self.broken / 2)
            too_low = (self._whole and lower < 1) or lower < self._most * 1e-4 or lower == self.broken
            return None if too_low else lower
        narrow = self.broken - self.kept <= (1 if self._whole else self._width * self.kept)
        return None if narrow else self._even((self.kept + self.broken) / 2)

    def _even(self, load: float) -> float:
        return float(int(load)) if self._whole else load
