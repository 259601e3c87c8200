"""Values of parsed JSON, read leniently: a server may send anything anywhere, and no answer may break its reading.

A path is written as signal rules write it: "choices[].delta.content".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from lens.patterns import lazy_pattern

# A server's number beyond this is not read; in milliseconds it is thirty years.
MAX_NUMBER = 1e12
# No answer holds a million million tokens; sums of a run's counts stay within 64 bits.
MAX_TOKENS = 2**40


# What parse_json_or() is given to tell null from what is no JSON.
NOT_JSON: Final = object()
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DIGITS = lazy_pattern(r"[0-9]{1,13}(?:\.0{1,9})?")
_SURROGATE_ESCAPE = lazy_pattern(rb"\\u[dD][89a-fA-F]")


def parse_json(data: bytes) -> Any:
    """Return the parsed JSON of `data`, or None where it is not valid JSON."""
    return parse_json_or(data, None)


def parse_json_or(data: bytes, default: Any) -> Any:
    """Return the parsed JSON of `data`, or `default` where it is not valid JSON.

    What Python servers write besides is read as other clients read it: NaN and Infinity are None, a lone
    surrogate and bytes that are not UTF-8 are U+FFFD (WHATWG Encoding, section 4.1).
    """
    data = data.removeprefix(_BYTE_ORDER_MARK)
    try:
        return msgspec.json.decode(data.strip())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    import json

    try:
        value = json.loads(data.decode("utf-8", "replace"), parse_constant=lambda _: None)
        return _without_surrogates(value) if _SURROGATE_ESCAPE.search(data) else value
    except (ValueError, RecursionError):
        return default


def _without_surrogates(value: Any) -> Any:
    """Return a JSON value whose strings can be encoded: U+FFFD in place of each lone surrogate."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value


def json_text(value: Any) -> str:
    """Return `value` as JSON text; an empty string where it is nested too deeply to be written."""
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError:
        return ""


def as_dict(value: Any) -> dict[str, Any]:
    """Return `value` where it is an object, else an empty one: answers hold null where an object is meant."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return `value` where it is an array, else an empty one."""
    return value if isinstance(value, list) else []


def as_str(value: Any) -> str:
    """Return `value` where it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def as_name(value: Any) -> str | None:
    """Return `value` where it is a string with at least one character, else None."""
    return value if isinstance(value, str) and value else None


def as_number(value: Any, most: float = MAX_NUMBER) -> float | None:
    """Return `value` as a float from 0 to `most`, also where a string spells it; else None (not NaN either)."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number < most else None


def as_count(value: Any) -> int | None:
    """Return `value` as a token count, or None if it is not a non-negative whole number; 2.0 and "2" are 2."""
    if value is None:
        return None
    if type(value) is int:  # as nearly all are; no bool
        return value if 0 <= value < MAX_TOKENS else None
    if isinstance(value, str) and _DIGITS.fullmatch(value := value.strip()):
        value = float(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_TOKENS else None


def first_count(*values: Any) -> int | None:
    """Return the first of the values that is a token count, or None."""
    for value in values:
        if (count := as_count(value)) is not None:
            return count
    return None


def sum_known(*parts: int | None) -> int | None:
    """Return the sum of the parts that are known; None where none is."""
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def merge_counts(earlier: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """Return counts of an answer, the later over the earlier; null and 0 never replace a count that was reported."""
    if not earlier:
        return {key: value for key, value in later.items() if value is not None}
    merged = dict(earlier)
    for key, value in later.items():
        before = merged.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            merged[key] = merge_counts(before, value)
        elif value is not None and not (as_count(value) == 0 and as_count(before)):
            merged[key] = value
    return merged


def without_none(**fields: Any) -> dict[str, Any]:
    """Return the fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}


def values_at(data: Any, path: str) -> list[Any]:
    """Return every value at the path, nulls left out; none where a part of the path is absent."""
    found = [data]
    for name, many in _steps_of(path):
        if name:
            found = [value[name] for value in found if isinstance(value, dict) and name in value]
            if not found:
                return found
        if many:
            found = [item for value in found if isinstance(value, list) for item in value]
    return [value for value in found if value is not None]


@lru_cache(maxsize=1024)
def _steps_of(path: str) -> tuple[tuple[str, bool], ...]:
    """Return (key, whether every element of its array is meant) for each part of a path."""
    return tuple([(part.removesuffix("[]"), part.endswith("[]")) for part in path.split(".")])


def text_at(data: Any, *paths: str) -> str:
    """Return all strings at the paths, joined in order."""
    return "".join([value for path in paths for value in values_at(data, path) if isinstance(value, str)])


def first_at(data: Any, path: str) -> Any:
    """Return the first value at the path, or None."""
    return next(iter(values_at(data, path)), None)


def without_done(document: bytes) -> bytes:
    """Return a document without what some servers put around an answer that came whole: `data:`, `data: [DONE]`."""
    document = document.removeprefix(_BYTE_ORDER_MARK)
    bare = document.lstrip().removeprefix(b"data:")
    document = bare if bare.lstrip()[:1] in (b"{", b"[") else document
    whole = document.rstrip()
    start = whole.removesuffix(b"[DONE]").rstrip()
    return start.removesuffix(b"data:").rstrip() if len(start) < len(whole) and start.endswith(b"data:") else document


def increments(totals: Sequence[int]) -> tuple[int, ...] | None:
    """Return the step to each of the running totals; None where they ever fall."""
    steps = tuple([after - before for before, after in zip((0, *totals), totals, strict=False)])
    return steps if all(step >= 0 for step in steps) else None


def new_chars(chars: Sequence[int]) -> tuple[int, ...]:
    """Return how many characters each event added, of events that hold all of the answer so far."""
    seen, found = 0, []
    for count in chars:
        found.append(count - seen if count >= seen else count)  # a shorter one holds only what is new
        seen += found[-1]
    return tuple(found)
