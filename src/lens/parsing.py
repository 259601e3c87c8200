"""Text, JSON, TOML and YAML that users write, parsed in linear time and with bounded nesting.

Nesting is bounded before a value is walked, so that no later recursion over it can overflow, and YAML
aliases are counted before anything is built from them.
"""

from __future__ import annotations

import codecs
import errno
import json
import os
import re
import stat
import sys
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from lens.patterns import lazy_pattern

# Levels of tables and lists. The deepest file we know of, a prompt with a tool's JSON schema, has about 20.
MAX_DEPTH = 100
# Values that aliases of one YAML document may stand for, counting those inside of what they name.
MAX_ALIASED = 100_000

# Python reads no longer integers from text, for that takes quadratic time.
_LONG_NUMBER = "set_int_max_str_digits"
TOO_DEEP = f"tables and lists are nested too deeply: at most {MAX_DEPTH} levels"
# A string or a comment of TOML, also one without its end; what is left has only brackets, keys and plain values.
_TOML_TEXT = lazy_pattern(
    r'"""(?:\\.|[^\\])*?(?:"""|\Z)|' r"'''.*?(?:'''|\Z)|" r'"(?:\\[^\n]|[^"\\\n])*"?|' r"'[^'\n]*'?|" r"#[^\n]*",
    re.DOTALL,
)
# The parser's time grows with the square of a dotted key's parts.
_LONG_KEY = lazy_pattern(rf"(?<![\w-])[\w-]++(?:[ \t]*+\.[ \t]*+[\w-]++){{{MAX_DEPTH}}}")


# Of a file of settings, keys or prices.
MOST_BYTES = 64 << 20
# Of a file of prompts, sessions or times, which is read as a whole.
MOST_DATA_BYTES = 1 << 30
# UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_small(path: Path) -> bytes:
    """Return the content of a file of settings, which is small: of a device that never ends a part would fill memory.

    Raises:
        OSError: it cannot be read, or holds more than MOST_BYTES.
    """
    with path.open("rb") as file:
        return read_upto(file, MOST_BYTES)


