"""Recorded answers with one value of one event replaced by another of any kind: a reading must come of each.

A place is known by its event's kind and the keys on its way; each place of a protocol is changed in the
smallest answer that has it, so that few answers show as much as all would.
"""

import base64
import copy
import json

from msgspec.structs import replace
from recorded import CODECS, EXPECTED, exchange_of, names_of, raw, request_of

from lens.model import STATUS_OF_CATEGORY
from lens.providers.registry import get_provider
from lens.wire import Exchange, Frame, Reading, WireRequest

DEEP = "[" * 900 + "]" * 900
TOO_DEEP = "[" * 100_000
VALUES = (
    *("null", "true", "0", "-1", "2.5", "1e300", "1" + "0" * 300, str(2**63), '""', '"text"', '"\\ud83d\\ude00"'),
    *("[]", "[null]", "[[1]]", "{}", '{"x": null}', '{"text": 7}', '[{"text": 7}]', DEEP, f'{{"x": {DEEP}}}', TOO_DEEP),
)
MARK = "\x00here\x00"


def places_in(value, path=()) -> list:
    """The path of every value in `value`."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *[place for key, one in inside for place in places_in(one, (*path, key))]]


def with_mark(value, path) -> str:
    """`value` as JSON, a mark in place of what is at `path`."""
    if not path:
        return json.dumps(MARK)
    changed = copy.deepcopy(value)
    at = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = MARK
    return json.dumps(changed)


def unpacked(frame: Frame):
    """The JSON of an event; that inside where it is packed (Bedrock's InvokeModel)."""
    try:
        data = json.loads(frame.data)
    except ValueError:
        return None
    return json.loads(base64.b64decode(data["bytes"])) if frame.name == "event:chunk" else data


def packed(frame: Frame, text: str) -> Frame:
    data = text.encode()
    if frame.name == "event:chunk":
        data = json.dumps({"bytes": base64.b64encode(data).decode()}).encode()
    return replace(frame, data=data)


def kind_of(event) -> str:
    return str(event.get("type")) if isinstance(event, dict) else type(event).__name__


def mutants_of(exchange: Exchange, seen: set):
    """An exchange for each value at each place that was not yet seen."""
    for number, frame in enumerate(exchange.frames):
        before, after = exchange.frames[:number], exchange.frames[number + 1 :]
        for text in _texts(unpacked(frame), frame.name, seen):
            yield replace(exchange, frames=(*before, packed(frame, text), *after))
    whole = Frame(0, "", exchange.document)
    for text in _texts(unpacked(whole), str(exchange.status), seen):
        yield replace(exchange, document=text.encode())


def _texts(event, scope, seen):
    if not isinstance(event, (dict, list)):
        return
    for path in places_in(event):
        place = (scope, kind_of(event), tuple("[]" if isinstance(key, int) else key for key in path))
        if place in seen:
            continue
        seen.add(place)
        marked = with_mark(event, path)
        for value in VALUES:
            yield marked.replace(json.dumps(MARK), value)


def read_all(name: str, seen: set, codec=None, request: WireRequest | None = None) -> int:
    """decode() gives a Reading that a record can hold, whatever stands where; how many were tried.

    `codec` and `request` take the place of the recorded protocol's own.
    """
    own = codec or get_provider(CODECS[EXPECTED[name]["protocol"]][0])
    return read_each(exchange_of(name, [raw(name)], keep_all=True)[0], seen, own, request or request_of(name))


def read_each(exchange: Exchange, seen: set, codec, request: WireRequest) -> int:
    readings = [codec.decode(request, mutant) for mutant in mutants_of(exchange, seen)]
    for reading in readings:
        check_kinds(reading)
    return len(readings)


def smallest_first(*protocols: str) -> list[str]:
    return sorted(names_of(*protocols), key=lambda name: len(raw(name)))


def check_kinds(reading: Reading) -> None:
    """What goes into a record is of the kind that a record holds."""
    assert reading.category in STATUS_OF_CATEGORY
    for said in (reading.text, reading.reasoning, *[call.name + call.arguments for call in reading.tool_calls]):
        assert isinstance(said, str)
    for named in (reading.served_model, reading.finish_reason, *[call.id for call in reading.tool_calls]):
        assert named is None or (isinstance(named, str) and named)
    for counted in (getattr(reading.usage, name) for name in reading.usage.__struct_fields__) if reading.usage else ():
        assert counted is None or (type(counted) is int and 0 <= counted < 2**43)
    for took in (*reading.server_timing_ms.values(), *[limit.reset_s or 0.0 for limit in reading.rate_limits.values()]):
        assert 0 <= took < 1e16
    failure = reading.failure
    assert failure is None or failure.type is None or isinstance(failure.type, str)
    code = failure.code if failure else None
    assert code is None or isinstance(code, str) or -(2**63) < code < 2**63
