"""Lines are counted (coverage.py) at twice the time: what is repeated a thousand times is counted a few times.

Counting goes on with the next test. Where nothing counts, none of this does anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import coverage

T = TypeVar("T")

_stopped: list[coverage.Coverage] = []


def stop_counting() -> None:
    """Count no more lines until this test ends: what follows runs none that it has not run."""
    counting = coverage.Coverage.current()
    if counting is not None and not _stopped:
        counting.stop()
        _stopped.append(counting)


def count_again() -> None:
    """Count lines again, where that was stopped."""
    while _stopped:
        _stopped.pop().start()


def counting_first(items: Iterable[T], first: int = 1) -> Iterator[T]:
    """Yield all of them; what is done with those after the first ones is not counted."""
    for number, item in enumerate(items):
        if number == first:
            stop_counting()
        yield item
