"""`--where "provider == 'openai' and ttft_ms > 500"`: a small expression language over records.

Python's own grammar, of which only comparisons, and/or/not, arithmetic, `in` and a few functions are
let through; there are no attributes, calls of anything else, or names but those of FIELDS, of metrics, and of
the fields that a caller adds, which know more than a record does: labels, or the file it came from.
What was not measured is None, and compares as false.
"""

from __future__ import annotations

import ast
import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from lens.errors import ConfigError, did_you_mean
from lens.metrics.definitions import METRICS, metric_named
from lens.model import Record
from lens.pricing import PriceBook

EXAMPLE = "write like \"provider == 'openai' and ttft_ms > 500\""
MAX_CHARS = 2000
Reader = Callable[[Record], Any]
Fields = Mapping[str, Reader]
NO_FIELDS: Fields = {}


def _when(record: Record) -> datetime:
    return datetime.fromisoformat(record.timestamp).astimezone(UTC)


FIELDS: dict[str, Reader] = {
    "provider": lambda r: r.provider,
    "model": lambda r: r.model,
    "target": lambda r: r.target,
    "status": lambda r: r.status.value,
    "category": lambda r: r.category,
    "http_status": lambda r: r.http_status,
    "finish_reason": lambda r: r.finish_reason,
    "served_model": lambda r: r.served_model,
    "stage": lambda r: r.stage,
    "prompt_id": lambda r: r.prompt_id,
    "prompt": lambda r: r.prompt_id,
    "stream": lambda r: r.stream,
    "reused": lambda r: r.connection.reused if r.connection else None,
    "peer": lambda r: r.connection.peer if r.connection else None,
    "index": lambda r: r.index,
    "tries": lambda r: len(r.tries),
    "timestamp": lambda r: r.timestamp,
    "date": lambda r: _when(r).date().isoformat(),
    "day": lambda r: _when(r).date().isoformat(),
    "hour": lambda r: f"{_when(r):%Y-%m-%d %H}:00",
    "hour_of_day": lambda r: _when(r).hour,
    "weekday": lambda r: f"{_when(r):%A}",
    "minute": lambda r: f"{_when(r):%Y-%m-%d %H:%M}",
}


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


def compile_filter(text: str, book: PriceBook | None = None, fields: Fields = NO_FIELDS) -> Callable[[Record], bool]:
    """A function that says whether a record is meant. fields: more names, beside FIELDS and the metrics.

    Raises:
        ConfigError: the text is no such expression; the message says where it breaks off, or which name is near.
    """
    return _truth(_compiled(text, _Names(book or PriceBook(), fields)))


def field_reader(name: str, book: PriceBook | None = None, fields: Fields = NO_FIELDS) -> Reader:
    """The reader of a field, a metric or a label (`label.team`), for grouping.

    Raises:
        ConfigError: there is none of this name.
    """
    return _reader(name, _Names(book or PriceBook(), fields))


def grouped(
    records: Sequence[Record], names: Sequence[str], book: PriceBook, fields: Fields = NO_FIELDS
) -> dict[tuple[Any, ...], list[Record]]:
    """Records by the values of some fields, in the order of the values; what is absent comes last."""
    readers = [field_reader(name, book, fields) for name in names]
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(tuple([read(record) for read in readers]), []).append(record)
    return dict(sorted(groups.items(), key=lambda item: [(part is None, str(part)) for part in item[0]]))


class _Names(NamedTuple):
    """What a name may stand for."""

    book: PriceBook
    fields: Fields