def read_data(path: Path) -> bytes:
    """Return the content of a file of prompts, sessions or a trace.

    Raises:
        OSError: it cannot be read, or holds more than MOST_DATA_BYTES; what is no file, more than MOST_BYTES.
    """
    with path.open("rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            return read_upto(file, MOST_BYTES, "; it is a pipe or a device: write what it brings to a file first")
        if state.st_size > MOST_DATA_BYTES:
            raise _too_large(MOST_DATA_BYTES)
        return read_upto(file, MOST_DATA_BYTES)


def read_upto(file: BinaryIO, most: int = MOST_BYTES, hint: str = "; is it the right file?") -> bytes:
    """Return what is left of an open file.

    Raises:
        OSError: it cannot be read, or holds more than `most` bytes.
    """
    data = file.read(most + 1)
    if len(data) > most:
        raise _too_large(most, hint)
    return data


def _too_large(most: int, hint: str = "; is it the right file?") -> OSError:
    return OSError(errno.EFBIG, f"it holds more than {most >> 20} MB{hint}")


def decode_text(data: bytes) -> str:
    """Return the text of a file without its byte order mark: UTF-8, or UTF-16 and UTF-32 as Windows writes them.

    Raises:
        ValueError: it is none of them.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    if encoding is None and len(data) % 2 == 0 and data[:2].count(0) == 1:
        # No mark, but every other byte of plain letters is a zero.
        encoding = "utf-16-be" if data[0] == 0 else "utf-16-le"
    encoding = encoding or "utf-8"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        raise ValueError(f"not {name} text (byte {error.start}); save it as UTF-8") from None


def table_in(tree: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a table of what a file holds; an empty one where it holds something else."""
    found = tree.get(name)
    return found if isinstance(found, dict) else {}


def list_in(tree: Mapping[str, Any], name: str) -> list[Any]:
    """Return a list of what a file holds; an empty one where it holds something else."""
    found = tree.get(name)
    return list(found) if isinstance(found, list | tuple) else []


def text_lines(text: str) -> list[str]:
    """Return the lines of a text, without their ends.

    A line ends at LF or CR LF only: U+0085, U+2028, form feed and the like belong to the text.
    """
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if not lines[-1] else lines


def parse_json(data: bytes | str, kind: Any = Any) -> Any:
    """Return what JSON text holds, checked to be a `kind`.

    Raises:
        ValueError: it is not JSON, not a `kind`, or nested more than MAX_DEPTH levels.
    """
    try:
        value = msgspec.json.decode(data, type=kind)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    check_depth(value)
    return value


def parse_json_table(text: str) -> Any:
    """Return what a JSON document holds in which no object has a key twice.

    Raises:
        ValueError: it is not JSON, nested more than MAX_DEPTH levels, or an object has a key twice.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if (twice := _twice([key for key, _ in pairs])) is not None:
            raise ValueError(f"{pairs[twice][0]!r} stands twice")
        return dict(pairs)

    value = parse_json(text)
    json.loads(text, object_pairs_hook=unique, parse_int=str, parse_float=str)
    return value


def _twice(keys: Sequence[Hashable]) -> int | None:
    """Return the place of the first key that an earlier one equals; None where none does."""
    seen: set[Hashable] = set()
    for place, key in enumerate(keys):
        if key in seen:
            return place
        seen.add(key)
    return None


@contextmanager
def _short_numbers() -> Iterator[None]:
    """Let the error of an integer that is too long to be read speak of the file."""
    try:
        yield
    except ValueError as error:
        if _LONG_NUMBER not in str(error):
            raise
        raise ValueError(f"an integer of more than {sys.get_int_max_str_digits():,} digits") from None


def parse_toml(text: str) -> dict[str, Any]:
    """Return the tables of a TOML document.

    Raises:
        ValueError: it is not TOML, or nested more than MAX_DEPTH levels.
    """
    import tomllib

    depth = 0
    bare = _TOML_TEXT.sub(lambda found: "" if found[0][0] == "#" else "_", text)
    for bracket in re.findall(r"[\[\]{}]", bare):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError(TOO_DEEP)
    if _LONG_KEY.search(bare):
        raise ValueError(TOO_DEEP)
    with _short_numbers():
        value = tomllib.loads(text)
    check_depth(value)
    return value


def parse_yaml(data: bytes | str) -> Any:
    """Return what a YAML document holds, or None where it is empty.

    Raises:
        ValueError: it is not YAML, is nested more than MAX_DEPTH levels, holds itself, or its aliases stand for
            more than MAX_ALIASED values.
    """
    import yaml  # type: ignore[import-untyped, unused-ignore]

    try:
        with _short_numbers():
            value = yaml.load(data, yaml_loader())  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        # Its own text shows the line, and a key may stand there.
        at = error.problem_mark
        where = f" (at line {at.line + 1}, column {at.column + 1})" if at else ""
        raise ValueError(f"{error.problem or error.context}{where}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML ({type(error).__name__})") from None
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    check_depth(value)
    return value


def yaml_loader() -> Any:
    """Return PyYAML's SafeLoader with bounds on nesting and on what aliases stand for."""
    import yaml

    class BoundedLoader(yaml.SafeLoader):  # type: ignore[misc, unused-ignore]
        """Counts nodes as they are composed from events, before any value is constructed."""

        def __init__(self, stream: Any) -> None:
            super().__init__(stream)
            self.depth = 0
            self.nodes = 0
            self.aliased = 0
            self.sizes: dict[int, int] = {}  # id of a complete node -> nodes in it, those of its aliases included

        def fetch_flow_collection_start(self, token: Any) -> None:
            """Read a bracket; looking ahead for a key would cost more with each level."""
            if self.flow_level >= MAX_DEPTH:
                raise yaml.scanner.ScannerError(problem=TOO_DEEP, problem_mark=self.get_mark())
            super().fetch_flow_collection_start(token)

        def compose_node(self, parent: Any, index: Any) -> Any:
            """Return the next node; a ComposerError refuses one that is too deep or too large."""
            event, before = self.peek_event(), self.nodes
            self.depth += 1
            if self.depth > MAX_DEPTH + 1:  # a scalar in the deepest list is a node too
                raise self._refusal(TOO_DEEP, event)
            node = super().compose_node(parent, index)
            self.depth -= 1
            if isinstance(event, yaml.AliasEvent):
                self._count_alias(node, event)
            else:
                self.nodes += 1
                self.sizes[id(node)] = self.nodes - before
                if isinstance(node, yaml.MappingNode):
                    self._refuse_twice(node)
            return node

        def _refuse_twice(self, node: Any) -> None:
            """Refuse a key that stands twice in a mapping, of which YAML would take the last."""
            keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if (twice := _twice([(key.tag, key.value) for key in keys])) is not None:
                raise self._refusal(f"{keys[twice].value!r} stands twice", keys[twice])

        def _count_alias(self, node: Any, event: Any) -> None:
            size = self.sizes.get(id(node))
            if size is None:
                raise self._refusal(f"nested too deeply: *{event.anchor} stands for something that holds it", event)
            self.nodes += size
            self.aliased += size
            if self.aliased > MAX_ALIASED:
                raise self._refusal(f"aliases stand for more than {MAX_ALIASED} values; write fewer of them", event)

        def _refusal(self, problem: str, event: Any) -> Exception:
            return yaml.composer.ComposerError(problem=problem, problem_mark=event.start_mark)  # type: ignore[no-any-return, unused-ignore]

    return BoundedLoader


def check_depth(value: Any) -> None:
    """Check that tables and lists in `value` are nested at most MAX_DEPTH levels.

    Raises:
        ValueError: they are nested deeper.
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for one in level
            if isinstance(one, dict | list)
            for child in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return
    if any(isinstance(one, dict | list) for one in level):
        raise ValueError(TOO_DEEP)
