"""Assemble the tool calls of an answer from their fragments, and say when each of them came.

What the last event repeats of a call that is known is no fragment of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from msgspec.structs import replace

from lens.model import Events, ToolCall
from lens.providers.outcomes import CONTENT_BITS
from lens.providers.values import NOT_JSON, parse_json_or

_NO_CALL = ToolCall(name="")
NO_EVENTS = Events()  # of an answer that came whole


class _Pieces:
    """A call as far as it came; pieces are joined when they are read, so that many of them take no longer."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self, call: ToolCall = _NO_CALL) -> None:
        self.name, self.arguments, self.id = [call.name], [call.arguments], call.id

    def joined(self) -> ToolCall:
        """Return the call; its pieces are one piece then."""
        self.name, self.arguments = ["".join(self.name)], ["".join(self.arguments)]
        return ToolCall(name=self.name[0], arguments=self.arguments[0], id=self.id)


class ToolCalls:
    """The tool calls of one answer, each at its place, as far as they came."""

    def __init__(self) -> None:
        self.event: int | None = None  # number of the event that is being read; None: an answer that came whole
        self._calls: dict[Any, _Pieces] = {}
        self._newest: dict[Any, Any] = {}  # of several calls at one place
        self._with_id: dict[Any, Any] = {}  # a place and an id -> where that call is
        self._events: dict[Any, list[int]] = {}  # those that brought something of a call
        self._texts: set[Any] = set()  # places of calls whose arguments are a text of any kind, and no JSON

    def __len__(self) -> int:
        return len(self._calls)

    def put(self, place: Any, call: ToolCall) -> None:
        """Set the call at `place`, whatever came before; the same arguments once more are no fragment."""
        if place not in self._calls or call.arguments != self.get(place).arguments:
            self._came(place)
        self._calls[place] = _Pieces(call)

    def takes_text(self, place: Any) -> None:
        """Note that the arguments of the call at `place` are a text, which need not be JSON."""
        self._texts.add(place)

    def locate(self, place: Any, id_: str | None) -> Any:
        """Return where a fragment belongs that names `place` and perhaps an id.

        Servers give parallel calls one index, or none: then another id is another call, and what follows without an
        id belongs to the newest.
        """
        newest = self._newest.get(place, place)
        if id_ is None:
            return newest
        known = self._calls.get(newest)
        if known is not None and known.id not in (None, id_):
            newest = self._with_id.get((place, id_), (*_as_tuple(place), len(self._calls)))
            self._newest[place] = newest
        self._with_id[place, id_] = newest
        return newest

    def get(self, place: Any) -> ToolCall:
        """Return the call at `place`, an empty one where none began."""
        found = self._calls.get(place)
        return _NO_CALL if found is None else found.joined()

    def extend(self, place: Any, *, name: str = "", arguments: str = "", id_: str | None = None) -> None:
        """Append to the call at `place`; the first id stays. What is empty is no fragment of a call that began."""
        if name or arguments or place not in self._calls:
            self._came(place)
        call = self._calls.setdefault(place, _Pieces())
        call.name.append(name)
        call.arguments.append(arguments)
        call.id = call.id or id_ or None

    def take_fragment(self, fragment: tuple[Any, str] | None) -> bool:
        """Append a piece of arguments to the call at its place; return whether there is one, of a call that began."""
        if fragment is None or (place := self.locate(fragment[0], None)) not in self._calls:
            return False
        self.extend(place, arguments=fragment[1])
        return True

    def in_order(self, events: Events = NO_EVENTS) -> tuple[ToolCall, ...]:
        """Return the calls in the order of their places, with their times where `events` has them."""
        before: dict[int, int | None] = {}
        return tuple([self._timed(place, events, before) for place in sorted(self._calls, key=_as_tuple)])

    def _came(self, place: Any) -> None:
        if self.event is not None:
            came = self._events.setdefault(place, [])
            if not came or came[-1] != self.event:
                came.append(self.event)

    def _timed(self, place: Any, events: Events, before: dict[int, int | None]) -> ToolCall:
        call = self._calls[place].joined()
        if place not in self._texts:
            call = replace(call, valid=is_complete(call.arguments))
        return with_times(call, self._events.get(place, ()), events, before)


def _as_tuple(place: Any) -> tuple[Any, ...]:
    return place if isinstance(place, tuple) else (place,)


def is_complete(arguments: str) -> bool:
    """Return whether the text of arguments is one JSON value; a call without any is complete too."""
    return not arguments.strip() or parse_json_or(arguments.encode("utf-8", "surrogatepass"), NOT_JSON) is not NOT_JSON


def with_times(
    call: ToolCall, came_in: Sequence[int], events: Events, before: dict[int, int | None] | None = None
) -> ToolCall:
    """Return a call with its times. came_in: the numbers of the events that brought something of it, ascending.

    before: what was found before of the content events before others; calls of one event share it.
    """
    if not came_in or came_in[-1] >= len(events):
        return call
    at = [events.arrived_ns[number] for number in came_in]
    known = {} if before is None else before
    if came_in[0] not in known:
        known[came_in[0]] = _content_before(came_in[0], events)
    earlier = known[came_in[0]]
    return replace(
        call,
        first_ns=at[0],
        last_ns=at[-1],
        silence_ns=at[0] - events.arrived_ns[earlier] if earlier is not None else None,
        deltas=len(at),
        gap_ns=max([later - one for one, later in pairwise(at)], default=None),
    )


def _content_before(number: int, events: Events) -> int | None:
    """Return the number of the last content event before one; None where there is none."""
    earlier = range(number - 1, -1, -1)
    return next((at for at in earlier if events.signals[at] & CONTENT_BITS and events.chars[at]), None)
