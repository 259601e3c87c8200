"""Error bodies and statuses: which category they are, with which message; and how a stream ends."""

import msgspec
import pytest
from made import exchange

from lens.model import Failure
from lens.providers.error_shapes import parse_error
from lens.providers.outcomes import classify_status, classify_stream, http_failure


@pytest.mark.parametrize("key", ["sk-proj-abcdefghijkl", "xai-abcdefghijkl", "gsk_abcdefghijkl", "Bearer abc.def-ghi"])
def test_what_looks_like_a_key_is_masked(key):
    failure = parse_error({"error": {"message": f"no such key: {key}, sorry", "code": key}})
    assert key not in f"{failure.message} {failure.code}"


@pytest.mark.parametrize("body", [None, 3, "x", [], [1, 2], {}, {"error": None}, {"detail": []}])
def test_a_body_without_an_error_has_none(body):
    assert parse_error(body) is None


@pytest.mark.parametrize(
    ("status", "headers", "body", "category", "retryable", "words"),
    [
        (302, (("location", "https://other/v1?x=1"),), b"", "protocol_error", False, "https://other/v1;"),
        (500, (("x-should-retry", "false"),), b"{}", "server_error", False, "HTTP 500"),
        (400, (), b'{"error":{"message":"API key not valid","status":"INVALID_ARGUMENT"}}', "auth", False, "API key"),
        (409, (), b"", "invalid_request", True, "HTTP 409"),
        (418, (), b"<html><style>x</style><h1>Tea</h1></html>", "invalid_request", False, "Tea"),
    ],
)
def test_a_bad_status_becomes_a_category_and_words(status, headers, body, category, retryable, words):
    told, failure = http_failure(status, "", headers, body)
    assert (told, failure.retryable) == (category, retryable)
    assert words in failure.message


@pytest.mark.parametrize(
    ("more", "outcome"),
    [
        ({"status": 200}, (None, None)),
        ({"status": None}, ("network_error", None)),
        ({"status": None, "category": "timeout"}, ("timeout", None)),
    ],
)
def test_a_status_of_success_leaves_the_outcome_to_the_body(more, outcome):
    assert classify_status(exchange(**more)) == outcome


@pytest.mark.parametrize(
    ("found", "more", "category"),
    [
        ({"malformed": b"{"}, {}, "protocol_error"),
        ({"malformed": b"{", "error": Failure(message="x")}, {}, "stream_error"),
        ({"error": Failure(message="x"), "finish": "stop", "done": True}, {}, "stream_error"),
        ({"blocked": Failure(message="x"), "done": True}, {}, "content_filtered"),
        ({"done": True, "finish": "stop"}, {"ended": False, "category": "truncated"}, "success"),
        ({"done": True}, {}, "empty"),
        ({"finish": "stop"}, {}, "success"),
        ({"finish": "engine_error"}, {}, "stream_error"),
        ({"finish": "insufficient_system_resource", "done": True}, {}, "stream_error"),
        ({"done": True, "remark": Failure(message="x")}, {}, "stream_error"),
        ({"done": True, "finish": "stop", "remark": Failure(message="x")}, {}, "success"),
        ({"remark": Failure(message="x")}, {"ended": False, "category": "timeout"}, "timeout"),
        ({"finish": "stop"}, {"ended": False, "category": "truncated"}, "truncated"),
        ({"finish": "stop"}, {"ended": False}, "success"),  # the transport waited long enough
        ({"finish": "stop"}, {"category": "timeout"}, "timeout"),
        ({}, {"error_field": '{"message": "slot gone"}'}, "truncated"),
    ],
)
def test_a_stream_ends_by_the_first_of_these_that_holds(found, more, category):
    ending = {"done": False, "finish": None, "error": None} | found
    assert classify_stream(exchange(**more), **ending)[0] == category


