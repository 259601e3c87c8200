"""OpenAI Responses: typed events with sequence numbers; the whole text is repeated at the end (WIRE 5.3)."""

# ruff: noqa: ARG002 - each method is handed what any dialect may need

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from lens.simulator.dialects.base import dumps, named_sse
from lens.simulator.dialects.openai import ERRORS, OpenAI
from lens.simulator.http import Request
from lens.simulator.job import CLOSING, CREATED_S, OPENING, TOOL_NAME, Event, Job, Slot, Turn, prompt_tokens_of


def usage_of(job: Job) -> dict[str, Any]:
    """Token counts in the names of Responses."""
    return {
        "input_tokens": job.prompt_tokens,
        "input_tokens_details": {"cached_tokens": job.cached_tokens},
        "output_tokens": job.output_tokens,
        "output_tokens_details": {"reasoning_tokens": job.script.reasoning_tokens},
        "total_tokens": job.prompt_tokens + job.output_tokens,
    }


class Item:
    """One output item: how it begins, grows and ends. `kind` is the slots' kind."""

    def __init__(self, job: Job, kind: str, index: int) -> None:
        self.job, self.kind, self.index = job, kind, index
        self.id = job.id({"reasoning": "rs_", "text": "msg_", "tool": "fc_"}[kind], 32)

    def shape(self, text: str | None) -> dict[str, Any]:
        """The item, empty while text is None."""
        done = text is not None
        if self.kind == "reasoning":
            summary = [{"type": "summary_text", "text": text}] if done else []
            return {"id": self.id, "type": "reasoning", "summary": summary}
        status = {"status": "completed" if done else "in_progress"}
        if self.kind == "tool":
            call = {"arguments": text or "", "call_id": self.job.id("call_"), "name": TOOL_NAME}
            return {"id": self.id, "type": "function_call", **status, **call}
        content = [self.part(text)] if text is not None else []
        return {"id": self.id, "type": "message", **status, "role": "assistant", "content": content}

    def part(self, text: str) -> dict[str, Any]:
        if self.kind == "reasoning":
            return {"type": "summary_text", "text": text}
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def place(self) -> dict[str, Any]:
        """What every event of this item says first."""
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
        text = self.job.said(self.kind)
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

    def turn(self, request: Request, body: dict[str, Any]) -> Turn:
        return Turn(
            dialect=self.name,
            model=str(body.get("model") or "simulated"),
            stream=bool(body.get("stream")),
            prompt_tokens=prompt_tokens_of(body),
            max_tokens=body.get("max_output_tokens"),
        )

    def events(self, job: Job) -> Iterator[Event]:
        write = self._writer()
        yield write(OPENING, "meta", "response.created", {"response": self._response(job, "in_progress")})
        yield write(OPENING, "meta", "response.in_progress", {"response": self._response(job, "in_progress")})
        for item in self._items(job):
            yield from self._item_events(job, item, write)
        last = "incomplete" if job.finish == "length" else "completed"
        yield write(CLOSING, "done", f"response.{last}", {"response": self._response(job, last)})

    def _item_events(self, job: Job, item: Item, write: Callable[..., Event]) -> Iterator[Event]:
        slots = [slot for slot in job.slots if slot.kind == item.kind]
        begins_at = OPENING if slots[0].index == 0 else slots[0].index
        for name, body in item.begin():
            # A tool's name is output of its own: it comes with its first arguments.
            at, kind = (slots[0].index, "tool") if item.kind == "tool" else (begins_at, "meta")
            yield write(at, kind, name, body)
        for slot in slots:
            yield write(slot.index, slot.kind, *item.delta(slot.text), slot.tokens)
        for name, body in item.finish():
            yield write(self._after(slots[-1]), "meta", name, body)

    @staticmethod
    def _after(slot: Slot) -> int:
        return CLOSING if slot.final else slot.index

    @staticmethod
    def _writer() -> Callable[..., Event]:
        """Events with the next sequence number."""
        sequence = iter(range(1 << 30))

        def write(slot: int, kind: str, name: str, body: dict[str, Any], tokens: int = 0) -> Event:
            return Event(slot, kind, named_sse(name, {"type": name, "sequence_number": next(sequence), **body}), tokens)

        return write

    @staticmethod
    def _items(job: Job) -> list[Item]:
        kinds = [slot.kind for slot in job.slots if slot.first]
        return [Item(job, kind, index) for index, kind in enumerate(kinds)]

    def _response(self, job: Job, status: str) -> dict[str, Any]:
        over = status != "in_progress"
        return {
            "id": job.id("resp_", 32),
            "object": "response",
            "created_at": CREATED_S,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": None,
            "max_output_tokens": job.turn.max_tokens,
            "model": job.turn.model,
            "output": [item.shape(job.said(item.kind)) for item in self._items(job)] if over else [],
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
            "usage": usage_of(job) if over and job.reports_usage else None,
            "user": None,
            "metadata": {},
        }

    def document(self, job: Job) -> bytes:
        return dumps(self._response(job, "incomplete" if job.finish == "length" else "completed"))

    def error_event(self, job: Job) -> bytes:
        _, code, message = ERRORS.get(job.script.error, ERRORS["server"])
        failed = self._response(job, "in_progress")
        failed |= {"status": "failed", "error": {"code": code or "server_error", "message": message}}
        body = {"type": "response.failed", "sequence_number": 1 << 20, "response": failed}
        return named_sse("response.failed", body)

    def malformed_event(self) -> bytes:
        return b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"cut o\n\n'
