"""Gemini's function calls put together: whole ones, and those whose arguments come piece by piece (partialArgs).

A piece says where in the arguments it belongs (a JSON path, RFC 9535: "$.place.names[0]"); what it says of a
string is added to what stood there. A path that leads nowhere changes nothing.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import msgspec

from lens.model import ToolCall
from lens.providers.base import as_dict, as_list, as_name, as_str, json_text

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d{1,9})\]|\['((?:[^'\\]|\\.)*)'\]|\[\"((?:[^\"\\]|\\.)*)\"\]")
_PATH = re.compile(rf"\$(?:{_STEP.pattern})+")
_ESCAPED = re.compile(r"\\(.)")
# Deeper arguments are not put together: nobody's function takes them.
MOST_STEPS = 64


class _Call(msgspec.Struct):
    """A call as far as it came."""

    name: str
    id: str | None
    arguments: dict[str, Any]
    goes_on: bool


class Calls:
    """The calls of one answer, in the order in which they began."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    def __bool__(self) -> bool:
        return bool(self._calls)

    def take(self, told: dict[str, Any]) -> None:
        """One functionCall of a part."""
        call = self._meant(told)
        if call is None:
            call = _Call(as_str(told.get("name")), as_name(told.get("id")), {}, goes_on=True)
            self._calls.append(call)
        call.arguments |= as_dict(told.get("args"))
        for piece in as_list(told.get("partialArgs")):
            _put(call.arguments, as_dict(piece))
        call.goes_on = told.get("willContinue") is True

    def _meant(self, told: dict[str, Any]) -> _Call | None:
        """The call that this continues: that of its id, or without name and id the last that goes on."""
        named, name = as_name(told.get("id")), as_name(told.get("name"))
        for call in reversed(self._calls):
            if call.goes_on and (call.id == named if named else name is None):
                return call
        return None

    def tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple(
            [ToolCall(name=call.name, arguments=json_text(call.arguments), id=call.id) for call in self._calls]
        )


def steps_of(path: Any) -> list[str | int] | None:
    """The keys and places of a JSON path that names one value; None where it is none."""
    if not isinstance(path, str) or not _PATH.fullmatch(path):
        return None
    steps: list[str | int] = []
    for plain, place, single, double in _STEP.findall(path):
        steps.append(int(place) if place else plain or _ESCAPED.sub(r"\1", single or double))
    return steps if len(steps) <= MOST_STEPS else None


def _put(arguments: dict[str, Any], piece: dict[str, Any]) -> None:
    steps = steps_of(piece.get("jsonPath"))
    if steps is None:
        return
    at: Any = arguments
    for step, after in pairwise(steps):
        at = _inside(at, step, [] if isinstance(after, int) else {})
    if "stringValue" in piece:
        before = _inside(at, steps[-1], "")
        if isinstance(before, str):
            _set(at, steps[-1], before + as_str(piece["stringValue"]))
    elif "nullValue" in piece:
        _set(at, steps[-1], None)
    else:
        values = [piece[key] for key in ("numberValue", "boolValue") if isinstance(piece.get(key), (int, float))]
        if values:
            _set(at, steps[-1], values[0])


def _inside(at: Any, step: str | int, absent: Any) -> Any:
    """What is at `step` of `at`; where nothing is, `absent` is put there."""
    if isinstance(at, dict) and isinstance(step, str):
        return at.setdefault(step, absent)
    if isinstance(at, list) and isinstance(step, int) and step <= len(at):
        if step == len(at):
            at.append(absent)
        return at[step]
    return None


def _set(at: Any, step: str | int, value: Any) -> None:
    """`value` at `step`; a list grows by one at most, whatever place a server names."""
    _inside(at, step, value)
    of_list = isinstance(at, list) and isinstance(step, int) and step < len(at)
    if of_list or (isinstance(at, dict) and isinstance(step, str)):
        at[step] = value
