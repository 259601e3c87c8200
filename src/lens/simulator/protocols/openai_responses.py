"""OpenAI Responses: typed events with sequence numbers; the whole text is repeated at the end.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from lens.simulator.http import Request
from lens.simulator.protocols.completion import CLOSING, CREATED_S, OPENING, TOOL_NAME, Completion, Event
from lens.simulator.protocols.framing import dumps, named_sse, typed_event
from lens.simulator.protocols.openai import ERRORS, OpenAI


def usage_of(completion: Completion) -> dict[str, Any]:
    """Return token counts in the names of Responses."""
    return {
        "input_tokens": completion.prompt_tokens,
        "input_tokens_details": {"cached_tokens": completion.cached_tokens},
        "output_tokens": completion.output_tokens,
        "output_tokens_details": {"reasoning_tokens": completion.script.reasoning_tokens},
        "total_tokens": completion.prompt_tokens + completion.output_tokens,
    }


class Item:
    """One output item: how it begins, grows and ends. `kind` is that of its deltas."""

    def __init__(self, completion: Completion, kind: str, index: int) -> None:
        self.completion, self.kind, self.index = completion, kind, index
        self.id = completion.make_id({"reasoning": "rs_", "text": "msg_", "tool": "fc_"}[kind], 32)

    def shape(self, text: str | None) -> dict[str, Any]:
        """Return the item, empty while text is None."""
        done = text is not None
        if self.kind == "reasoning":
            summary = [{"type": "summary_text", "text": text}] if done else []
            return {"id": self.id, "type": "reasoning", "summary": summary}
        status = {"status": "completed" if done else "in_progress"}
        if self.kind == "tool":
            call = {"arguments": text or "", "call_id": self.completion.make_id("call_"), "name": TOOL_NAME}
            return {"id": self.id, "type": "function_call", **status, **call}
        content = [self.part(text)] if text is not None else []
        return {"id": self.id, "type": "message", **status, "role": "assistant", "content": content}

    def part(self, text: str) -> dict[str, Any]:
        if self.kind == "reasoning":
            return {"type": "summary_text", "text": text}
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def place(self) -> dict[str, Any]:
        """Return what every event of this item says first."""
        which = {"reasoning": {"summary_index": 0}, "text": {"content_index": 0}, "tool": {}}[self.kind]
        return {"item_id": self.id, "output_index": self.index, **which}

    def begin(self) -> Iterator[tuple[str, dict[str, Any]]]:
        yield "response.output_item.added", {"output_index": self.index, "item": self.shape(None)}
        if self.kind != "tool":
            yield f"{self._part_name()}.added", {**self.place(), "part": self.part("")}

    def delta(self, text: str) -> tuple[str, dict[str, Any]]:
        logprobs: dict[str, Any] = {"logprobs": []} if self.kind == "text" else {}
        return f"{self._text_name()}.delta", {**self.place(), "delta": text, **logprobs}

    def finish(self) -> Iterator[tuple[str, dict[str, Any]]]:
        text = self.completion.text_of(self.kind)
        key = "arguments" if self.kind == "tool" else "text"
        yield f"{self._text_name()}.done", {**self.place(), key: text}
        if self.kind != "tool":
            yield f"{self._part_name()}.done", {**self.place(), "part": self.part(text)}
        yield "response.output_item.done", {"output_index": self.index, "item": self.shape(text)}

    def _part_name(self) -> str:
        return "response.reasoning_summary_part" if self.kind == "reasoning" else "response.content_part"

    def _text_name(self) -> str:
        names = {"reasoning": "reasoning_summary_text", "text": "output_text", "tool": "function_call_arguments"}
        return f"response.{names[self.kind]}"


class Responses(OpenAI):
    """POST /responses."""

    name = "openai_responses"

    def token_limit(self, body: dict[str, Any]) -> Any:
        return body.get("max_output_tokens")

    def variant_of(self, request: Request, body: dict[str, Any]) -> str:
        return ""

    def events(self, completion: Completion) -> Iterator[Event]:
        write = self._writer()
        yield write(OPENING, "meta", "response.created", {"response": self._response(completion, "in_progress")})
        yield write(OPENING, "meta", "response.in_progress", {"response": self._response(completion, "in_progress")})
        for item in self._items(completion):
            yield from self._item_events(completion, item, write)
        last = "incomplete" if completion.finish == "length" else "completed"
        yield write(CLOSING, "done", f"response.{last}", {"response": self._response(completion, last)})

    @staticmethod
    def _item_events(completion: Completion, item: Item, write: Callable[..., Event]) -> Iterator[Event]:
        deltas = [delta for delta in completion.deltas if delta.kind == item.kind]
        for name, body in item.begin():
            # A tool's name is output of its own: it comes with its first arguments.
            at, kind = (deltas[0].index, "tool") if item.kind == "tool" else (deltas[0].opens_at, "meta")
            yield write(at, kind, name, body)
        for delta in deltas:
            yield write(delta.index, delta.kind, *item.delta(delta.text), delta.tokens)
        for name, body in item.finish():
            yield write(deltas[-1].closes_at, "meta", name, body)

    @staticmethod
    def _writer() -> Callable[..., Event]:
        """Return a maker of events, each with the next sequence number."""
        sequence = iter(range(1 << 30))

        def write(at: int, kind: str, name: str, body: dict[str, Any], tokens: int = 0) -> Event:
            return typed_event(at, kind, name, {"sequence_number": next(sequence), **body}, tokens)

        return write

    @staticmethod
    def _items(completion: Completion) -> list[Item]:
        return [Item(completion, kind, index) for index, kind in enumerate(completion.kinds)]

    def _response(self, completion: Completion, status: str) -> dict[str, Any]:
        over = status != "in_progress"
        return {
            "id": completion.make_id("resp_", 32),
            "object": "response",
            "created_at": CREATED_S,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": None,
            "max_output_tokens": completion.params.max_tokens,
            "model": completion.params.model,
            "output": [item.shape(completion.text_of(item.kind)) for item in self._items(completion)] if over else [],
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": False,
            "temperature": 1.0,
            "text": {"format": {"type": "text"}, "verbosity": "medium"},
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": usage_of(completion) if over and completion.reports_usage else None,
            "user": None,
            "metadata": {},
        }

    def document(self, completion: Completion) -> bytes:
        return dumps(self._response(completion, "incomplete" if completion.finish == "length" else "completed"))

    def error_event(self, completion: Completion) -> bytes:
        _, code, message = ERRORS.get(completion.script.error, ERRORS["server"])
        failed = self._response(completion, "in_progress")
        failed |= {"status": "failed", "error": {"code": code or "server_error", "message": message}}
        body = {"type": "response.failed", "sequence_number": 1 << 20, "response": failed}
        return named_sse("response.failed", body)

    def malformed_event(self) -> bytes:
        return b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"cut o\n\n'