def _compiled(text: str, names: _Names) -> Reader:
    if len(text) > MAX_CHARS:
        raise ConfigError(f"filter: longer than {MAX_CHARS} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        at = f" at character {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
        raise ConfigError(f"filter {text!r}: cannot be read{at}; {EXAMPLE}") from None
    try:
        return _node(tree.body, text, names)
    except RecursionError:
        raise ConfigError("filter: nested too deeply") from None


def _node(node: ast.expr, text: str, names: _Names) -> Reader:
    """A reader for one part of the expression."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (str, int, float, bool, type(None))):
        value = node.value
        return lambda _: value
    if isinstance(node, (ast.Name, ast.Attribute)):
        return _reader(ast.unparse(node), names)
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        parts = [_node(one, text, names) for one in node.elts]
        return lambda r: [part(r) for part in parts]
    if isinstance(node, ast.BoolOp):
        truths = [_truth(_node(one, text, names)) for one in node.values]
        every = isinstance(node.op, ast.And)
        return lambda r: (all if every else any)(truth(r) for truth in truths)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner = _truth(_node(node.operand, text, names))
        return lambda r: not inner(r)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        negated = _node(node.operand, text, names)
        return lambda r: -found if isinstance(found := negated(r), (int, float)) else None
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return _guarded(_BINARY[type(node.op)], _node(node.left, text, names), _node(node.right, text, names), None)
    if isinstance(node, ast.Compare):
        return _comparison(node, text, names)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
        return _call(node, text, names)
    what = ast.unparse(node)
    raise ConfigError(f"filter {text!r}: {what!r} is not allowed; functions are {', '.join(_FUNCTIONS)}; {EXAMPLE}")


def _call(node: ast.Call, text: str, names: _Names) -> Reader:
    """One of the functions; None where it cannot be applied to what was measured."""
    function = _FUNCTIONS[ast.unparse(node.func)]
    args = [_node(one, text, names) for one in node.args]
    try:
        # A keyword binds to nothing: the functions take values by place.
        inspect.signature(function).bind(*args, **{f"{one.arg}=": one for one in node.keywords})
    except TypeError:
        raise ConfigError(f"filter {text!r}: {ast.unparse(node)!r} has too many or too few values") from None

    def read(record: Record) -> Any:
        try:
            return function(*[arg(record) for arg in args])
        except (TypeError, ValueError, OverflowError):
            return None

    return read


def _comparison(node: ast.Compare, text: str, names: _Names) -> Reader:
    """`a < b <= c`, as Python reads it."""
    sides = [_node(one, text, names) for one in (node.left, *node.comparators)]
    links = []
    for kind, left, right in zip(node.ops, sides, sides[1:], strict=False):
        by_identity = isinstance(kind, (ast.Is, ast.IsNot, ast.Eq, ast.NotEq))
        links.append(_plain(kind, left, right) if by_identity else _guarded(_COMPARE[type(kind)], left, right, False))
    return lambda r: all(link(r) for link in links)


def _plain(kind: ast.cmpop, left: Reader, right: Reader) -> Reader:
    compare = _COMPARE[type(kind)]
    return lambda r: compare(left(r), right(r))


def _guarded(apply: Callable[[Any, Any], Any], left: Reader, right: Reader, absent: Any) -> Reader:
    """Apply to two values; `absent` where one was not measured or they cannot be joined."""

    def read(record: Record) -> Any:
        a, b = left(record), right(record)
        if a is None or b is None:
            return absent
        try:
            return apply(a, b)
        except (TypeError, ZeroDivisionError, ValueError, OverflowError):
            return absent

    return read


def _truth(read: Reader) -> Callable[[Record], bool]:
    return lambda record: bool(read(record))


def _reader(name: str, names: _Names) -> Reader:
    if name in names.fields:
        return names.fields[name]
    if name in FIELDS:
        return FIELDS[name]
    head, _, rest = name.partition(".")
    if head in ("label", "labels") and rest:
        return lambda record: record.labels.get(rest)
    try:
        metric = metric_named(name)
    except KeyError:
        fields = f"fields are {', '.join({**FIELDS, **names.fields})}, label.NAME, and the metrics"
        hint = did_you_mean(name, [*names.fields, *FIELDS, *METRICS], then=fields)
        raise ConfigError(f"no field {name!r}; {hint}") from None
    if metric.kind == "run":
        raise ConfigError(f"{name} belongs to a whole run; a filter sees one request")
    if metric.of is not None:
        return metric.of
    return lambda record: None if (usd := getattr(names.book.cost(record), metric.name)) is None else float(usd)
