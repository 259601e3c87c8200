"""The walk's plain twin: json.loads and a few loops. Slow, obvious, and the truth that the core is held to."""

import base64
import json
import re

TEXT, REASONING, TOOL, REFUSAL, USAGE, FINISH, ERROR = 1, 2, 4, 8, 32, 64, 128
DONE, MALFORMED, CONTENT = 256, 512, 31

CHAT = [
    ("choices[].delta.content", TEXT, True, 0, None),
    ("choices[].delta.reasoning", REASONING, True, 0, None),
    ("choices[].delta.reasoning_content", REASONING, True, 1, None),
    ("choices[].delta.refusal", REFUSAL, True, 0, None),
    ("choices[].delta.tool_calls[].function.name", TOOL, True, 0, None),
    ("choices[].delta.tool_calls[].function.arguments", TOOL, True, 0, None),
    ("choices[].finish_reason", FINISH, True, 0, None),
    ("usage", USAGE, False, 0, None),
    ("error", ERROR, False, 0, None),
]
# Every kind of guard: at the root and deep, string and boolean, negated, several on one key.
GUARDED = [
    ("delta.text", TEXT, True, 0, ("", "type", "t", False)),
    ("delta.text", REASONING, True, 0, ("", "type", "r", False)),
    ("parts[].text", TEXT, True, 0, ("parts[]", "thought", True, True)),
    ("parts[].text", REASONING, True, 0, ("parts[]", "thought", True, False)),
    ("parts[].text", REFUSAL, True, 0, ("parts[]", "thought", False, False)),
    ("parts[].call", TOOL, False, 0, ("parts[]", "thought", True, True)),
    ("type", FINISH, True, 0, ("", "type", "stop", False)),
    ("parts[]", TEXT, True, 1, ("", "delta", "x", True)),
    ("b(base64).text", TEXT, True, 2, ("b(base64)", "type", "t", False)),
    ("b(base64)[].text", REASONING, True, 2, None),
]

DEPTH_MOST = 512
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_ABSENT = object()


class DuplicateKey(Exception):
    """json.loads lets the last one win, the core counts both: nothing to compare."""


class _Malformed(ValueError):
    pass


def _object(pairs):
    if len(dict(pairs)) != len(pairs):
        raise DuplicateKey
    return dict(pairs)


def _depth(value) -> int:
    """Levels of containers, found without recursion."""
    depth, level = 0, [value]
    while level := [v for v in level if isinstance(v, dict | list)]:
        depth += 1
        level = [child for v in level for child in (v.values() if isinstance(v, dict) else v)]
    return depth


def parse(data: bytes):
    try:
        value = json.loads(data.decode(errors="replace"), object_pairs_hook=_object, parse_int=float)
    except (ValueError, RecursionError) as error:
        raise _Malformed from error
    if _depth(value) > DEPTH_MOST:
        raise _Malformed
    return value


def steps_of(path: str) -> list[str]:
    return [s for s in re.split(r"\.|(?=\[\])|(?=\(base64\))", path) if s]


def _holds(value, guard) -> bool:
    _, key, equals, negate = guard
    got = value.get(key, _ABSENT) if isinstance(value, dict) else _ABSENT
    return (type(got) is type(equals) and got == equals) != negate


def _values(value, steps, depth, guard):
    """Every value at the path whose scope meets the guard."""
    if guard and depth == len(steps_of(guard[0])) and not _holds(value, guard):
        return
    if depth == len(steps):
        yield value
    elif steps[depth] == "[]":
        for element in value if isinstance(value, list) else ():
            yield from _values(element, steps, depth + 1, guard)
    elif steps[depth] == "(base64)":
        if isinstance(value, str) and value:
            if not _BASE64.fullmatch(value):
                raise _Malformed
            inner = base64.b64decode(value)
            yield from _values(parse(inner), steps, depth + 1, guard)
    elif isinstance(value, dict) and steps[depth] in value:
        yield from _values(value[steps[depth]], steps, depth + 1, guard)


def _is_something(value) -> bool:
    return not (value is None or value is False or value in ("", [], {}))


def scan(rows, done: bytes, data: bytes, event_type: str | None = None) -> tuple[int, int]:
    """(Signal bits, characters) of one event, as SignalSet(rows, done).scan(data) should say."""
    if data and data == done:
        return DONE, 0
    if not data.strip(b" \t\r\n"):
        return 0, 0
    bits = 0
    chars: dict[int, dict[int, int]] = {}
    try:
        document = parse(data)
        if event_type is not None:
            document = {event_type: document}
        for path, mask, is_string, group, guard in rows:
            list(_values(document, steps_of(path), 0, None))  # a bad inner JSON shows whatever the guard says
            for value in _values(document, steps_of(path), 0, guard):
                if is_string and isinstance(value, str) and value:
                    bits |= mask
                    groups = chars.setdefault(mask, {})
                    groups[group] = groups.get(group, 0) + len(value)
                elif not is_string and _is_something(value):
                    bits |= mask
    except _Malformed:
        return MALFORMED, 0
    return bits, sum(max(groups.values()) for mask, groups in chars.items() if mask & CONTENT)
