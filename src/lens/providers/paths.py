"""Values at a path of parsed JSON: "choices[].delta.content", as signal rules write it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def values_at(data: Any, path: str) -> Iterator[Any]:
    """Every value at the path, nulls left out; none where a part of the path is absent."""
    head, _, rest = path.partition(".")
    name, many = head.removesuffix("[]"), head.endswith("[]")
    found = data.get(name) if isinstance(data, dict) and name else data if not name else None
    for one in found if many and isinstance(found, list) else [] if many else [found]:
        if rest:
            yield from values_at(one, rest)
        elif one is not None:
            yield one


def text_at(data: Any, *paths: str) -> str:
    """All strings at the paths, joined in order."""
    return "".join([value for path in paths for value in values_at(data, path) if isinstance(value, str)])


def first_at(data: Any, path: str) -> Any:
    """The first value at the path, or None."""
    return next(values_at(data, path), None)
