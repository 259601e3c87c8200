"""Every protocol says what the script says: text, reasoning, tool call, usage and end, by parsers of our own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import simulator_wire as wire

from lens.simulator import make_script

WORDS = "measure this stream, please"  # four words
MESSAGES = [{"role": "user", "content": WORDS}]
FAST = "ttft=5ms,itl=1ms"


class Protocol(NamedTuple):
    """How to ask for a stream, how to read it, and where the counts are."""

    path: str
    body: dict[str, Any]
    parse: Any
    counts: Any  # usage -> (input, output)
    document_path: str | None = None  # where it differs from path
    tools: bool = True


def openai_counts(usage):
    return usage["prompt_tokens"], usage["completion_tokens"]


def anthropic_counts(usage):
    return usage["input_tokens"] + usage["cache_read_input_tokens"], usage["output_tokens"]


def google_counts(usage):
    return usage["promptTokenCount"], usage["candidatesTokenCount"] + usage.get("thoughtsTokenCount", 0)


def converse_counts(usage):
    return usage["inputTokens"] + usage.get("cacheReadInputTokens", 0), usage["outputTokens"]


def ollama_counts(usage):
    return usage["prompt_eval_count"], usage["eval_count"]


def cohere_counts(usage):
    return usage["tokens"]["input_tokens"], usage["tokens"]["output_tokens"]


CHAT = {"model": "m", "messages": MESSAGES, "stream": True, "stream_options": {"include_usage": True}}
CLAUDE = {"model": "claude", "max_tokens": 9, "messages": MESSAGES, "stream": True}
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": WORDS}]}]}
VERTEX = "/v1beta1/projects/p/locations/l/publishers"
BLOCKS = {"messages": [{"role": "user", "content": [{"text": WORDS}]}], "inferenceConfig": {"maxTokens": 9}}
MODEL = "/model/anthropic.claude-v1%3A0"

PROTOCOLS = {
    "chat": Protocol("/v1/chat/completions", CHAT, wire.parse_openai, openai_counts),
    "azure": Protocol(
        "/openai/deployments/d/chat/completions?api-version=2024-10-21", CHAT, wire.parse_openai, openai_counts
    ),
    "responses": Protocol(
        "/v1/responses",
        {"model": "m", "input": WORDS, "stream": True},
        wire.parse_responses,
        lambda usage: (usage["input_tokens"], usage["output_tokens"]),
    ),
    "anthropic": Protocol("/v1/messages", CLAUDE, wire.parse_anthropic, anthropic_counts),
    "anthropic on vertex": Protocol(
        f"{VERTEX}/anthropic/models/claude@1:streamRawPredict",
        {"anthropic_version": "v", "max_tokens": 9, "messages": MESSAGES, "stream": True},
        wire.parse_anthropic,
        anthropic_counts,
        f"{VERTEX}/anthropic/models/claude@1:rawPredict",
    ),
    "gemini": Protocol(
        "/v1/models/gem:streamGenerateContent?alt=sse",
        CONTENTS,
        wire.parse_google,
        google_counts,
        "/v1/models/gem:generateContent",
    ),
    "gemini array": Protocol(
        "/v1beta/models/gem:streamGenerateContent", CONTENTS, wire.parse_google_array, google_counts
    ),
    "vertex": Protocol(
        f"{VERTEX}/google/models/gem:streamGenerateContent?alt=sse", CONTENTS, wire.parse_google, google_counts
    ),
    "converse": Protocol(f"{MODEL}/converse-stream", BLOCKS, wire.parse_converse, converse_counts, f"{MODEL}/converse"),
    "invoke": Protocol(
        f"{MODEL}/invoke-with-response-stream", CLAUDE, wire.parse_invoke, anthropic_counts, f"{MODEL}/invoke"
    ),
    "ollama chat": Protocol("/api/chat", {"model": "m", "messages": MESSAGES}, wire.parse_ollama, ollama_counts),
    "ollama generate": Protocol(
        "/api/generate", {"model": "m", "prompt": WORDS}, wire.parse_ollama, ollama_counts, tools=False
    ),
    "cohere": Protocol(
        "/v2/chat", {"model": "m", "messages": MESSAGES, "stream": True}, wire.parse_cohere, cohere_counts
    ),
}


@pytest.fixture(scope="module")
def simulator():
    with wire.running() as handle:
        yield handle


def stream(handle, protocol: Protocol, script: str) -> wire.Answer:
    return wire.ask(handle, protocol.path, protocol.body, {"x-lens-script": script})


@dataclass
class Case:
    script: str
    reasoning: int = 0
    text: int = 0
    tool: int = 0


CASES = {
    "text": Case("tokens=60", text=60),
    "reasoning, then text": Case("tokens=12,reasoning=7,cached=3", 7, 12),
    "text, then a tool": Case("tokens=4,tool=9", 0, 4, 9),
    "all, three tokens an event": Case("tokens=10,reasoning=4,tool=6,per-chunk=3", 4, 10, 6),
    "only a tool": Case("tokens=0,tool=5", 0, 0, 5),
    "nothing": Case("tokens=0"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))
def test_a_protocol_says_what_the_script_says(simulator, protocol, case):
    script = make_script(tokens=case.text, reasoning=case.reasoning, tool=case.tool)
    answer = stream(simulator, protocol, f"{case.script},{FAST}")
    assert (answer.status, answer.complete, answer.error) == (200, True, "")
    got = protocol.parse(answer.body)
    if protocol.tools:
        assert got.text == script.expected_text()
        assert bool(got.tool_name) == bool(case.tool)
        if case.tool:
            assert json.loads(got.tool) == json.loads(script.expected_arguments())
    assert got.reasoning == script.expected_reasoning()
    assert got.done
    assert protocol.counts(got.usage) == (4, case.text + case.reasoning + case.tool)


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))
def test_the_log_counts_the_events_that_a_client_counts(simulator, protocol):
    answer = stream(simulator, protocol, f"tokens=11,reasoning=4,{FAST}")
    record = simulator.log(last=1)[0]
    counted = [event[4] for event in record["events"] if event[4] is not None]
    assert counted == list(range(protocol.parse(answer.body).events))
    assert sum(event[3] == "text" for event in record["events"]) == 11
    assert sum(event[3] == "reasoning" for event in record["events"]) == 4
    assert record["protocol"] == record["dialect"]  # both names of the field are kept


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))
def test_a_limit_asked_for_ends_the_answer(simulator, protocol):
    limits = {
        "max_tokens": 5, "max_completion_tokens": 5, "max_output_tokens": 5, "inferenceConfig": {"maxTokens": 5},
        "generationConfig": {"maxOutputTokens": 5}, "options": {"num_predict": 5},
    }  # fmt: skip
    limited = protocol._replace(body={**protocol.body, **limits})
    got = protocol.parse(stream(simulator, limited, f"tokens=request,{FAST}").body)
    assert got.text == make_script(tokens=5).expected_text()
    assert got.finish in ("length", "incomplete", "max_tokens", "MAX_TOKENS")


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))
def test_an_answer_in_one_piece_holds_the_whole_text(simulator, protocol):
    body = {**protocol.body, "stream": False}
    if protocol.document_path is None and ":stream" in protocol.path:
        path = protocol.path.partition("?")[0].replace(":streamGenerateContent", ":generateContent")
    else:
        path = protocol.document_path or protocol.path
    script = make_script(tokens=9, reasoning=3)
    answer = wire.ask(simulator, path, body, {"x-lens-script": f"tokens=9,reasoning=3,{FAST}"})
    assert answer.headers["content-type"] == "application/json"
    shown = json.dumps(json.loads(answer.body), ensure_ascii=False)
    assert json.dumps(script.expected_text(), ensure_ascii=False) in shown


@pytest.mark.parametrize(("status", "kind"), [(401, "auth"), (429, "rate_limit"), (500, "server"), (400, "context")])
@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))
def test_an_error_has_its_status_and_its_protocols_shape(simulator, protocol, status, kind):
    answer = stream(simulator, protocol, f"status={status},error={kind},retry-after=1.5")
    assert (answer.status, answer.complete) == (status, True)
    body = json.loads(answer.body)
    body = body[0] if isinstance(body, list) else body
    assert "error" in body or "message" in body
    if protocol.parse in (wire.parse_openai, wire.parse_anthropic):
        assert answer.headers["retry-after"] == "2"
    if protocol.parse is wire.parse_converse:
        assert answer.headers["x-amzn-errortype"].partition(":")[0].endswith("Exception")
    if protocol.parse in (wire.parse_google, wire.parse_google_array):
        assert body["error"]["details"][-1]["retryDelay"] == "1.5s"


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))
def test_an_error_in_mid_stream_ends_the_events_but_not_the_http(simulator, protocol):
    answer = stream(simulator, protocol, f"tokens=10,error-at=3,{FAST}")
    assert (answer.status, answer.complete) == (200, True)
    assert any(mark in answer.body for mark in (b'"error"', b"throttlingException"))
    record = simulator.log(last=1)[0]
    kinds = [event[3] for event in record["events"]]
    assert kinds[-1] == "error"
    assert kinds.count("text") == 3


def test_legacy_completions_have_no_event_before_the_first_content(simulator):
    body = {"model": "m", "prompt": WORDS, "stream": True, "stream_options": {"include_usage": True}}
    answer = wire.ask(simulator, "/v1/completions", body, {"x-lens-script": f"tokens=20,{FAST}"})
    assert json.loads(wire.sse(answer.body)[0][1])["choices"][0]["text"]
    got = wire.parse_openai(answer.body)
    assert got.text == make_script(tokens=20).expected_text()
    assert openai_counts(got.usage) == (4, 20)


@pytest.mark.parametrize("usage", ["asked", "never", "always"])
@pytest.mark.parametrize("asked", [True, False])
def test_chat_usage_comes_as_script_and_request_say(simulator, usage, asked):
    answer = wire.chat(simulator, f"usage={usage},tokens=3,{FAST}", usage=asked)
    assert (wire.parse_openai(answer.body).usage is not None) == (usage == "always" or (usage == "asked" and asked))


def test_embeddings_are_as_many_as_their_inputs_and_equal_in_both_encodings(simulator):
    import base64
    import struct

    body = {"model": "m", "input": ["one two", "three"]}
    plain = json.loads(wire.ask(simulator, "/v1/embeddings", body, {"x-lens-script": FAST}).body)
    packed = json.loads(
        wire.ask(simulator, "/v1/embeddings", {**body, "encoding_format": "base64"}, {"x-lens-script": FAST}).body
    )
    assert plain["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert len(plain["data"]) == 2
    for a, b in zip(plain["data"], packed["data"], strict=True):
        assert a["embedding"] == pytest.approx(struct.unpack("<8f", base64.b64decode(b["embedding"])))


def test_azure_annotates_before_the_role_and_with_each_choice(simulator):
    answer = stream(simulator, PROTOCOLS["azure"], f"tokens=2,{FAST}")
    events = [json.loads(data) for _, data in wire.sse(answer.body) if data != "[DONE]"]
    assert events[0]["prompt_filter_results"]
    assert events[0]["choices"] == []
    assert all("content_filter_results" in choice for event in events for choice in event["choices"])


def test_more_embeddings_than_a_server_makes_at_once_are_refused(simulator):
    answer = wire.ask(simulator, "/v1/embeddings", {"model": "m", "input": ["a"] * 2049})
    assert answer.status == 400
    assert b"at most 2048" in answer.body


def test_an_unknown_path_is_404_and_an_unreadable_body_400(simulator):
    assert wire.ask(simulator, "/v1/nothing", {}).status == 404
    assert wire.ask(simulator, "/v1/chat/completions", ["no object"]).status == 400


@pytest.mark.parametrize("limit", ["many", -1, 1.5, 10**12, [1]])
@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))
def test_an_invalid_token_limit_is_refused_and_the_server_goes_on(simulator, protocol, limit):
    limits = {
        "max_tokens": limit, "max_completion_tokens": limit, "max_output_tokens": limit,
        "inferenceConfig": {"maxTokens": limit}, "generationConfig": {"maxOutputTokens": limit},
        "options": {"num_predict": limit},
    }  # fmt: skip
    assert stream(simulator, protocol._replace(body={**protocol.body, **limits}), "tokens=request").status == 400
    assert wire.chat(simulator, f"tokens=1,{FAST}").status == 200


def test_models_are_listed(simulator):
    answer = wire.ask(simulator, "/v1/models", None, method="GET")
    assert json.loads(answer.body)["data"][0]["id"] == "simulated"


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))
def test_a_malformed_event_cannot_be_read(simulator, protocol):
    answer = stream(simulator, protocol, f"tokens=6,malformed-at=3,{FAST}")
    assert answer.complete
    with pytest.raises((ValueError, AssertionError)):
        protocol.parse(answer.body)


@pytest.mark.parametrize("end", ["truncate-at=1", "reset-at=1"])
def test_an_answer_in_one_piece_can_break_off_too(simulator, end):
    body = {"model": "m", "messages": MESSAGES}
    answer = wire.ask(simulator, "/v1/chat/completions", body, {"x-lens-script": f"{end},{FAST}"})
    assert not answer.complete
    assert answer.error


def test_documents_have_tool_calls_and_can_be_compressed(simulator):
    body = {"model": "m", "messages": MESSAGES}
    header = {"x-lens-script": f"tokens=2,reasoning=3,tool=4,gzip,{FAST}"}
    answer = wire.ask(simulator, "/v1/chat/completions", body, header)
    message = json.loads(wire.plain(answer))["choices"][0]["message"]
    script = make_script(tokens=2, reasoning=3, tool=4)
    assert message["content"] == script.expected_text()
    assert message["reasoning_content"] == script.expected_reasoning()
    assert message["tool_calls"][0]["function"]["arguments"] == script.expected_arguments()
    answer = wire.ask(
        simulator, "/v1/completions", {"model": "m", "prompt": "a"}, {"x-lens-script": f"tokens=2,{FAST}"}
    )
    assert json.loads(answer.body)["choices"][0]["text"] == make_script(tokens=2).expected_text()


def converse_tool(answer):
    return answer["output"]["message"]["content"][-1]["toolUse"]["input"]


def cohere_tool(answer):
    return json.loads(answer["message"]["tool_calls"][0]["function"]["arguments"])


@pytest.mark.parametrize(("protocol", "tool_of"), [("converse", converse_tool), ("cohere", cohere_tool)])
def test_a_tool_call_in_one_piece_has_all_its_arguments(simulator, protocol, tool_of):
    asked = PROTOCOLS[protocol]
    header = {"x-lens-script": f"tokens=1,reasoning=2,tool=4,{FAST}"}
    answer = wire.ask(simulator, asked.document_path or asked.path, {**asked.body, "stream": False}, header)
    assert tool_of(json.loads(answer.body)) == json.loads(make_script(tool=4).expected_arguments())


def test_azure_says_why_it_filtered(simulator):
    answer = stream(simulator, PROTOCOLS["azure"], "status=400,error=content_filter")
    assert json.loads(answer.body)["error"]["innererror"]["code"] == "ResponsibleAIPolicyViolation"


@pytest.mark.parametrize("name", ["chat", "anthropic", "cohere"])
def test_a_tool_call_that_is_held_back_comes_at_once_when_it_is_complete(simulator, name):
    pieces, held = (
        stream(simulator, PROTOCOLS[name], f"ttft=1ms,itl=2ms,tokens=1,tool=9{more}") for more in ("", ",tool-buffered")
    )
    arguments = json.dumps(make_script(tool=9).expected_arguments(), ensure_ascii=False)[1:-1].encode()
    assert arguments in wire.plain(held)
    assert arguments not in wire.plain(pieces)
