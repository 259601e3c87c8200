"""The columns of a table that say which turn of which session each request is, and what it waited for.

Of requests that belong to none they take as few bytes as there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lens.arrays.dispatch import np
from lens.metrics.columns import Column

NO_TURN = -1
_NAN = float("nan")
_NAMES = ("turn", "turns", "think", "tool", "session_planned")
_NONE = (NO_TURN, 0, 0, 0, _NAN)


def session_ids(records: Sequence[Any]) -> list[str | None]:
    """Return the id of each request's session, None where it belongs to none."""
    return [None if one.session is None else one.session.session_id for one in records]


def session_columns(records: Sequence[Any], array: Callable[..., Any]) -> dict[str, Column]:
    """Return the columns of turns by their names: numbers of one value a request, and of the turns it waited for.

    turn: NO_TURN where there is none; think, tool: ns before it; session_planned: when its session was to start, and
    first_start: when its first attempt did, as ns after Stamps.start, NaN where absent.
    """
    n, sessions, tries = len(records), [one.session for one in records], [one.tries for one in records]
    some, tried = sessions.count(None) < n, tries.count(()) < n
    columns = zip(*map(_turn, records), strict=True) if some else [(value,) * n for value in _NONE]
    whole, real = (np.int64, np.float64) if some else (np.int8, np.float32)
    found: dict[str, Column] = {
        name: array(column, dtype=real if name == "session_planned" else whole)
        for name, column in zip(_NAMES, columns, strict=True)
    }
    first = [_NAN] * n
    if tried:
        first = [float(one.tries[0].start_ns - one.stamps.start) if one.tries else _NAN for one in records]
    after = [() if one is None else one.after for one in sessions] if some else [()] * n
    return {
        **found,
        "first_start": array(first, dtype=np.float64 if tried else np.float32),
        "after.sizes": array([*map(len, after)], dtype=np.int32),
        "after.turn": array([turn for turns in after for turn in turns], dtype=np.int32),
    }


def _turn(record: Any) -> tuple[Any, ...]:
    one = record.session
    if one is None:
        return _NONE
    planned = _NAN if one.planned_ns is None else float(one.planned_ns - record.stamps.start)
    return one.turn, one.turns, one.think_ns, one.tool_ns, planned
