"""Conversations whose both speakers are written down: OpenAI's `messages` and ShareGPT's `conversations`.

Everything up to the next answer of the assistant is one turn; the answer is what `--history recorded` repeats.

Sources: https://platform.openai.com/docs/api-reference/chat/create (messages), and the data cards of
https://huggingface.co/datasets/anon8231489123/ShareGPT_Vicuna_unfiltered (from, value).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from msgspec.structs import replace

from lens.orchestrator.prompts import ROLES
from lens.orchestrator.sessions.dependencies import with_history
from lens.orchestrator.sessions.rows import Row, UnusableRow, count_in, messages_in, pause_ns, time_ns
from lens.orchestrator.sessions.session import Message, Session, Turn, linear_session
from lens.providers.values import as_list
from lens.units import NS_PER_MS


def is_messages(row: dict[str, Any]) -> bool:
    """Return whether a row is a conversation of chat messages."""
    return isinstance(row.get("messages"), list)


def read_messages(rows: Sequence[Row]) -> Iterator[Session | UnusableRow]:
    """Yield a session for each row with `messages`; rows of one session_id are the turns of one session."""
    groups: dict[str, list[tuple[int, Row]]] = {}
    for number, row in enumerate(rows):
        name = row.value.get("session_id", row.value.get("conversation_id"))
        groups.setdefault(f"row {number}" if name is None else f"id {name}", []).append((number, row))
    for members in groups.values():
        number, (where, value) = members[0]
        try:
            if len(members) > 1:
                yield of_rows(session_name(value, number), [row for _, row in members])
            else:
                yield conversation(messages_in(value.get("messages"), where), value, number, where)
        except UnusableRow as error:
            yield error


def is_sharegpt(row: dict[str, Any]) -> bool:
    """Return whether a row is a ShareGPT conversation."""
    return isinstance(row.get("conversations"), list)


def read_sharegpt(rows: Sequence[Row]) -> Iterator[Session | UnusableRow]:
    """Yield a session for each row with `conversations`, with all its turns."""
    for number, (where, row) in enumerate(rows):
        try:
            messages = [_said(item, where) for item in as_list(row.get("conversations"))]
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


def of_rows(name: str, rows: Sequence[Row]) -> Session:
    """Return the session of rows with messages: each has all that was said before, or only what is new.

    Raises:
        UnusableRow: one has no messages, or a time that is none.
    """
    turns = [_turn_of(row) for row in rows]
    start = time_ns(rows[0].value.get("timestamp"), NS_PER_MS, rows[0].where)
    session = linear_session(name, turns, start)
    if any(row.value.get("message_mode") == "delta" for row in rows):
        return session
    answers = [_answer_in(after.messages, len(before.messages)) for before, after in pairwise(turns)]
    parts = with_history([turn.messages for turn in turns], [*answers, None])
    made = [
        replace(turn, history=history, messages=new, answer=answer)
        for turn, (history, new), answer in zip(session.turns, parts, [*answers, None], strict=True)
    ]
    return replace(session, turns=tuple(made))


def _turn_of(row: Row) -> Turn:
    where, value = row
    extra = value["extra"] if isinstance(value.get("extra"), dict) else {}
    return Turn(
        messages=tuple(messages_in(value.get("messages"), where)),
        think_ns=pause_ns(value.get("delay"), NS_PER_MS, where, "delay"),
        max_tokens=count_in(value.get("output_length", value.get("max_tokens"))),
        extra_body={**extra, **({"tools": value["tools"]} if value.get("tools") else {})},
    )


def _answer_in(messages: tuple[Message, ...], place: int) -> Message | None:
    """Return the answer that the next row has behind the messages of this one."""
    found = messages[place] if place < len(messages) else None
    return found if found is not None and found.get("role") == "assistant" else None


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
