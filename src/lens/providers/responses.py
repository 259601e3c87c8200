"""OpenAI's Responses API: typed events, and the whole answer once more at the end.

Only deltas count. What a `.done` or `.completed` event repeats is no token; a type that is not known
is no token either, and does no harm.

Source: https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from lens.model import Failure, Signal, ToolCall, Usage
from lens.providers import fragments
from lens.providers.answers import AnswerReader, make_usage
from lens.providers.base import Body
from lens.providers.billing import reported_cost_usd, tool_tokens
from lens.providers.error_shapes import parse_error
from lens.providers.fragments import ReadFragment
from lens.providers.values import as_count, as_dict, as_list, as_name, as_str, json_text
from lens.wire import Ask, Exchange, Prompt, SignalRule, SignalRules, When

_TEXT = "response.output_text.delta"
_REASONING = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta", "response.reasoning.delta")
_ARGUMENTS = (
    "response.function_call_arguments.delta",
    "response.custom_tool_call_input.delta",
    "response.mcp_call_arguments.delta",
    "response.mcp_call.arguments.delta",  # of before, as some servers still send it
    "response.code_interpreter_call_code.delta",
    "response.code_interpreter_call.code.delta",
    "response.shell_call_command.delta",
    "response.apply_patch_call_operation_diff.delta",
)
# Calls whose arguments are JSON; those of others are code, a command, or a text of the tool's own grammar.
_JSON_CALLS = ("function_call", "mcp_call")
_COMMAND_ADDED = "response.shell_call_command.added"
# Tool calls of the API's own have no name; their type is one, and here stands what they are called with.
_OWN_TOOLS = {"shell_call": "action", "local_shell_call": "action", "apply_patch_call": "operation"}
# Calls that are billed by number, beside the tokens, and what a price list calls them.
_BILLED_CALLS = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_interpreter",
}
_PARTIAL_IMAGE = "response.image_generation_call.partial_image"
_REFUSAL = "response.refusal.delta"
_AUDIO = ("response.audio.delta", "response.output_audio.delta")
_TRANSCRIPTS = ("response.audio.transcript.delta", "response.output_audio_transcript.delta")
# What a hosted shell printed: it is no text of the model.
_TOOL_OUTPUT = "response.shell_call_output_content.delta"
# Ends of the names of events that repeat what deltas brought, or say only how far an item is.
_NO_NEWS = (".done", ".added", ".completed", ".created", ".in_progress", ".queued", ".searching", ".interpreting")
_ITEM_ADDED, _ITEM_DONE = "response.output_item.added", "response.output_item.done"
_LAST = ("response.completed", "response.incomplete", "response.failed")


def _when(kind: str, path: str, signal: Signal, **more: Any) -> SignalRule:
    return SignalRule(path, signal, when=When("", "type", kind), **more)


RULES = SignalRules(
    rules=(
        _when(_TEXT, "delta", Signal.TEXT),
        *[_when(kind, "delta", Signal.REASONING) for kind in _REASONING],
        *[_when(kind, "delta", Signal.TOOL) for kind in _ARGUMENTS],
        _when(_ITEM_ADDED, "item.name", Signal.TOOL),
        _when(_REFUSAL, "delta", Signal.REFUSAL),
        *[_when(kind, "delta", Signal.AUDIO) for kind in (*_TRANSCRIPTS, *_AUDIO)],
        _when(_COMMAND_ADDED, "command", Signal.TOOL),
        _when(_PARTIAL_IMAGE, "partial_image_b64", Signal.AUDIO),  # media of either kind
        *[_when(kind, "response.status", Signal.FINISH, takes="value") for kind in _LAST],
        *[_when(kind, "response.usage", Signal.USAGE, takes="value") for kind in _LAST],
        *[_when(kind, "type", Signal.DONE, takes="value") for kind in _LAST],
        SignalRule("response.error", Signal.ERROR, takes="value"),
        _when("error", "type", Signal.ERROR, takes="value"),
        SignalRule("error", Signal.ERROR, takes="value"),
    ),
    done=b"[DONE]",  # not OpenAI's, but some servers send it after the last event
    blocks=("output_index",),
)


def build_body(prompt: Prompt, ask: Ask) -> Body:
    """Return the request body without the stream options."""
    body: Body = {"model": ask.model}
    if prompt.messages:
        body["input"] = [item for message in prompt.messages for item in _items(message)]
    else:
        body["input"] = prompt.text
        if prompt.system:
            body["instructions"] = prompt.system
    return body


def _items(message: dict[str, Any]) -> list[Body]:
    """Return the input items of one message as the chat API writes it."""
    role = str(message.get("role") or "user")
    if role == "tool":
        output = message.get("content") or ""
        return [{"type": "function_call_output", "call_id": message.get("tool_call_id"), "output": output}]
    items: list[Body] = []
    if message.get("content"):
        items.append({"role": role, "content": _content(message["content"], role)})
    for call in as_list(message.get("tool_calls")):
        function = as_dict(as_dict(call).get("function"))
        named = {"name": function.get("name"), "arguments": function.get("arguments") or ""}
        items.append({"type": "function_call", "call_id": as_dict(call).get("id"), **named})
    return items


def _content(content: Any, role: str) -> Any:
    if not isinstance(content, list):
        return content
    parts: list[Any] = []
    for part in content:
        kind = as_dict(part).get("type")
        if kind == "text":
            parts.append({"type": "output_text" if role == "assistant" else "input_text", "text": part.get("text")})
        elif kind == "image_url":
            image = as_dict(part.get("image_url"))
            detail = {"detail": image["detail"]} if "detail" in image else {}
            parts.append({"type": "input_image", "image_url": image.get("url"), **detail})
        else:
            parts.append(part)
    return parts


class ResponsesReader(AnswerReader):
    """Read a response, event by event or whole."""

    read_fragment: ReadFragment | None = staticmethod(fragments.read_responses)
    content_scopes = ("delta", "delta.*")

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self._places: dict[str, Any] = {}  # id of an item -> where its call is, also where items share an index

    def scopes_of(self, event: Any) -> Sequence[str]:
        kind = as_str(event.get("type"))
        if kind == _TOOL_OUTPUT or kind.endswith(_NO_NEWS):
            return ()
        return self.content_scopes if "delta" in event else ("*",)

    def take_event(self, event: Any, name: str) -> None:  # noqa: ARG002
        kind = event.get("type")
        delta = event.get("delta")
        place = as_count(event.get("output_index")) or 0
        if kind in _LAST and not self.has_content():
            self.take_document(as_dict(event.get("response")))  # nothing of it came before
        elif kind in _LAST or kind == "response.created":
            self._take_response(as_dict(event.get("response")))
        elif kind in (_ITEM_ADDED, _ITEM_DONE):
            self._take_item(place, as_dict(event.get("item")), done=kind == _ITEM_DONE)
        elif kind == _COMMAND_ADDED:
            self.tools.extend(self._place_of(event, place), arguments=as_str(event.get("command")))
        elif not isinstance(delta, str):
            return
        elif kind == _TEXT:
            self.add_text(delta)
        elif kind in _REASONING:
            self.add_reasoning(delta)
        elif kind == _REFUSAL:
            self.add_refusal(delta)
        elif kind in _TRANSCRIPTS:
            self.add_transcript(delta)
        elif kind in _ARGUMENTS:
            self.tools.extend(self._place_of(event, place), arguments=delta)

    def _place_of(self, event: dict[str, Any], place: int) -> Any:
        """Return where the call is that an event goes on with: that of its item, else the newest at its index."""
        return self._places.get(as_str(event.get("item_id")), self.tools.locate(place, None))

    def take_document(self, document: Any) -> None:
        self._take_response(document)
        for place, item in enumerate(as_list(document.get("output"))):
            self._take_tool_call(place, as_dict(item))
            self._take_parts(as_dict(item))

    def is_answer(self, document: dict[str, Any]) -> bool:
        return "output" in document

    def missing_part(self, document: Any) -> str | None:
        return None if as_list(document["output"]) else "output"

    def failure_in(self, event: Any) -> Failure | None:
        """Return the failure of an `error` event, which is flat, or of a response that failed."""
        if event.get("type") == "error" and not event.get("error"):
            return parse_error({"error": event}) or Failure(message="")
        response = event.get("response")
        return super().failure_in(event) or (super().failure_in(response) if response else None)

    def is_done(self) -> bool:
        """Return whether the response's own last event came; [DONE], which some servers send besides, ends nothing."""
        return self.finish_reason is not None

    def usage(self) -> Usage | None:
        return parse_usage(self.usage_raw)

    def tool_calls(self) -> tuple[ToolCall, ...]:
        return tuple([call for call in super().tool_calls() if call.name])

    def _take_response(self, response: dict[str, Any]) -> None:
        """Take the response as it stands: who answers, and at the end why it ended and what was counted."""
        self.served_model = self.served_model or as_name(response.get("model"))
        status = as_name(response.get("status"))
        if status is not None and status not in ("queued", "in_progress"):
            reason = as_name(as_dict(response.get("incomplete_details")).get("reason"))
            self.finish_reason = f"{status}:{reason}" if reason else status
        self.bill.take_tier(response.get("service_tier"))
        if parse_usage(response.get("usage")) is not None:
            self.add_usage(response["usage"])
            self.reported_cost_usd = reported_cost_usd(response["usage"]) or self.reported_cost_usd
        told = as_dict(response.get("prompt_cache_diagnostics"))
        if (kind := as_name(told.get("type"))) != "cache_hit":
            self.take_cache_miss(told.get("reason") or kind, told.get("cache_missed_tokens"))
        self._take_tool_usage(response)

    def _take_tool_usage(self, response: dict[str, Any]) -> None:
        """Take what hosted tools are billed for: as the response counts it, else by the calls in its output."""
        told = as_dict(response.get("tool_usage"))
        self.bill.take_fee("web_search", as_dict(told.get("web_search")).get("num_requests"))
        tools = [as_dict(tool) for tool in as_list(response.get("tools"))]
        image_models = [as_name(tool.get("model")) for tool in tools if tool.get("type") == "image_generation"]
        self.bill.items = tool_tokens("image_generation", told.get("image_gen"), next(iter(image_models), None))
        called = Counter(
            as_str(as_dict(item).get("type")) for item in as_list(response.get("output")) if _is_billed(item)
        )
        for kind, tool in _BILLED_CALLS.items():
            if not (tool == "web_search" and "web_search" in told):
                self.bill.take_fee(tool, called[kind])

    def _take_item(self, place: int, item: dict[str, Any], *, done: bool) -> None:
        """Take the beginning or the end of an item of the output."""
        if item.get("type") == "reasoning":
            (self.close_thinking if done else self.open_thinking)(place)
        else:
            self._take_tool_call(place, item)

    def _take_tool_call(self, place: int, item: dict[str, Any]) -> None:
        kind = as_str(item.get("type"))
        name = as_name(item.get("name")) or (kind if kind in _OWN_TOOLS else None)
        if name is None:
            return
        id_ = as_name(item.get("call_id")) or as_name(item.get("id"))
        at = self.tools.locate(place, id_)
        if at != place:
            self.read_fragment = None  # it knows a call by its index alone
        self._places[as_str(item.get("id"))] = at
        streamed = self.tools.get(at).arguments
        whole = item.get(_OWN_TOOLS.get(kind, "")) if item.get("status") != "in_progress" else None
        arguments = item.get("arguments") or item.get("input") or streamed or whole or ""
        text = arguments if isinstance(arguments, str) else json_text(arguments)
        if kind not in _JSON_CALLS:
            self.tools.takes_text(at)
        self.tools.put(at, ToolCall(name=name, arguments=text, id=id_))

    def _take_parts(self, item: dict[str, Any]) -> None:
        """Take the text, reasoning and refusal of an item that came whole."""
        for part in [*as_list(item.get("content")), *as_list(item.get("summary"))]:
            piece = as_dict(part)
            if piece.get("type") == "refusal":
                self.add_refusal(as_str(piece.get("refusal")))
            elif piece.get("type") in ("summary_text", "reasoning_text"):
                self.add_reasoning(as_str(piece.get("text")))
            else:
                self.add_text(as_str(piece.get("text")))


