"""`--where "provider == 'openai' and ttft_ms > 500"`: a small expression language over requests.

Python's own grammar, of which only comparisons, and/or/not, arithmetic, `in` and a few functions are
let through; there are no attributes, calls of anything else, or names but those of `fields`.
What was not measured is None, and compares as false. Each name is read as a column, once a slice of requests.
"""

from __future__ import annotations

import ast
import inspect
import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lens.analysis.explore.fields import Field, field_named, listed
from lens.errors import ConfigError, did_you_mean
from lens.metrics.columns import Column
from lens.metrics.table import Table

EXAMPLE = "write like \"provider == 'openai' and ttft_ms > 500\""
MAX_CHARS = 2000
# An expression gives a list with a value for each request of a slice.
Expression = Callable[["_Slice"], list[Any]]
# Reads of some rows a value each.
Reader = Callable[[Any], list[Any]]


class _Slice:
    """Some requests, or other rows, while an expression is evaluated: each name is read once."""

    def __init__(self, rows: Any) -> None:
        self.rows, self._read = rows, dict[str, list[Any]]()

    def values(self, name: str, read: Reader) -> list[Any]:
        found = self._read.get(name)
        if found is None:
            found = self._read[name] = read(self.rows)
        return found


def _of_numbers(apply: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Texts and lists are neither multiplied nor formatted: a short expression could fill the memory."""

    def checked(a: Any, b: Any) -> Any:
        if not isinstance(a, (int, float)) or not isinstance(b, (int, float)):
            raise TypeError("not a number")
        return apply(a, b)

    return checked


_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
    ast.Is: lambda a, b: a is b,
    ast.IsNot: lambda a, b: a is not b,
}
_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: _of_numbers(operator.sub),
    ast.Mult: _of_numbers(operator.mul),
    ast.Div: _of_numbers(operator.truediv),
    ast.FloorDiv: _of_numbers(operator.floordiv),
    ast.Mod: _of_numbers(operator.mod),
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "lower": lambda text: None if text is None else str(text).lower(),
    "contains": lambda text, part: text is not None and str(part) in str(text),
    "startswith": lambda text, part: text is not None and str(text).startswith(str(part)),
    "endswith": lambda text, part: text is not None and str(text).endswith(str(part)),
    "abs": lambda value: None if value is None else abs(value),
    "round": lambda value, digits=0: None if value is None else round(value, digits),
}


def compile_filter(text: str, table: Table | None = None) -> Callable[[Table], Column]:
    """Return a function that says of a table which requests are meant, as bool.

    table: whose labels and files are known by their names.

    Raises:
        ConfigError: the text is no such expression; the message says where it breaks off, or which name is near.
    """

    def find(name: str) -> Reader:
        field: Field = field_named(name, table)
        return lambda some: listed(field(some))

    wanted = _compiled(text, find)

    def which(some: Table) -> Column:
        parts = [np.array(list(map(bool, wanted(_Slice(part)))), dtype=bool) for part in some.slices()]
        return np.concatenate(parts)

    return which


def compile_row_filter(text: str, readers: Mapping[str, Reader]) -> Callable[[Sequence[Any]], list[bool]]:
    """Return a function that says of rows of any kind which are meant, in the same language.

    readers: of each name that the expression may use.

    Raises:
        ConfigError: the text is no such expression, or has another name.
    """

    def find(name: str) -> Reader:
        if name not in readers:
            raise ConfigError(f"no field {name!r}; {did_you_mean(name, readers, otherwise=', '.join(readers))}")
        return readers[name]

    wanted = _compiled(text, find)
    return lambda rows: list(map(bool, wanted(_Slice(rows))))


class _Source(NamedTuple):
    """The text of an expression, and what finds the names it may use."""

    text: str
    find: Callable[[str], Reader]


def _compiled(text: str, find: Callable[[str], Reader]) -> Expression:
    if len(text) > MAX_CHARS:
        raise ConfigError(f"filter: longer than {MAX_CHARS} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is odd in a program, printed where only our words are
            tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        at = f" at character {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
        raise ConfigError(f"filter {text!r}: cannot be read{at}; {EXAMPLE}") from None
    try:
        return _node(tree.body, _Source(text, find))
    except RecursionError:
        raise ConfigError("filter: nested too deeply") from None


def _node(node: ast.expr, source: _Source) -> Expression:
    """Return what evaluates one part of the expression."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (str, int, float, bool, type(None))):
        value = node.value
        return lambda some: [value] * len(some.rows)
    if isinstance(node, (ast.Name, ast.Attribute)):
        name = ast.unparse(node)
        read = source.find(name)
        return lambda some: some.values(name, read)
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        parts = [_node(one, source) for one in node.elts]
        return lambda some: _rows(parts, some)
    if isinstance(node, ast.BoolOp):
        sides = [_node(one, source) for one in node.values]
        join = all if isinstance(node.op, ast.And) else any
        return lambda some: [join(row) for row in _rows(sides, some)]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner = _node(node.operand, source)
        return lambda some: [not value for value in inner(some)]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        number = _node(node.operand, source)
        return lambda some: [-value if isinstance(value, (int, float)) else None for value in number(some)]
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return _joined(_guarded(_BINARY[type(node.op)], None), _node(node.left, source), _node(node.right, source))
    if isinstance(node, ast.Compare):
        return _comparison(node, source)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
        return _call(node, source)
    what = ast.unparse(node)
    raise ConfigError(
        f"filter {source.text!r}: {what!r} is not allowed; functions are {', '.join(_FUNCTIONS)}; {EXAMPLE}"
    )


def _rows(parts: list[Expression], some: _Slice) -> list[list[Any]]:
    """Return of each request the values of all parts."""
    if not parts:
        return [[] for _ in range(len(some.rows))]
    return [list(row) for row in zip(*[part(some) for part in parts], strict=True)]


def _call(node: ast.Call, source: _Source) -> Expression:
    """Return the value of a function; None where it cannot be applied to what was measured."""
    function = _FUNCTIONS[ast.unparse(node.func)]
    args = [_node(one, source) for one in node.args]
    try:
        # A keyword binds to nothing: the functions take values by place.
        inspect.signature(function).bind(*args, **{f"{one.arg}=": one for one in node.keywords})
    except TypeError:
        raise ConfigError(f"filter {source.text!r}: {ast.unparse(node)!r} has too many or too few values") from None

    def apply(values: list[Any]) -> Any:
        try:
            return function(*values)
        except (TypeError, ValueError, OverflowError):
            return None

    return lambda some: [apply(values) for values in _rows(args, some)]


def _comparison(node: ast.Compare, source: _Source) -> Expression:
    """Return the truth of `a < b <= c`, as Python reads it."""
    sides = [_node(one, source) for one in (node.left, *node.comparators)]
    links = []
    for kind, left, right in zip(node.ops, sides, sides[1:], strict=False):
        plain = isinstance(kind, (ast.Is, ast.IsNot, ast.Eq, ast.NotEq))
        compare = _COMPARE[type(kind)]
        links.append(_joined(compare if plain else _guarded(compare, False), left, right))
    return links[0] if len(links) == 1 else lambda some: [all(row) for row in _rows(links, some)]


def _joined(apply: Callable[[Any, Any], Any], left: Expression, right: Expression) -> Expression:
    return lambda some: list(map(apply, left(some), right(some)))


def _guarded(apply: Callable[[Any, Any], Any], absent: Any) -> Callable[[Any, Any], Any]:
    """Return what applies to two values; `absent` where one was not measured or they cannot be joined."""

    def guarded(a: Any, b: Any) -> Any:
        if a is None or b is None:
            return absent
        try:
            return apply(a, b)
        except (TypeError, ZeroDivisionError, ValueError, OverflowError):
            return absent

    return guarded
