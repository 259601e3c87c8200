"""OpenTelemetry's GenAI spans: each model call of a conversation or trace is a turn.

Read are OTLP's JSON (resourceSpans), rows that are one span, and rows with a list of `spans`. A call needs
`gen_ai.input.messages`; without it, `gen_ai.usage.input_tokens` words are made up. What a call waited for is told by
when others ended; the time between is that of tools where the call brings their results, else of a person.

Source: https://github.com/open-telemetry/semantic-conventions-genai, docs/gen-ai/gen-ai-spans.md
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from lens.orchestrator.sessions.blocks import Blocks
from lens.orchestrator.sessions.dependencies import predecessors, with_history
from lens.orchestrator.sessions.rows import MOST_PAUSE_NS, Row, UnusableRow, count_in
from lens.orchestrator.sessions.session import Message, Session, Turn
from lens.parsing import parse_json
from lens.providers.values import as_dict, as_list
from lens.units import NS_PER_S, NS_PER_US

_OPERATIONS = ("chat", "generate_content", "text_completion")
_PLAIN = ("content", "tool_calls", "tool_call_id")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Call(NamedTuple):
    """One model call."""

    where: str
    start_ns: int
    end_ns: int
    messages: tuple[Message, ...]
    answer: Message | None
    attributes: dict[str, Any]


def is_otel(row: dict[str, Any]) -> bool:
    """Return whether a row holds spans."""
    if "resourceSpans" in row or "resource_spans" in row or isinstance(row.get("spans"), list):
        return True
    return ("attributes" in row) and any(name in row for name in ("spanId", "span_id", "context"))


def read_otel(rows: Sequence[Row]) -> Iterator[Session | UnusableRow]:
    """Yield a session for each conversation (gen_ai.conversation.id), else for each trace."""
    groups: dict[str, list[_Call]] = {}
    for where, row in rows:
        for number, (span, name) in enumerate(_spans_in(row)):
            at = f"{where}: span {number}"
            try:
                call = _call_of(span, at)
            except UnusableRow as error:
                yield error
                continue
            if call is not None:
                known = call.attributes.get("gen_ai.conversation.id") or name
                groups.setdefault(str(known), []).append(call)
    for name, calls in groups.items():
        yield _session(name, sorted(calls, key=lambda call: (call.start_ns, call.end_ns)))


def _spans_in(row: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield (span, what it belongs to)."""
    for resource in as_list(row.get("resourceSpans") or row.get("resource_spans")):
        for scope in _lists_in(resource, "scopeSpans", "scope_spans"):
            for span in _lists_in(scope, "spans"):
                yield span, _trace_of(span)
    for span in as_list(row.get("spans")):
        if isinstance(span, dict):
            yield span, str(row.get("session_id") or row.get("trace_id") or _trace_of(span))
    if "attributes" in row:
        yield row, _trace_of(row)


def _lists_in(value: Any, *names: str) -> list[dict[str, Any]]:
    """Return the objects of a list that is called one of these."""
    found = next((as_dict(value)[name] for name in names if as_dict(value).get(name)), None)
    return [one for one in as_list(found) if isinstance(one, dict)]


def _trace_of(span: dict[str, Any]) -> str:
    context = span.get("context") if isinstance(span.get("context"), dict) else {}
    return str(span.get("traceId") or span.get("trace_id") or (context or {}).get("trace_id") or "trace")


def _call_of(span: dict[str, Any], where: str) -> _Call | None:
    """Return the model call of a span; None where it is another kind of work.

    Raises:
        UnusableRow: it is a call, and nothing of it can be sent.
    """
    attributes = _attributes_of(span.get("attributes"))
    operation = attributes.get("gen_ai.operation.name")
    if operation not in _OPERATIONS and "gen_ai.input.messages" not in attributes:
        return None
    asked = [*_messages_of(attributes.get("gen_ai.system_instructions"), "system"),
             *_messages_of(attributes.get("gen_ai.input.messages"))]  # fmt: skip
    answers = list(_messages_of(attributes.get("gen_ai.output.messages")))
    start = _time_of(span, ("startTimeUnixNano", "start_time_unix_nano", "start_time"), where)
    end = _time_of(span, ("endTimeUnixNano", "end_time_unix_nano", "end_time"), where)
    if not asked and not count_in(_number(attributes.get("gen_ai.usage.input_tokens"))):
        raise UnusableRow(f"{where}: neither gen_ai.input.messages nor gen_ai.usage.input_tokens")
    return _Call(where, start, max(end, start), tuple(asked), answers[0] if answers else None, attributes)


