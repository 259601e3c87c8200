"""Gemini's generateContent: what is asked, what each chunk adds, and how an answer may end."""

import json

import pytest
from made import streamed, whole
from recorded import check, names_of, raw

from lens.model import CONTENT
from lens.providers.google import RULES, GeminiReader
from lens.providers.registry import get_provider
from lens.wire import Ask, Prompt, Secret

USAGE = {
    "promptTokenCount": 7,
    "toolUsePromptTokenCount": 2,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 3,
    "cachedContentTokenCount": 4,
    "totalTokenCount": 17,
}


def reading_of(exchange):
    return GeminiReader(exchange).read()


def asked(prompt, **ask):
    request = get_provider("google").encode(prompt, Ask(model="gemini-3", **ask), "https://g/v1beta", Secret("k"))
    return json.loads(request.body)


def chunk(*parts, finish=None, **more):
    candidate = {"content": {"role": "model", "parts": list(parts)}, **({"finishReason": finish} if finish else {})}
    return {"candidates": [candidate], "modelVersion": "gemini-3-001", **more}


def text(said, **more):
    return {"text": said, **more}


@pytest.mark.parametrize("name", names_of("gemini_sse", "gemini_json"))
def test_each_recorded_answer_gives_what_is_expected(name):
    check(name, [raw(name)])


def test_a_prompt_is_one_content_and_limits_are_settings():
    body = asked(Prompt(text="Why?", system="Be brief."), max_tokens=9, temperature=0.0, seed=3)
    assert body == {
        "contents": [{"role": "user", "parts": [{"text": "Why?"}]}],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "generationConfig": {"maxOutputTokens": 9, "temperature": 0.0, "seed": 3},
    }
    assert "generationConfig" not in asked(Prompt(text="Why?"))
    assert asked(Prompt(text="Why?", max_tokens=4), max_tokens=9)["generationConfig"] == {"maxOutputTokens": 4}


def test_parts_and_roles_change_their_names():
    images = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
        {"type": "image_url", "image_url": {"url": "https://x/a.png"}},
    ]
    call = {"id": "c", "function": {"name": "f", "arguments": '{"a":1}'}}
    body = asked(
        Prompt(
            messages=(
                {"role": "user", "content": [{"type": "text", "text": "see"}, *images, {"videoMetadata": {"fps": 1}}]},
                {"role": "assistant", "content": "I see", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c", "content": "not JSON"},
            )
        )
    )
    assert body["contents"] == [
        {
            "role": "user",
            "parts": [
                {"text": "see"},
                {"inlineData": {"mimeType": "image/png", "data": "iVBO"}},
                {"fileData": {"fileUri": "https://x/a.png"}},
                {"videoMetadata": {"fps": 1}},
            ],
        },
        {"role": "model", "parts": [{"text": "I see"}, {"functionCall": {"name": "f", "args": {"a": 1}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"result": "not JSON"}}}]},
    ]


def test_thoughts_are_apart_and_billed_as_output():
    answer = streamed(
        RULES, chunk(text("hm", thought=True)), chunk(text("yes")), chunk(finish="STOP", usageMetadata=USAGE)
    )
    found = reading_of(answer)
    assert (found.category, found.text, found.reasoning, found.finish_reason) == ("success", "yes", "hm", "STOP")
    assert found.served_model == "gemini-3-001"
    usage = found.usage
    assert (usage.input_tokens, usage.output_tokens, usage.reasoning_tokens) == (9, 8, 3)
    assert (usage.cache_read_tokens, usage.total_tokens) == (4, 17)
    assert [bool(bits & CONTENT) for bits in answer.events.signals] == [True, True, False]


def test_tokens_of_each_event_are_told_where_every_chunk_counts():
    counted = [chunk(text("a"), usageMetadata={"candidatesTokenCount": n}) for n in (2, 5, 6)]
    assert reading_of(streamed(RULES, *counted, chunk(finish="STOP"))).tokens_per_event == (2, 3, 1)
    once = [chunk(text("a")), chunk(text("b"), usageMetadata={"candidatesTokenCount": 4}, finish="STOP")]
    assert reading_of(streamed(RULES, *once)).tokens_per_event is None


def test_the_last_finish_reason_counts_where_each_chunk_has_one():
    found = reading_of(streamed(RULES, chunk(text("a"), finish="STOP"), chunk(text("b"), finish="MAX_TOKENS")))
    assert (found.text, found.finish_reason) == ("ab", "MAX_TOKENS")


@pytest.mark.parametrize(
    ("events", "category", "says"),
    [
        ([chunk(text("a"))], "truncated", "without a finish reason"),
        ([chunk(text("a"), finish="STOP")], "success", None),
        ([chunk(finish="SAFETY")], "success", None),
        ([{"promptFeedback": {"blockReason": "SAFETY"}}], "content_filtered", "the prompt was blocked: SAFETY"),
        ([chunk(text("a")), {"error": {"code": 503, "message": "overloaded"}}], "stream_error", "overloaded"),
        ([chunk(text("a")), b"{oops"], "protocol_error", "not valid JSON"),
        ([b"  ", chunk({"functionCall": {"name": "f", "args": {}}}, finish="STOP")], "success", None),
    ],
)
def test_a_stream_ends_as_its_last_chunks_say(events, category, says):
    found = reading_of(streamed(RULES, *events))
    assert found.category == category
    assert says is None or says in found.failure.message


@pytest.mark.parametrize("packed", [False, True])
def test_a_document_is_one_chunk_or_a_list_of_them(packed):
    chunks = [chunk(text("a")), chunk(text("b"), finish="STOP", usageMetadata=USAGE)]
    found = reading_of(whole(chunks if packed else chunk(text("ab"), finish="STOP", usageMetadata=USAGE)))
    assert (found.category, found.text, found.usage.output_tokens) == ("success", "ab", 8)


@pytest.mark.parametrize(
    ("document", "category", "says"),
    [
        (b"<html>", "protocol_error", "is the base URL that of an API?"),
        ([], "protocol_error", "is the base URL"),
        ([chunk(text("a")), 1], "protocol_error", "is the base URL"),
        ({"kind": "other"}, "protocol_error", "is the base URL"),
        ({"candidates": []}, "empty", "the answer holds no candidate"),
        ({"promptFeedback": {"blockReason": "OTHER"}}, "content_filtered", "blocked: OTHER"),
        ({"error": {"message": "it broke"}}, "stream_error", "it broke"),
    ],
)
def test_a_document_that_is_no_answer_is_reported(document, category, says):
    found = reading_of(whole(document))
    assert found.category == category
    assert says in found.failure.message


def test_counts_that_nobody_gave_are_not_nothing():
    found = reading_of(whole(chunk(text("a"), finish="STOP")))
    assert found.usage is None
    assert found.usage_raw is None
