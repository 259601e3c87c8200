"""Conversations whose both speakers are written down: OpenAI's `messages` and ShareGPT's `conversations`.

Everything up to the next answer of the assistant is one turn; the answer is what `--history recorded` repeats.

Sources: https://platform.openai.com/docs/api-reference/chat/create (messages), and the data cards of
https://huggingface.co/datasets/anon8231489123/ShareGPT_Vicuna_unfiltered (from, value).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lens.orchestrator.prompts import ROLES
from lens.orchestrator.sessions.rows import Row, UnusableRow, count_in, messages_in
from lens.orchestrator.sessions.session import Message, Session, Turn, linear_session


def is_messages(row: dict[str, Any]) -> bool:
    """Return whether a row is a conversation of chat messages."""
    return isinstance(row.get("messages"), list)


def read_messages(rows: Sequence[Row]) -> Iterator[Session | UnusableRow]:
    """Yield a session for each row with `messages`."""
    for number, (where, row) in enumerate(rows):
        try:
            yield conversation(messages_in(row.get("messages"), where), row, number, where)
        except UnusableRow as error:
            yield error


def is_sharegpt(row: dict[str, Any]) -> bool:
    """Return whether a row is a ShareGPT conversation."""
    return isinstance(row.get("conversations"), list)


def read_sharegpt(rows: Sequence[Row]) -> Iterator[Session | UnusableRow]:
    """Yield a session for each row with `conversations`, with all its turns."""
    for number, (where, row) in enumerate(rows):
        try:
            messages = [_said(item, where) for item in row.get("conversations") or []]
            yield conversation(messages, row, number, where)
        except UnusableRow as error:
            yield error


def _said(item: Any, where: str) -> Message:
    role = ROLES.get(str(item.get("from", item.get("role"))).lower()) if isinstance(item, dict) else None
    if role is None:
        raise UnusableRow(f"{where}: a turn of the conversation has no known speaker")
    return {"role": role, "content": item.get("value", item.get("content", ""))}


def conversation(messages: Sequence[Message], row: dict[str, Any], number: int, where: str) -> Session:
    """Return the session of a conversation: a turn for each answer, and one for what is asked last.

    Raises:
        UnusableRow: nobody asks anything.
    """
    extra = {name: row[name] for name in ("tools", "tool_choice") if row.get(name)}
    limit = count_in(row.get("max_tokens"))
    turns = [
        Turn(messages=asked, answer=answer, max_tokens=limit, extra_body=extra)
        for asked, answer in split_turns(messages)
    ]
    if not turns:
        raise UnusableRow(f"{where}: nobody asks anything in this conversation")
    return linear_session(session_name(row, number), turns)


def split_turns(messages: Sequence[Message]) -> Iterator[tuple[tuple[Message, ...], Message | None]]:
    """Yield (what is asked, answer) of each turn; an answer that nobody asked for is part of what is asked next."""
    asked: list[Message] = []
    for message in messages:
        if message.get("role") == "assistant" and any(is_asking(one) for one in asked):
            yield tuple(asked), message
            asked = []
        else:
            asked.append(message)
    if any(is_asking(one) for one in asked):
        yield tuple(asked), None


def is_asking(message: Message) -> bool:
    """Return whether a message wants an answer: of the user, or the result of a tool."""
    return message.get("role") in ("user", "tool", "function")


def session_name(row: dict[str, Any], number: int) -> str:
    """Return the id that a row gives, or one of its place in the file."""
    names = ("session_id", "conversation_id", "id", "trace_id")
    found = next((row[name] for name in names if isinstance(row.get(name), str | int)), None)
    return str(found) if found not in (None, "") else f"session-{number}"