def _session(name: str, calls: Sequence[_Call]) -> Session:
    after = predecessors([call.start_ns for call in calls], [call.end_ns for call in calls])
    parts = with_history([call.messages for call in calls], [call.answer for call in calls])
    turns = []
    for number, (call, (history, new)) in enumerate(zip(calls, parts, strict=True)):
        if not all(_is_before(one, number, after) for one in history):
            history, new = (), call.messages  # what it repeats was not known yet: sent as it was
        free = max((calls[other].end_ns for other in after[number]), default=call.start_ns)
        gap = min(call.start_ns - free, MOST_PAUSE_NS)
        by_tool = bool(new) and new[-1].get("role") == "tool"
        given = count_in(_number(call.attributes.get("gen_ai.usage.input_tokens"))) or 1
        made = Blocks(ids=(), words=given, scope=f"{name}:{number}")
        turns.append(
            Turn(
                messages=new,
                blocks=None if call.messages else made,
                answer=call.answer,
                history=history,
                after=after[number],
                think_ns=0 if by_tool else gap,
                tool_ns=gap if by_tool else 0,
                max_tokens=_limit_of(call.attributes),
                extra_body=_tools_of(call.attributes.get("gen_ai.tool.definitions")),
            )
        )
    return Session(id=name, turns=tuple(turns), start_ns=calls[0].start_ns)


def _is_before(one: int, number: int, after: Sequence[tuple[int, ...]]) -> bool:
    """Return whether turn `number` waits for turn `one`, itself or by others."""
    todo = [number]
    while todo:
        for before in after[todo.pop()]:
            if before == one:
                return True
            if before > one:
                todo.append(before)
    return False


def _limit_of(attributes: dict[str, Any]) -> int | None:
    names = ("gen_ai.request.max_tokens", "gen_ai.usage.output_tokens")
    return next((found for name in names if (found := count_in(_number(attributes.get(name))))), None)


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 18 else value


def _attributes_of(value: Any) -> dict[str, Any]:
    """Return attributes as a table: OTLP writes a list of keys with typed values."""
    if isinstance(value, dict):
        return value
    return {str(one.get("key")): _plain(one.get("value")) for one in as_list(value) if isinstance(one, dict)}


def _plain(value: Any) -> Any:
    """Return an AnyValue of OTLP's JSON as a plain value."""
    if not isinstance(value, dict) or len(value) != 1:
        return value
    kind, inner = next(iter(value.items()))
    if kind == "arrayValue":
        return [_plain(one) for one in as_list(as_dict(inner).get("values"))]
    if kind == "kvlistValue":
        return _attributes_of(as_dict(inner).get("values"))
    return _number(inner) if kind == "intValue" else inner


def _time_of(span: dict[str, Any], names: Sequence[str], where: str) -> int:
    value = next((span[name] for name in names if span.get(name) is not None), None)
    if isinstance(value, str) and not value.isdecimal():
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            raise UnusableRow(f"{where}: {value[:40]!r} is no time") from None
        return (at.replace(tzinfo=at.tzinfo or UTC) - _EPOCH) // datetime.resolution * NS_PER_US
    value = _number(value)
    if isinstance(value, float):  # seconds since 1970
        value = round(value * NS_PER_S)
    if not isinstance(value, int) or not 0 <= value < 2**62:
        raise UnusableRow(f"{where}: no {names[0]}")
    return value


def _messages_of(value: Any, role: str | None = None) -> Iterator[Message]:
    """Yield messages of the conventions as the chat API writes them; plain parts are messages of `role`."""
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except ValueError:
            value = [{"type": "text", "content": value}] if role else []
    if role is not None and isinstance(value, list) and value and "parts" not in as_dict(value[0]):
        value = [{"role": role, "parts": value}]
    for message in value if isinstance(value, list) else []:
        if isinstance(message, dict):
            yield from _chat_messages(message)


def _chat_messages(message: dict[str, Any]) -> Iterator[Message]:
    """Yield a message; each result of a tool is one of its own."""
    role = str(message.get("role") or "user")
    parts = message.get("parts")
    if not isinstance(parts, list):
        yield {"role": role, **{name: message[name] for name in _PLAIN if name in message}}
        return
    texts, calls = [], []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text":
            texts.append(str(part.get("content") or ""))
        elif kind == "tool_call":
            arguments = part.get("arguments")
            text = arguments if isinstance(arguments, str) else _json(arguments)
            function = {"name": str(part.get("name") or ""), "arguments": text}
            calls.append({"id": str(part.get("id") or ""), "type": "function", "function": function})
        elif kind == "tool_call_response":
            result = part.get("response", part.get("result"))
            content = result if isinstance(result, str) else _json(result)
            yield {"role": "tool", "tool_call_id": str(part.get("id") or ""), "content": content}
    if texts or calls:
        found: Message = {"role": role, "content": "\n".join(texts) if texts else None}
        yield {**found, "tool_calls": calls} if calls else found


def _json(value: Any) -> str:
    return msgspec.json.encode({} if value is None else value).decode()


def _tools_of(value: Any) -> dict[str, Any]:
    """Return the tools of a call as the chat API takes them."""
    if isinstance(value, str):
        try:
            value = parse_json(value)
        except ValueError:
            return {}
    tools = []
    for one in value if isinstance(value, list) else []:
        if isinstance(one, dict):
            flat = {key: item for key, item in one.items() if key != "type"}
            tools.append(one if "function" in one else {"type": "function", "function": flat})
    return {"tools": tools} if tools else {}
