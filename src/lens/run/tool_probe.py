"""Doctor's question about tool calls: what a request of each protocol holds to have a tool called with a long text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lens.config.settings import TargetConfig
from lens.providers.base import Body
from lens.providers.registry import get_provider

NAME = "save_text"
TASK = "Call the tool save_text once. Its text is the numbers from 1 to 60 in words, one after the other."
_ABOUT = "Save a text."
_SCHEMA: Body = {
    "type": "object",
    "properties": {"text": {"type": "string", "description": "The whole text."}},
    "required": ["text"],
}
_CHAT_TOOL: Body = {"type": "function", "function": {"name": NAME, "description": _ABOUT, "parameters": _SCHEMA}}


def _responses() -> Body:
    tool = {"type": "function", "name": NAME, "description": _ABOUT, "parameters": _SCHEMA}
    return {"tools": [tool], "tool_choice": {"type": "function", "name": NAME}}


def _chat() -> Body:
    return {"tools": [_CHAT_TOOL], "tool_choice": {"type": "function", "function": {"name": NAME}}}


def _messages() -> Body:
    tool = {"name": NAME, "description": _ABOUT, "input_schema": _SCHEMA}
    return {"tools": [tool], "tool_choice": {"type": "tool", "name": NAME}}


def _gemini() -> Body:
    declared = {"name": NAME, "description": _ABOUT, "parameters": _SCHEMA}
    wanted = {"mode": "ANY", "allowedFunctionNames": [NAME]}
    return {"tools": [{"functionDeclarations": [declared]}], "toolConfig": {"functionCallingConfig": wanted}}


def _converse() -> Body:
    spec = {"name": NAME, "description": _ABOUT, "inputSchema": {"json": _SCHEMA}}
    return {"toolConfig": {"tools": [{"toolSpec": spec}], "toolChoice": {"tool": {"name": NAME}}}}


# By API, as the providers call theirs.
_BODIES: dict[str, Callable[[], Body]] = {
    "chat": _chat,
    "responses": _responses,
    "messages": _messages,
    "gemini": _gemini,
    "gemini-array": _gemini,
    "converse": _converse,
}
_OWN: dict[str, Body] = {
    "ollama": {"tools": [_CHAT_TOOL]},
    "cohere": {"tools": [_CHAT_TOOL], "tool_choice": "REQUIRED"},
}


def tool_body(target: TargetConfig) -> dict[str, Any] | None:
    """Return what a request of this target holds to have a tool called; None where its API has no tools we know."""
    provider = get_provider(target.provider)
    api = target.api or (provider.apis[0] if provider.apis else "")
    if api == "chat" and provider.name in _OWN:
        return _OWN[provider.name]
    made = _BODIES.get(api)
    return made() if made is not None else None
