"""Assemble Gemini's function calls: whole ones, and those whose arguments come piece by piece (partialArgs).

A piece names its place in the arguments by a JSON path (RFC 9535: "$.place.names[0]"); its string is
appended to what stood there. A path that leads nowhere changes nothing.

Source: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import msgspec

from lens.model import Events, ToolCall
from lens.providers.tool_calls import NO_EVENTS, with_times
from lens.providers.values import as_dict, as_list, as_name, as_str, json_text

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d{1,9})\]|\['((?:[^'\\]|\\.)*)'\]|\[\"((?:[^\"\\]|\\.)*)\"\]")
_PATH = re.compile(rf"\$(?:{_STEP.pattern})+")
_ESCAPED = re.compile(r"\\(.)")
# Deeper arguments are not assembled: nobody's function takes them.
MAX_STEPS = 64


class _PartialCall(msgspec.Struct):
    """A call as far as it came."""

    name: str
    id: str | None
    arguments: dict[str, Any]
    will_continue: bool
    came_in: list[int]  # numbers of the events that brought something of it
    texts: list[tuple[Any, str | int]]  # where strings stand that came in pieces


class _Text:
    """A string as far as it came, in pieces."""

    def __init__(self, begun: str = "") -> None:
        self.pieces = [begun]


class FunctionCalls:
    """The calls of one answer, in the order in which they began."""

    def __init__(self) -> None:
        self._calls: list[_PartialCall] = []
        self._open: dict[int, _PartialCall] = {}  # those that go on, by their numbers
        self._open_ids: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._calls)

    def take(self, part: dict[str, Any], event: int | None = None) -> None:
        """Take one functionCall, of the event of this number: a new call, or more of one that goes on."""
        number = self._continued_by(part)
        if number is None:
            number = len(self._calls)
            call = _PartialCall(
                as_str(part.get("name")), as_name(part.get("id")), {}, will_continue=True, came_in=[], texts=[]
            )
            self._calls.append(call)
            self._open[number] = call
            if call.id is not None:
                self._open_ids[call.id] = number
        call = self._calls[number]
        if event is not None and call.came_in[-1:] != [event]:
            call.came_in.append(event)
        call.arguments |= as_dict(part.get("args"))
        for piece in as_list(part.get("partialArgs")):
            _put(call, as_dict(piece))
        call.will_continue = part.get("willContinue") is True
        if not call.will_continue:
            self._open.pop(number, None)
            if call.id is not None and self._open_ids.get(call.id) == number:
                del self._open_ids[call.id]

    def _continued_by(self, part: dict[str, Any]) -> int | None:
        """Return which call `part` continues: that of its id, or without name and id the last that goes on."""
        id_, name = as_name(part.get("id")), as_name(part.get("name"))
        if id_:
            return self._open_ids.get(id_)
        return next(reversed(self._open), None) if name is None else None

    def in_order(self, events: Events = NO_EVENTS) -> tuple[ToolCall, ...]:
        """Return the calls as far as they came, with their times where `events` has them."""
        before: dict[int, int | None] = {}
        return tuple(
            [
                with_times(
                    ToolCall(
                        name=call.name,
                        arguments=json_text(_joined_arguments(call)),
                        id=call.id,
                        valid=not call.will_continue,
                    ),
                    call.came_in,
                    events,
                    before,
                )
                for call in self._calls
            ]
        )


def parse_path(path: Any) -> list[str | int] | None:
    """Return the keys and indexes of a JSON path that names one value, or None where it is no such path."""
    if not isinstance(path, str) or not _PATH.fullmatch(path):
        return None
    steps: list[str | int] = []
    for plain, index, single, double in _STEP.findall(path):
        steps.append(int(index) if index else plain or _ESCAPED.sub(r"\1", single or double))
    return steps if len(steps) <= MAX_STEPS else None


def _joined_arguments(call: _PartialCall) -> dict[str, Any]:
    """Return the arguments of a call with their strings put together."""
    for at, step in call.texts:
        if isinstance(at[step], _Text):
            at[step] = "".join(at[step].pieces)
    return call.arguments


def _put(call: _PartialCall, piece: dict[str, Any]) -> None:
    """Set the value of one partialArgs piece at its path, or append it where it is a string."""
    steps = parse_path(piece.get("jsonPath"))
    if steps is None:
        return
    at: Any = call.arguments
    for step, after in pairwise(steps):
        at = _inside(at, step, [] if isinstance(after, int) else {})
    if "stringValue" in piece:
        before = _inside(at, steps[-1], "")
        if isinstance(before, str):
            before = _Text(before)
            _set(at, steps[-1], before)
            call.texts.append((at, steps[-1]))
        if isinstance(before, _Text):
            before.pieces.append(as_str(piece["stringValue"]))
    elif "nullValue" in piece:
        _set(at, steps[-1], None)
    else:
        values = [piece[key] for key in ("numberValue", "boolValue") if isinstance(piece.get(key), (int, float))]
        if values:
            _set(at, steps[-1], values[0])


def _inside(at: Any, step: str | int, absent: Any) -> Any:
    """Return what is at `step` of `at`; where nothing is, `absent` is put there."""
    if isinstance(at, dict) and isinstance(step, str):
        return at.setdefault(step, absent)
    if isinstance(at, list) and isinstance(step, int) and step <= len(at):
        if step == len(at):
            at.append(absent)
        return at[step]
    return None


def _set(at: Any, step: str | int, value: Any) -> None:
    """Set `value` at `step`; a list grows by one at most, whatever index a server names."""
    _inside(at, step, value)
    of_list = isinstance(at, list) and isinstance(step, int) and step < len(at)
    if of_list or (isinstance(at, dict) and isinstance(step, str)):
        at[step] = value