@pytest.mark.parametrize("text", ['{"message": "slot gone"}', "slot gone"])
def test_a_stream_without_its_end_says_what_its_error_field_said(text):
    _, failure = classify_stream(exchange(error_field=text), done=False, finish=None, error=None)
    assert failure.message == "slot gone"


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "the request exceeds the available context size, try increasing it"),  # llama.cpp
        (400, "request (5120 tokens) exceeds the available context size (4096 tokens), try increasing it"),
        (400, "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens"),  # vLLM, OpenAI
        (400, "The decoder prompt (length 5000) is longer than the maximum model length of 4096."),
        (400, "The prompt (total length 5000) is too long to fit into the model (context length 4096)."),
        (400, "You passed 4097 input tokens. However, the model's context length is only 4096 tokens"),
        (400, "The input (5000 tokens) is longer than the model's context length (4096 tokens)."),  # SGLang
        (400, "Input length (5000 tokens) exceeds the maximum allowed length (4090 tokens)."),
        (422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000"),  # TGI
        (422, "Input validation error: `inputs` must have less than 1024 tokens. Given: 1500"),
        (400, "litellm.ContextWindowExceededError: litellm.BadRequestError: too much"),  # LiteLLM
        (400, "prompt is too long: 208310 tokens > 200000 maximum"),  # Anthropic
        (400, "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"),
        (400, "This model's maximum prompt length is 131072 but the request contains 537812 tokens."),  # xAI
        (400, "too many tokens: size limit exceeded by 11326 tokens."),  # Cohere
        (400, "too many tokens: total number of tokens in the prompt and prediction cannot exceed 4096"),
        (400, "Input is too long for requested model."),  # Bedrock
        (400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),  # Gemini
        (400, "Your input exceeds the context window of this model."),  # OpenAI, Responses
        (400, "the input length exceeds the context length"),  # Ollama
        (500, "input (5000 tokens) is too large to process. increase the physical batch size"),  # llama.cpp, embeddings
        (400, "input is larger than the max context size. skipping"),
        (500, "context length exceeded"),
        (400, "Invalid request: Your request exceeded model token limit: 8192"),  # Moonshot
        (400, "Range of input length should be [1, 30720]"),  # DashScope
    ],
)
def test_a_prompt_beyond_the_context_is_known_by_each_servers_words(status, message):
    body = msgspec.json.encode({"error": {"message": message}})
    category, failure = http_failure(status, "", (), body)
    assert (category, failure.message, failure.retryable) == ("context_length", message, False)


@pytest.mark.parametrize(
    ("status", "message", "category"),
    [
        (400, "Invalid 'metadata.note': string too long. Expected a string with maximum length 512", "invalid_request"),
        (400, "Invalid 'user': string too long", "invalid_request"),
        (400, "the URL is too long", "invalid_request"),
        (429, "Too many tokens, please wait before trying again.", "rate_limited"),
    ],
)
def test_another_length_is_not_that_of_the_context(status, message, category):
    assert http_failure(status, "", (), msgspec.json.encode({"message": message}))[0] == category


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        (500, True),
        (501, False),
        (502, True),
        (505, False),
        (520, True),
        (522, True),
        (524, True),
        (530, True),
        (404, False),
    ],
)
def test_every_5xx_that_may_pass_is_tried_again(status, retryable):
    assert http_failure(status, "", (), b"<html>")[1].retryable is retryable


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":{"message":"busy"}}',
        b'data: {"error":{"message":"busy"}}\n\n',
        b'event: error\ndata: {"type":"error","error":{"message":"busy"}}\n\n',
        b'{"error":"busy"}\n',
        b'{"detail":{"message":"busy"}}',
        b'{"detail":[{"msg":"busy"}]}',
        b'{"base_resp":{"status_code":1,"status_msg":"busy"}}',
        b'{"msg":"busy"}',
    ],
)
def test_the_words_of_an_error_are_found_in_each_shape_of_body(body):
    assert http_failure(503, "", (), body)[1].message == "busy"


def test_a_body_that_ended_well_is_told_apart_from_a_connection_that_broke():
    ending = {"done": False, "finish": None, "error": None}
    _, failure = classify_stream(exchange(headers=(("content-length", "9"),)), **ending)
    assert failure.message.startswith("the HTTP body ended whole")
    _, failure = classify_stream(exchange(), **ending)
    assert failure.message.startswith("the connection was closed, which ends this body")
    broke = Failure(message="the peer reset the connection inside the body")
    assert classify_stream(exchange(failure=broke, category="truncated", ended=False), **ending)[1] is broke
