"""What is read quickly is what the protocol's reader finds in the same bytes; anything else is left to it."""

import json

import pytest
from made import streamed
from recorded import exchange_of, raw, reading_of, request_of

from lens.providers import anthropic, openai, responses
from lens.providers.fragments import read_chat, read_messages, read_responses
from lens.providers.registry import get_provider
from lens.wire import Ask, Prompt, Secret

READERS = {"openai": openai.ChatReader, "responses": responses.ResponsesReader, "anthropic": anthropic.AnthropicReader}


def chat(call, *, index=0, **more):
    return {"choices": [{"index": index, "delta": {"tool_calls": [call]}, "finish_reason": None}], **more}


def piece(arguments, index=0, **more):
    return {"index": index, "function": {"arguments": arguments}, **more}


def block(text, index=1, kind="input_json_delta"):
    delta = {"type": kind, "partial_json": text}
    return {"type": "content_block_delta", "index": index, "delta": delta}


def item(delta, index=0, **more):
    return {"type": "response.function_call_arguments.delta", "output_index": index, "delta": delta, **more}


@pytest.mark.parametrize(
    ("read", "event", "found"),
    [
        (read_chat, chat(piece("a", 2), index=1), ((1, 2), "a")),
        (read_chat, chat(piece("a"), usage=None, error=None, obfuscation="xx"), ((0, 0), "a")),
        (read_chat, chat(piece("a", id="x")), None),
        (read_chat, chat({"index": 0, "function": {"name": "f", "arguments": "a"}}), None),
        (read_chat, chat({"index": 0, "custom": {"input": "a"}}), None),
        (read_chat, chat({"function": {"arguments": "a"}}), None),
        (read_chat, chat(piece({"a": 1})), None),
        (read_chat, chat(piece("a"), usage={"completion_tokens": 3}), None),
        (read_chat, chat(piece("a"), error={"message": "x"}), None),
        (read_chat, chat(piece("a"), perf_metrics={}), None),
        (read_chat, {"choices": []}, None),
        (read_chat, [], None),
        (read_messages, block("a"), (1, "a")),
        (read_messages, block("a", kind="text_delta"), None),
        (read_messages, {**block("a"), "type": "content_block_start"}, None),
        (read_messages, {**block("a"), "index": -1}, None),
        (read_responses, item("a", 3), (3, "a")),
        (read_responses, item("a", 3, response={}), None),
        (read_responses, {**item("a"), "type": "response.custom_tool_call_input.delta"}, None),
    ],
)
def test_only_a_piece_of_arguments_is_read_so(read, event, found):
    assert read(json.dumps(event).encode()) == found


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 5000, b"null", b"[DONE]"])
def test_no_bytes_break_it(data):
    for read in (read_chat, read_messages, read_responses):
        assert read(data) is None


CALLS = {
    "openai": [
        chat({"index": 0, "id": "x", "function": {"name": "f", "arguments": ""}}),
        chat(piece('{"a":')), chat(piece("1", 1)), chat(piece("2")), chat(piece("}", id="y")), chat(piece("", index=0)),
        chat(piece("z", index=7), index=3), b"[DONE]",
    ],
    "responses": [
        item("before"),
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "function_call", "name": "f"}},
        item('{"a"'), item(":1}"), item("other", 4),
    ],
    "anthropic": [
        block("before"),
        {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "t", "name": "f"}},
        block(""), block('{"a"'), block(":1}"), block("other", 2),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_an_answer_means_the_same_without_it(name, monkeypatch):
    codec = get_provider("anthropic" if name == "anthropic" else "openai")
    api = "responses" if name == "responses" else None
    request = codec.encode(Prompt(text="hi"), Ask(model="m", api=api), "https://a.example", Secret("k"))
    answer = streamed(request.signals, *CALLS[name])
    quickly = codec.decode(request, answer)
    monkeypatch.setattr(READERS[name], "read_fragment", None)
    assert codec.decode(request, answer) == quickly


@pytest.mark.parametrize(
    "name", ["oai_chat_tools_01", "oai_chat_tools_02", "oai_responses_tool_01", "anthropic_tool_01"]
)
def test_a_recorded_answer_means_the_same_without_it(name, monkeypatch):
    exchange, _ = exchange_of(name, [raw(name)], keep_all=True)
    quickly = reading_of(name, exchange)
    for reader in READERS.values():
        monkeypatch.setattr(reader, "read_fragment", None)
    assert reading_of(name, exchange) == quickly
    assert request_of(name).signals.blocks
