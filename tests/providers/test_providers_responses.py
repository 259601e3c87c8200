"""OpenAI's Responses API: what is asked, what each typed event adds, and how an answer may end."""

import json

import pytest
from made import streamed, whole
from recorded import check, names_of, raw

from lens.model import CONTENT, Signal
from lens.providers.registry import get_provider
from lens.providers.responses import RULES, ResponsesReader
from lens.wire import Ask, Prompt, Secret

PIXEL = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO", "detail": "low"}}
USAGE = {"input_tokens": 7, "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 12}


def reading_of(exchange):
    return ResponsesReader(exchange).read()


def asked(prompt):
    ask = Ask(model="m", api="responses")
    return json.loads(get_provider("openai").encode(prompt, ask, "https://x/v1", Secret("k")).body)


def delta(kind, text, **more):
    return {"type": kind, "delta": text, **more}


def last(kind="response.completed", status="completed", **more):
    return {"type": kind, "response": {"model": "m-1", "status": status, "usage": USAGE, **more}}


@pytest.mark.parametrize("name", names_of("openai_responses"))
def test_each_recorded_answer_gives_what_is_expected(name):
    check(name, [raw(name)])


def test_a_text_is_the_input_and_the_system_are_instructions():
    body = asked(Prompt(text="Why?", system="Be brief."))
    assert (body["input"], body["instructions"], body["model"]) == ("Why?", "Be brief.", "m")
    assert "instructions" not in asked(Prompt(text="Why?"))


def test_messages_become_items_and_their_parts_change_names():
    body = asked(
        Prompt(
            messages=(
                {"role": "user", "content": [{"type": "text", "text": "see"}, PIXEL, {"type": "input_file", "id": 1}]},
                {"role": "assistant", "content": [{"type": "text", "text": "I see"}]},
                {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": '{"a":1}'}}]},
                {"role": "tool", "tool_call_id": "c", "content": "done"},
                {"content": "plain"},
            )
        )
    )
    assert body["input"] == [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "see"},
                {"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "low"},
                {"type": "input_file", "id": 1},
            ],
        },
        {"role": "assistant", "content": [{"type": "output_text", "text": "I see"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a":1}'},
        {"type": "function_call_output", "call_id": "c", "output": "done"},
        {"role": "user", "content": "plain"},
    ]


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("response.output_text.delta", "text"),
        ("response.reasoning_text.delta", "reasoning"),
        ("response.reasoning_summary_text.delta", "reasoning"),
        ("response.refusal.delta", "refusal"),
        ("response.audio.transcript.delta", "audio_transcript"),
    ],
)
def test_only_deltas_add_and_each_is_content(kind, field):
    done = {"type": kind.replace(".delta", ".done"), "text": "one two"}
    answer = streamed(RULES, delta(kind, "one "), delta(kind, "two"), done, last())
    found = reading_of(answer)
    assert getattr(found, field) == "one two"
    assert [bool(bits & CONTENT) for bits in answer.events.signals] == [True, True, False, False]
    assert (found.category, found.finish_reason, found.served_model) == ("success", "completed", "m-1")
    assert (found.usage.input_tokens, found.usage.output_tokens, found.usage.reasoning_tokens) == (7, 5, 2)


@pytest.mark.parametrize(
    ("kind", "argument"),
    [
        ("response.function_call_arguments.delta", "arguments"),
        ("response.custom_tool_call_input.delta", "input"),
        ("response.mcp_call_arguments.delta", "arguments"),
    ],
)
def test_a_call_is_named_by_its_item_and_filled_by_its_deltas(kind, argument):
    item = {"type": "call", "id": "i", "call_id": "c", "name": "look", argument: ""}
    answer = streamed(
        RULES,
        {"type": "response.output_item.added", "output_index": 1, "item": item},
        delta(kind, '{"a"', output_index=1),
        delta(kind, ":1}", output_index=1),
        {"type": "response.output_item.done", "output_index": 1, "item": {**item, argument: '{"a":1}'}},
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message"}},
        last(),
    )
    (call,) = reading_of(answer).tool_calls
    assert (call.name, call.arguments, call.id) == ("look", '{"a":1}', "c")


def test_arguments_for_a_call_that_was_never_named_are_no_call():
    answer = streamed(RULES, delta("response.function_call_arguments.delta", "{}", output_index=4), last())
    assert reading_of(answer).tool_calls == ()


@pytest.mark.parametrize(
    ("events", "category", "says"),
    [
        ([delta("response.output_text.delta", "a")], "truncated", "without a finish reason"),
        ([last()], "success", None),
        ([delta("response.output_text.delta", "a"), b"{oops"], "protocol_error", "not valid JSON"),
        ([b"[1]"], "protocol_error", "not valid JSON"),
        ([{"type": "error", "code": "server_error", "message": "out of slots"}], "stream_error", "out of slots"),
        ([{"error": {"message": "too many", "code": "rate_limit"}}], "stream_error", "too many"),
        (
            [last("response.failed", "failed", error={"code": "server_error", "message": "it broke"})],
            "stream_error",
            "it broke",
        ),
        ([delta("response.made_up.delta", "x"), {"type": "response.output_text.delta"}, last()], "success", None),
        ([b"", last(), b" [DONE]"], "success", None),
    ],
)  # fmt: skip
def test_a_stream_ends_as_its_last_events_say(events, category, says):
    found = reading_of(streamed(RULES, *events))
    assert found.category == category
    assert says is None or says in found.failure.message


def test_an_answer_that_was_cut_short_says_why():
    answer = streamed(
        RULES,
        delta("response.output_text.delta", "a"),
        last("response.incomplete", "incomplete", incomplete_details={"reason": "max_output_tokens"}),
    )
    assert reading_of(answer).finish_reason == "incomplete:max_output_tokens"
    assert answer.events.signals[1] & Signal.FINISH
    assert answer.events.signals[1] & Signal.USAGE


def test_a_document_holds_all_of_it_at_once():
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "content": [{"type": "output_text", "text": "yes"}, {"type": "refusal", "refusal": "no"}]},
        {"type": "custom_tool_call", "name": "run", "input": "ls", "id": "i"},
        {"type": "function_call", "name": "f", "arguments": {"a": 1}, "call_id": "c"},
        {"type": "message", "content": [{"type": "output_text"}, "odd"]},
    ]
    found = reading_of(whole({"model": "m-1", "status": "completed", "output": output, "usage": USAGE}))
    assert (found.category, found.text, found.reasoning, found.refusal) == ("success", "yes", "hm", "no")
    assert [(call.name, call.arguments, call.id) for call in found.tool_calls] == [
        ("run", "ls", "i"),
        ("f", '{"a":1}', "c"),
    ]


@pytest.mark.parametrize(
    ("document", "category", "says"),
    [
        (b"<html>", "protocol_error", "is the base URL that of an API?"),
        ([], "protocol_error", "is the base URL"),
        ({"id": "x"}, "protocol_error", "is the base URL"),
        ({"output": [], "status": "completed"}, "empty", "the answer holds no output"),
        ({"error": {"message": "it broke"}, "status": "failed"}, "stream_error", "it broke"),
    ],
)
def test_a_document_that_is_no_answer_is_reported(document, category, says):
    found = reading_of(whole(document))
    assert found.category == category
    assert says in found.failure.message


def test_a_document_that_was_cut_keeps_what_the_transport_said():
    assert reading_of(whole({"output": []}, ended=False)).category == "truncated"
    assert reading_of(whole({}, ended=False, category="timeout")).category == "timeout"


def test_a_status_that_is_no_success_comes_first():
    found = reading_of(whole({"error": {"message": "no such model"}}, status=404, reason="Not Found"))
    assert found.failure.message == "no such model"
    assert found.failure.where == "http"
