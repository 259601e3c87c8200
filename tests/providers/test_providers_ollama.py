"""Ollama's own API: addresses, what chat and generate are asked, and what lines and whole answers say."""

import json

import pytest
from made import streamed, whole

from lens.model import CONTENT
from lens.providers.ollama import RULES, OllamaReader
from lens.providers.registry import get_provider
from lens.wire import Ask, Prompt, Secret

PIXEL = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}
LAST = {
    "model": "m-1",
    "done": True,
    "done_reason": "stop",
    "load_duration": 2_000_000,
    "eval_duration": 5_000_000,
    "prompt_eval_count": 7,
    "eval_count": 5,
}


def asked(prompt, **ask):
    request = get_provider("ollama").encode(prompt, Ask(model="m", **ask), "http://o", Secret("k"))
    return request.path, json.loads(request.body)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", None),
        ("box", "http://box:11434"),
        ("box:1", "http://box:1"),
        ("http://box/", "http://box:11434"),
        ("https://box", "https://box"),
    ],
)
def test_the_address_is_read_as_its_own_client_reads_it(host, url):
    assert get_provider("ollama").base_url_from({"OLLAMA_HOST": host}) == url


def test_a_message_has_its_images_beside_its_text_and_arguments_as_objects():
    call = {"id": "c", "function": {"name": "look", "arguments": '{"at":1}'}}
    messages = (
        {"role": "user", "content": [{"type": "text", "text": "see"}, PIXEL]},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "a cat"},
    )
    path, body = asked(Prompt(messages=messages), max_tokens=9, temperature=0.5, seed=3)
    assert path == "/api/chat"
    assert body["messages"] == [
        {"role": "user", "content": "see", "images": ["iVBO"]},
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "look", "arguments": {"at": 1}}}]},
        {"role": "tool", "content": "a cat", "tool_name": "look"},
    ]
    assert body["options"] == {"num_predict": 9, "temperature": 0.5, "seed": 3}


def test_a_plain_completion_has_a_prompt_and_a_system_text():
    path, body = asked(Prompt(text="Why?", system="Be brief."), api="generate", stream=False)
    assert path == "/api/generate"
    assert body == {"model": "m", "stream": False, "prompt": "Why?", "system": "Be brief."}


@pytest.mark.parametrize("lines", [
    [{"message": {"thinking": "hm"}}, {"message": {"content": "yes"}}, LAST],
    [{"thinking": "hm"}, {"response": "yes"}, LAST],
])  # fmt: skip
def test_a_chat_and_a_completion_name_their_text_differently(lines):
    answer = streamed(RULES, *lines)
    found = OllamaReader(answer).read()
    assert (found.category, found.reasoning, found.text, found.finish_reason) == ("success", "hm", "yes", "stop")
    assert [bool(bits & CONTENT) for bits in answer.events.signals] == [True, True, False]
    assert (found.served_model, found.usage.input_tokens, found.usage.total_tokens) == ("m-1", 7, 12)
    assert found.server_timing_ms == {"ollama_load": 2.0, "ollama_eval": 5.0}


def test_counts_of_a_cached_prompt_are_unknown_and_so_is_the_total():
    found = OllamaReader(streamed(RULES, {"response": "a"}, {"done": True, "eval_count": 5})).read()
    assert (found.usage.input_tokens, found.usage.output_tokens, found.usage.total_tokens) == (None, 5, None)
    assert OllamaReader(streamed(RULES, {"response": "a"}, {"done": True})).read().usage is None


@pytest.mark.parametrize(
    ("document", "category"),
    [
        ({"message": {"content": "yes"}, **LAST}, "success"),
        ({"response": "yes", **LAST}, "success"),
        ({"error": "model not found"}, "stream_error"),
        ({"version": "0.1"}, "protocol_error"),
    ],
)
def test_a_document_is_one_line(document, category):
    assert OllamaReader(whole(document)).read().category == category


def test_a_stream_without_its_last_line_is_cut():
    assert OllamaReader(streamed(RULES, {"response": "a"})).read().category == "truncated"
