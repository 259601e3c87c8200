"""On which line of a config file a key stands: the parsers give values, and people want to be led to the place.

A place is a path of keys and list indexes, as in the parsed file. What cannot be found exactly is led to
the nearest table around it; nothing here changes what a file means.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

Place = tuple[str | int, ...]
_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]#]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*((?:"[^"]*"|'[^']*'|[\w-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[\w-]+))*)\s*=""")
_PART = re.compile(r""""[^"]*"|'[^']*'|[^.\s]+""")
_LONG_STRING = re.compile(r'"""|\'\'\'')


class Lines:
    """Where each key of one file stands; lines count from 1."""

    def __init__(self, path: Path) -> None:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        self._found = _of_toml(text) if path.suffix not in (".yaml", ".yml", ".json") else _of_yaml(text)

    def of(self, place: Place) -> int | None:
        """Return the line of a place, or of the nearest table around it; None when none is known."""
        for size in range(len(place), 0, -1):
            if place[:size] in self._found:
                return self._found[place[:size]]
        return None


def _parts(dotted: str) -> list[str | int]:
    return [part.strip("\"'") for part in _PART.findall(dotted)]


def _of_toml(text: str) -> dict[Place, int]:
    found: dict[Place, int] = {}
    counts: dict[Place, int] = {}
    table: Place = ()
    inside = False  # of a string that goes over lines
    for number, line in enumerate(text.splitlines(), 1):
        header, key = _HEADER.match(line), _KEY.match(line)
        if not inside and header:
            table = tuple(_parts(header[2]))
            if header[1] == "[[":
                found.setdefault(table, number)
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            elif table[:-1] in counts:
                # A table of the list's last item.
                table = (*table[:-1], counts[table[:-1]], table[-1])
            found.setdefault(table, number)
        elif not inside and key:
            found.setdefault((*table, *_parts(key[1])), number)
        if len(_LONG_STRING.findall(line)) % 2:
            inside = not inside
    for place in list(found):
        # providers.openai stands for providers too.
        for size in range(1, len(place)):
            found.setdefault(place[:size], found[place])
    return found


def _of_yaml(text: str) -> dict[Place, int]:
    """JSON is YAML too."""
    import yaml  # type: ignore[import-untyped, unused-ignore]

    try:
        top = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return {}
    found: dict[Place, int] = {}

    def walk(node: Any, place: Place) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                here = (*place, str(key.value))
                found[here] = key.start_mark.line + 1
                walk(value, here)
        elif isinstance(node, yaml.SequenceNode):
            for i, value in enumerate(node.value):
                found[(*place, i)] = value.start_mark.line + 1
                walk(value, (*place, i))

    walk(top, ())
    return found
