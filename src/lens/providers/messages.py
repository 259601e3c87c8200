"""Take apart messages as the chat API writes them, for the protocols that write them otherwise.

What is already in a protocol's own form goes through unchanged, so that a prompt file may use either.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from lens.patterns import lazy_pattern
from lens.providers.values import as_dict, as_list, parse_json
from lens.wire import Prompt

Message = dict[str, Any]
_DATA_URL = lazy_pattern(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w=.-]+)*;base64,(.*)", re.DOTALL)


def parse_data_url(url: Any) -> tuple[str, str] | None:
    """Return (media type, base64) of a data URL (RFC 2397), or None where it is another kind of URL."""
    found = _DATA_URL.fullmatch(url) if isinstance(url, str) else None
    return (found[1], found[2]) if found else None


def text_of(content: Any) -> str:
    """Return the text of a content that is a string or a list of parts."""
    if isinstance(content, str):
        return content
    return "".join([str(as_dict(part).get("text") or "") for part in as_list(content)])


def parts_of(content: Any) -> list[dict[str, Any]]:
    """Return a content as a list of parts."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [as_dict(part) for part in as_list(content)]


def plain_text(prompt: Prompt) -> str:
    """Return the prompt for an API that takes plain text."""
    return prompt.text or "\n".join(text_of(message.get("content")) for message in prompt.messages)


def plain_text_with_system(prompt: Prompt) -> str:
    """Return the same behind the system text, for an API that has no place for that."""
    parts = (None if prompt.messages else prompt.system, plain_text(prompt))
    return "\n".join([part for part in parts if part])


def is_system(message: Message) -> bool:
    """Return whether a message speaks for whoever runs the model."""
    return message.get("role") in ("system", "developer")


def split_system(prompt: Prompt) -> tuple[str | None, list[Message]]:
    """Return the system text, and the messages without it."""
    messages = prompt.as_messages()
    system = [text_of(message.get("content")) for message in messages if is_system(message)]
    return "\n".join(system) or None, [message for message in messages if not is_system(message)]


def is_tool_result(message: Message) -> bool:
    """Return whether a message holds the result of a tool call."""
    return message.get("role") == "tool"


def group_tool_results(messages: Iterable[Message]) -> Iterator[list[Message]]:
    """Yield each message alone, but tool results that follow each other as one group: parallel calls get one turn."""
    for results, run in groupby(messages, key=is_tool_result):
        if results:
            yield list(run)
        else:
            yield from ([message] for message in run)


def with_tool_names(messages: Iterable[Message]) -> Iterator[Message]:
    """Yield the messages, each tool result with the name of its call; the chat API gives only the call's id."""
    names: dict[str, str] = {}  # an id may come again in a later turn; then the later call is meant
    for message in messages:
        name = names.get(str(message.get("tool_call_id")))
        yield {**message, "name": name} if is_tool_result(message) and name and not message.get("name") else message
        names |= {id_: name for id_, name, _ in tool_calls_of(message)}


def tool_calls_of(message: Message) -> list[tuple[str, str, dict[str, Any]]]:
    """Return (id, name, arguments) of each tool call of an assistant's message."""
    calls = []
    for call in as_list(message.get("tool_calls")):
        function = as_dict(as_dict(call).get("function"))
        arguments = function.get("arguments")
        parsed = parse_json(arguments.encode()) if isinstance(arguments, str) else arguments
        calls.append((str(as_dict(call).get("id") or ""), str(function.get("name") or ""), as_dict(parsed)))
    return calls
