"""Assemble the tool calls of an answer from their fragments, and say when each of them came.

What the last event repeats of a call that is known is no fragment of it.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from lens.model import Events, ToolCall
from lens.providers.outcomes import CONTENT_BITS

_NO_CALL = ToolCall(name="")
NO_EVENTS = Events()  # of an answer that came whole


class ToolCalls:
    """The tool calls of one answer, each at its place, as far as they came."""

    def __init__(self) -> None:
        self.event: int | None = None  # number of the event that is being read; None: an answer that came whole
        self._calls: dict[Any, ToolCall] = {}
        self._newest: dict[Any, Any] = {}  # of several calls at one place
        self._events: dict[Any, tuple[int, int]] = {}  # the first and the last that brought something of a call

    def __len__(self) -> int:
        return len(self._calls)

    def put(self, place: Any, call: ToolCall) -> None:
        """Set the call at `place`, whatever came before."""
        if place not in self._calls:
            self._came(place)
        self._calls[place] = call

    def locate(self, place: Any, id_: str | None) -> Any:
        """Return where a fragment belongs that names `place` and perhaps an id.

        Servers give parallel calls one index, or none: then another id is another call, and what follows without an
        id belongs to the newest.
        """
        newest = self._newest.get(place, place)
        if id_ is None or self.get(newest).id in (None, id_):
            return newest
        same = [at for at in self._calls if at[: len(place)] == place and self._calls[at].id == id_]
        self._newest[place] = same[0] if same else (*place, len(self._calls))
        return self._newest[place]

    def get(self, place: Any) -> ToolCall:
        """Return the call at `place`, an empty one where none began."""
        return self._calls.get(place, _NO_CALL)

    def extend(self, place: Any, *, name: str = "", arguments: str = "", id_: str | None = None) -> None:
        """Append to the call at `place`; the first id stays."""
        before = self.get(place)
        self._calls[place] = ToolCall(
            name=before.name + name, arguments=before.arguments + arguments, id=before.id or id_ or None
        )
        self._came(place)

    def in_order(self, events: Events = NO_EVENTS) -> tuple[ToolCall, ...]:
        """Return the calls in the order of their places, with their times where `events` has them."""
        return tuple([self._timed(place, events) for place in sorted(self._calls)])

    def _came(self, place: Any) -> None:
        if self.event is not None:
            self._events[place] = self._events.get(place, (self.event, 0))[0], self.event

    def _timed(self, place: Any, events: Events) -> ToolCall:
        call = self._calls[place]
        first, last = self._events.get(place, (len(events), 0))
        return with_times(call, first, last, events)


def with_times(call: ToolCall, first: int, last: int, events: Events) -> ToolCall:
    """Return a call with the times of its first and last event, and of the silence before it."""
    if not first <= last < len(events):
        return call
    came = events.arrived_ns[first]
    earlier = range(first - 1, -1, -1)
    before = next((at for at in earlier if events.signals[at] & CONTENT_BITS and events.chars[at]), None)
    return replace(
        call,
        first_ns=came,
        last_ns=events.arrived_ns[last],
        silence_ns=came - events.arrived_ns[before] if before is not None else None,
    )