def _is_billed(item: Any) -> bool:
    """Return whether an output item is a call that is billed: opening a page that a search found is none."""
    action = as_dict(as_dict(item).get("action")).get("type")
    return as_dict(item).get("type") != "web_search_call" or action in (None, "search")


def parse_usage(raw: Any) -> Usage | None:
    """Return the usage that a response reports; None where it counts neither input nor output."""
    usage = as_dict(raw)
    of_input, of_output = as_dict(usage.get("input_tokens_details")), as_dict(usage.get("output_tokens_details"))
    return make_usage(
        as_count(usage.get("input_tokens")),
        as_count(usage.get("output_tokens")),
        total=as_count(usage.get("total_tokens")),
        cache_read_tokens=as_count(of_input.get("cached_tokens")),
        cache_write_tokens=as_count(of_input.get("cache_write_tokens")),
        reasoning_tokens=as_count(of_output.get("reasoning_tokens")),
        audio_input_tokens=as_count(of_input.get("audio_tokens")),
        audio_output_tokens=as_count(of_output.get("audio_tokens")),
        cache_write_12h_tokens=as_count(as_dict(of_input.get("cache_write_tokens_details")).get("ttl_12h_tokens")),
        image_input_tokens=as_count(of_input.get("image_tokens")),
        image_output_tokens=as_count(of_output.get("image_tokens")),
    )
