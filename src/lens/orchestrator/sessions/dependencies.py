"""What a request waited for, told by when others ended; and which of its messages were sent and answered before.

Recorded requests say when they began and ended, not what they waited for. A request can only have waited for those
that had ended when it began; of these only the last count, for the others were waited for before.
"""

from __future__ import annotations

from collections.abc import Sequence

from lens.orchestrator.sessions.session import Message


def predecessors(starts: Sequence[int], ends: Sequence[int]) -> list[tuple[int, ...]]:
    """Return for each request those it waited for, of requests in the order of their starts.

    What had ended before one of these began is left out: that one waited for it.
    """
    found: list[tuple[int, ...]] = []
    for number, start in enumerate(starts):
        ended = [other for other in range(number) if ends[other] <= start]
        latest = max((starts[other] for other in ended), default=0)
        found.append(tuple([other for other in ended if ends[other] > latest or starts[other] == latest]))
    return found


def with_history(
    wholes: Sequence[tuple[Message, ...]], answers: Sequence[Message | None]
) -> list[tuple[tuple[int, ...], tuple[Message, ...]]]:
    """Return (history, new messages) of each request that was recorded with all that was said before.

    A request continues the latest one whose messages and answer it begins with; where there is none, it begins anew.
    """
    found: list[tuple[tuple[int, ...], tuple[Message, ...]]] = []
    for number, whole in enumerate(wholes):
        history: tuple[int, ...] = ()
        new = whole
        for other in range(number - 1, -1, -1):
            before, answer = wholes[other], answers[other]
            length = len(before) + 1
            if answer is None or len(whole) <= length or whole[length - 1] != answer:
                continue
            if whole[: length - 1] == before:
                history, new = (*found[other][0], other), whole[length:]
                break
        found.append((history, new))
    return found
