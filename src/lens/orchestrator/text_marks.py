"""When the text of an answer had come so far: its first sentence, its first line, its first block of code.

The core counts the characters of each event, so the event that brought a character is known by its place in the text.
Where the counts do not add up to the text, nothing is said.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from lens.model import Events, Signal, TextMarks
from lens.patterns import lazy_pattern

# The end of a sentence: its mark, and what closes quotes and brackets; behind it white space, or the end. Runs of
# marks are taken whole, so that no text makes this slow.
_SENTENCE = lazy_pattern(r"""(?<![.!?…])(?:[.!?…]++["')\]»”’]*+(?=\s|\Z)|[。！？][」』”’]*+)""")
_LINE = lazy_pattern(r"\S[^\n]*")
_FENCE = lazy_pattern(r" {0,3}(`{3,}|~{3,})")
_TEXT = int(Signal.TEXT)


class TextTimes:
    """When each character of a text came."""

    def __init__(self, text: str, events: Events) -> None:
        pieces = [
            (chars, at)
            for chars, at, signals in zip(events.chars, events.arrived_ns, events.signals, strict=True)
            if chars and signals & _TEXT
        ]
        self._ends = list(accumulate(chars for chars, _ in pieces))
        self._at = [at for _, at in pieces]
        self.known = bool(pieces) and self._ends[-1] == len(text)

    def at(self, end: int) -> int | None:
        """Return when the first `end` characters had come, ns after the start; None where that is not known."""
        return self._at[bisect_left(self._ends, end)] if self.known and 0 < end <= self._ends[-1] else None


def text_marks(text: str, events: Events) -> TextMarks | None:
    """Return when the first sentence, line and block of code of a text were whole; None where that is not known."""
    times = TextTimes(text, events)
    if not times.known or not text.strip():
        return None
    return TextMarks(
        sentence_ns=times.at(sentence_end(text)),
        line_ns=times.at(line_end(text)),
        code_block_ns=times.at(end) if (end := code_block_end(text)) is not None else None,
    )


def sentence_end(text: str) -> int:
    """Return where the first sentence of a text ends: behind its mark, else behind the text.

    A mark with no letter before it ends none ("1.", "...").
    """
    letter = next((place for place, char in enumerate(text) if char.isalpha()), len(text))
    found = _SENTENCE.search(text, letter)
    return found.end() if found else len(text.rstrip())


def line_end(text: str) -> int:
    """Return where the first line that is not blank ends, with its line end where it has one."""
    found = _LINE.search(text)
    return min(found.end() + 1, len(text)) if found else len(text)


def code_block_end(text: str) -> int | None:
    """Return where the first block between fences ends (CommonMark 0.31, section 4.5); None where none is closed."""
    fence = ""
    for start, line in _lines(text):
        found = _FENCE.match(line)
        if found is None:
            continue
        if not fence:
            fence = found[1]
        elif found[1].startswith(fence) and not line[found.end() :].strip():
            return start + len(line)
    return None


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line without its end, and where it begins."""
    start = 0
    while start <= len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield start, text[start:end]
        start = end + 1
