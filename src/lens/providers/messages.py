"""Messages as the chat API writes them, taken apart for the protocols that write them otherwise.

What is already in a protocol's own form goes through unchanged, so that a prompt file may use either.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from lens.providers.base import as_dict, as_list, parsed
from lens.wire import Prompt

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w=.-]+)*;base64,(.*)", re.DOTALL)


def data_url(url: Any) -> tuple[str, str] | None:
    """(media type, base64) of a data URL; None where it is another kind of URL."""
    found = _DATA_URL.fullmatch(url) if isinstance(url, str) else None
    return (found[1], found[2]) if found else None


def text_of(content: Any) -> str:
    """The text of a content that is a string or a list of parts."""
    if isinstance(content, str):
        return content
    return "".join([str(as_dict(part).get("text") or "") for part in as_list(content)])


def is_system(message: dict[str, Any]) -> bool:
    """It speaks for whoever runs the model."""
    return message.get("role") in ("system", "developer")


def system_and_turns(prompt: Prompt) -> tuple[str | None, list[dict[str, Any]]]:
    """The system text, and the turns without it."""
    messages = prompt.as_messages()
    said = [text_of(m.get("content")) for m in messages if is_system(m)]
    return "\n".join(said) or None, [m for m in messages if not is_system(m)]


def is_tool_answer(message: dict[str, Any]) -> bool:
    """It brings back what a tool said."""
    return message.get("role") == "tool"


def answers_together(turns: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Each turn alone, but tools' answers that follow each other as one: calls made at once are answered at once."""
    for answers, run in groupby(turns, key=is_tool_answer):
        if answers:
            yield list(run)
        else:
            yield from ([turn] for turn in run)


def with_tool_names(turns: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The turns, each tool's answer under the name of the call that it answers; the chat API gives only an id."""
    names: dict[str, str] = {}  # an id may come again in a later turn; then the later call is meant
    for turn in turns:
        named = names.get(str(turn.get("tool_call_id")))
        yield {**turn, "name": named} if is_tool_answer(turn) and named and not turn.get("name") else turn
        names |= {id_: name for id_, name, _ in calls_of(turn)}


def parts_of(content: Any) -> list[dict[str, Any]]:
    """A content as a list of parts."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [as_dict(part) for part in as_list(content)]


def calls_of(message: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """(id, name, arguments) of each tool call of an assistant's message."""
    found = []
    for call in as_list(message.get("tool_calls")):
        function = as_dict(as_dict(call).get("function"))
        arguments = function.get("arguments")
        told = parsed(arguments.encode()) if isinstance(arguments, str) else arguments
        found.append((str(as_dict(call).get("id") or ""), str(function.get("name") or ""), as_dict(told)))
    return found
