"""Cohere's chat: what is asked, and what events and whole answers say."""

import json

import pytest
from made import streamed, whole

from lens.errors import ConfigError
from lens.model import CONTENT
from lens.providers.cohere import RULES, CohereReader
from lens.providers.registry import get_provider
from lens.wire import Ask, Prompt, Secret

CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}}
USAGE = {"billed_units": {"input_tokens": 1}, "tokens": {"input_tokens": 7, "output_tokens": 5}, "cached_tokens": 2}


def encoded(base_url="https://c/v2", **ask):
    return get_provider("cohere").encode(Prompt(text="hi"), Ask(model="m", **ask), base_url, Secret("k"))


def event(kind, **message):
    return {"type": kind, "index": 0, "delta": {"message": message}}


def end(reason="COMPLETE", **more):
    return {"type": "message-end", "delta": {"finish_reason": reason, "usage": USAGE, **more}}


def test_a_request_holds_what_is_asked():
    request = encoded(max_tokens=9, temperature=0.5, seed=3)
    assert json.loads(request.body) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "max_tokens": 9,
        "temperature": 0.5,
        "seed": 3,
    }
    assert dict(request.headers)[b"authorization"] == b"Bearer k"
    assert (request.path, encoded("https://c").path) == ("/v2/chat", "/v2/chat")
    with pytest.raises(ConfigError, match="no api 'x'; there is chat"):
        encoded(api="x")


def test_the_address_may_be_that_of_cohere_s_own_client():
    assert get_provider("cohere").base_url_from({"CO_API_URL": "http://x"}) == "http://x"
    assert get_provider("cohere").base_url_from({}) is None


def test_thinking_and_the_plan_before_a_tool_are_reasoning():
    answer = streamed(
        RULES,
        event("content-delta", content={"thinking": "hm"}),
        event("tool-plan-delta", tool_plan="I look"),
        event("tool-call-start", tool_calls={"id": "c1", "function": {"name": "look", "arguments": ""}}),
        event("tool-call-delta", tool_calls={"function": {"arguments": '{"at":1}'}}),
        event("content-delta", content={"text": "yes"}),
        end("TOOL_CALL"),
    )
    found = CohereReader(answer).read()
    assert (found.category, found.reasoning, found.text, found.finish_reason) == (
        "success",
        "hmI look",
        "yes",
        "TOOL_CALL",
    )
    assert [bool(bits & CONTENT) for bits in answer.events.signals] == [True] * 5 + [False]
    assert [(call.id, call.name, call.arguments) for call in found.tool_calls] == [("c1", "look", '{"at":1}')]
    assert (found.usage.input_tokens, found.usage.output_tokens, found.usage.cache_read_tokens) == (7, 5, 2)


@pytest.mark.parametrize(
    ("more", "says"), [({"error": "it broke"}, "it broke"), ({}, "the answer ended with finish reason ERROR")]
)
def test_an_answer_that_ended_by_an_error_is_no_success(more, says):
    found = CohereReader(streamed(RULES, event("content-delta", content={"text": "a"}), end("ERROR", **more))).read()
    assert (found.category, found.failure.message, found.failure.type) == ("stream_error", says, "ERROR")


def test_a_document_holds_all_of_it_at_once():
    message = {
        "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "yes"}],
        "tool_plan": "I look",
        "tool_calls": [CALL],
    }
    found = CohereReader(whole({"message": message, "finish_reason": "COMPLETE", "usage": USAGE})).read()
    assert (found.category, found.text, found.reasoning) == ("success", "yes", "hmI look")
    assert [(call.id, call.name, call.arguments) for call in found.tool_calls] == [("c1", "look", '{"at":1}')]
    assert found.usage.output_tokens == 5
    assert CohereReader(whole({"text": "v1"})).read().category == "protocol_error"
