"""Find text that an answer carries under names that no rule reads, so that no first token is late in silence.

Only events without content are looked at, and of them only those that the core kept whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from lens.patterns import lazy_pattern
from lens.providers.values import as_dict, as_str, values_at

# Strings that differ from event to event and are no text of the answer.
_NO_TEXT = lazy_pattern(
    r"(?:.*_)?(?:id|ids|index|type|role|name|object|model|status|phase|created_at|timestamp|obfuscation|finish_reason)"
    r"|.*(?:signature|citation|annotation|encrypted|redacted|logprob).*|data|mime_?type",
    re.IGNORECASE,
)
# Fewer events may be a label; text grows.
FEWEST_EVENTS = 2
# How many objects lie between a scope and a string.
DEEPEST = 2
# Different names that are followed; an answer of random keys must not fill the memory.
MOST_PATHS = 64


class UnreadFields:
    """The strings under scopes in events that brought nothing known.

    A scope that ends in "*" is an object all of whose strings are meant; another is the path of one string.
    """

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str, bool]] = {}  # path -> (events, last text, whether it ever differed)

    def take(self, event: Any, scopes: Sequence[str]) -> None:
        """Take an event that has no content signal."""
        self.take_strings(_strings_at(event, scopes))

    def take_strings(self, strings: Mapping[str, str]) -> None:
        """Take the strings of an event that has no content signal, by their paths."""
        for path, text in strings.items():
            count, before, differs = self._found.get(path, (0, text, False))
            if count or len(self._found) < MOST_PATHS:
                self._found[path] = count + 1, text, differs or text != before

    def warnings(self) -> Iterator[str]:
        """Yield a sentence for each path whose text grew from event to event."""
        for path, (count, _, differs) in self._found.items():
            if differs and count >= FEWEST_EVENTS:
                yield (
                    f"{count} events held text under `{path}`, which is not read: "
                    "the first token may have come earlier than is reported"
                )


def _strings_at(event: Any, scopes: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for scope in scopes:
        if not scope.endswith("*"):
            kind = as_str(as_dict(event).get("type"))
            for value in values_at(event, scope):
                if isinstance(value, str) and value:
                    found[f"{scope} of {kind}" if kind else scope] = value
            continue
        inside = scope.removesuffix("*")
        for value in values_at(event, inside.removesuffix(".")):
            _add_strings(found, as_dict(value), inside)
    return found


def _add_strings(found: dict[str, str], value: dict[str, Any], path: str, depth: int = 0) -> None:
    """Add (path, string) of an object, of the objects in it and in its lists, three levels deep."""
    for key, item in value.items():
        if isinstance(item, str):
            if item and not _is_no_text(key):
                found[f"{path}{key}"] = item
        elif depth == DEEPEST or not item or not isinstance(item, dict | list) or _is_no_text(key):
            continue
        elif isinstance(item, dict):
            _add_strings(found, item, f"{path}{key}.", depth + 1)
        else:
            for one in item:
                if isinstance(one, str) and one:
                    found[f"{path}{key}[]"] = one
                _add_strings(found, as_dict(one), f"{path}{key}[].", depth + 1)


@lru_cache(maxsize=1024)
def _is_no_text(key: str) -> bool:
    return _NO_TEXT.fullmatch(key) is not None
