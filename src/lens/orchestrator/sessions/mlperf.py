"""MLPerf Endpoints' flat rows: one message a row, a conversation by its conversation_id.

Rows of role `user` and `tool` ask, those of `assistant` answer. `delay_seconds` is waited before a row that asks: by a
person, or by tools before their results.

Source: https://github.com/mlcommons/endpoints, docs/MULTI_TURN_QUICKSTART.md and examples/09_MultiTurn
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lens.orchestrator.sessions.conversations import is_asking
from lens.orchestrator.sessions.rows import Row, UnusableRow, count_in, pause_ns
from lens.orchestrator.sessions.session import Message, Session, Turn, linear_session
from lens.units import NS_PER_S

_ROLES = ("system", "user", "assistant", "tool")


def is_mlperf(row: dict[str, Any]) -> bool:
    """Return whether a row is one message of a conversation."""
    return "conversation_id" in row and "turn" in row and "role" in row


def read_mlperf(rows: Sequence[Row]) -> Iterator[Session | UnusableRow]:
    """Yield a session for each conversation."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        name = row.value.get("conversation_id")
        if not isinstance(name, str | int) or not isinstance(row.value.get("turn"), int):
            yield UnusableRow(f"{row.where}: no conversation_id and turn")
            continue
        groups.setdefault(str(name), []).append(row)
    for name, members in groups.items():
        try:
            yield _session(name, sorted(members, key=lambda row: row.value["turn"]))
        except UnusableRow as error:
            yield error


def _session(name: str, rows: Sequence[Row]) -> Session:
    turns: list[Turn] = []
    asked: list[Message] = []
    about: dict[str, Any] = {}  # of the turn that is being put together
    for where, row in rows:
        messages = _messages_of(row, where)
        if row["role"] == "assistant" and any(map(is_asking, asked)):
            turns.append(Turn(messages=tuple(asked), answer=messages[-1], **about))
            asked, about = [], {}
            continue
        if isinstance(row.get("system"), str) and not turns and not asked:
            asked.append({"role": "system", "content": row["system"]})
        asked += messages
        about = _about(row, where, about)
    if any(map(is_asking, asked)):
        turns.append(Turn(messages=tuple(asked), **about))
    if not turns:
        raise UnusableRow(f"{rows[0].where}: nobody asks anything in conversation {name!r}")
    return linear_session(name, turns)


def _about(row: dict[str, Any], where: str, before: dict[str, Any]) -> dict[str, Any]:
    """Return what a row says of its turn beside the messages, laid over what rows before it said."""
    pause = pause_ns(row.get("delay_seconds"), NS_PER_S, where, "delay_seconds")
    name = "tool_ns" if row["role"] == "tool" else "think_ns"
    found = {**before, name: before.get(name, 0) + pause}
    if limit := count_in(row.get("max_new_tokens")):
        found["max_tokens"] = limit
    if row.get("tools"):
        found["extra_body"] = {"tools": row["tools"]}
    return found


def _messages_of(row: dict[str, Any], where: str) -> list[Message]:
    role = row.get("role")
    if role not in _ROLES:
        raise UnusableRow(f"{where}: role {role!r} is none of {', '.join(_ROLES)}")
    results = row.get("tool_results")
    if role == "tool" and isinstance(results, list):
        return [{"role": "tool", **one} for one in results if isinstance(one, dict)]
    message: Message = {"role": role, "content": row.get("content")}
    for name in ("tool_calls", "tool_call_id", "name"):
        if row.get(name):
            message[name] = row[name]
    if message["content"] is None and not message.get("tool_calls"):
        raise UnusableRow(f"{where}: no content")
    return [message]
