"""Bedrock: addresses, signed requests, what models are asked and what other makers' chunks say."""

import base64
import json

import pytest
from made import whole

from lens.config.settings import TargetConfig
from lens.errors import ConfigError, MissingKey
from lens.model import Events, Stamps
from lens.providers import bedrock_invoke
from lens.providers.auth.keys import find_key, resolve_base_url
from lens.providers.auth.sigv4 import AwsCredentials
from lens.providers.bedrock_converse import ConverseReader
from lens.providers.registry import get_provider
from lens.wire import Ask, Exchange, Frame, Prompt, Secret

NOWHERE = {"AWS_SHARED_CREDENTIALS_FILE": "/nowhere/credentials", "AWS_CONFIG_FILE": "/nowhere/config"}
KEY = AwsCredentials("AKID", "very-secret", None, "us-east-1")


def encoded(key=KEY, base_url="https://bedrock-runtime.eu-west-1.amazonaws.com", model="anthropic.claude:0", **ask):
    return get_provider("bedrock").encode(Prompt(text="hi"), Ask(model=model, **ask), base_url, key)


@pytest.mark.parametrize(
    ("api", "stream", "path"),
    [
        ("converse", True, "/model/anthropic.claude%3A0/converse-stream"),
        ("converse", False, "/model/anthropic.claude%3A0/converse"),
        ("invoke", True, "/model/anthropic.claude%3A0/invoke-with-response-stream"),
        ("invoke", False, "/model/anthropic.claude%3A0/invoke"),
    ],
)
def test_the_path_of_an_operation(api, stream, path):
    assert encoded(api=api, stream=stream).path == path


def test_a_request_is_signed_when_it_is_sent_for_the_region_of_its_address():
    request = encoded()
    headers = dict(request.sign(request))
    assert b"/eu-west-1/bedrock/aws4_request" in headers[b"authorization"]
    assert b"host;x-amz-date" in headers[b"authorization"]
    assert b"authorization" not in dict(request.headers)


def test_an_address_that_names_no_region_takes_that_of_the_credentials():
    request = encoded(base_url="http://localhost:8080")
    assert b"/us-east-1/" in dict(request.sign(request))[b"authorization"]
    with pytest.raises(ConfigError, match="AWS_REGION"):
        encoded(AwsCredentials("a", "b"), base_url="http://localhost:8080")


def test_a_bearer_key_needs_no_signature():
    request = encoded(Secret("abc"))
    assert request.sign is None
    assert dict(request.headers)[b"authorization"] == b"Bearer abc"


def test_secrets_do_not_show():
    request = encoded()
    assert "very-secret" not in repr(KEY) + repr(request) + repr(request.sign) + str(vars(request.sign))


def test_without_credentials_the_message_says_what_to_set(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**NOWHERE, "AWS_EC2_METADATA_DISABLED": "true"}.items():
        monkeypatch.setenv(name, value)
    provider = get_provider("bedrock")
    with pytest.raises(MissingKey, match="AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID"):
        find_key(TargetConfig(provider="bedrock", model="m"), provider, NOWHERE)
    assert find_key(TargetConfig(provider="bedrock", model="m", base_url="http://x"), provider, NOWHERE) is None
    amazon = TargetConfig(provider="bedrock", model="m", base_url="https://bedrock-runtime.us-east-1.amazonaws.com")
    with pytest.raises(MissingKey, match="no credentials"):
        find_key(amazon, provider, NOWHERE)


def test_the_address_is_that_of_the_region():
    provider, config = get_provider("bedrock"), TargetConfig(provider="bedrock", model="m")
    told = resolve_base_url(config, provider, {**NOWHERE, "AWS_REGION": "us-east-1"})
    assert told == "https://bedrock-runtime.us-east-1.amazonaws.com"
    assert resolve_base_url(config, provider, NOWHERE) is None


def test_what_converse_is_asked():
    talk = (
        {"role": "system", "content": "be short"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what?"},
                {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AAAA"}},
            ],
        },
        {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "look", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "a cat"},
    )
    ask = Ask(model="m", max_tokens=5, temperature=0.5)
    body = json.loads(get_provider("bedrock").encode(Prompt(messages=talk), ask, "http://x", Secret("k")).body)
    assert body == {
        "system": [{"text": "be short"}],
        "inferenceConfig": {"maxTokens": 5, "temperature": 0.5},
        "messages": [
            {
                "role": "user",
                "content": [{"text": "what?"}, {"image": {"format": "jpeg", "source": {"bytes": "AAAA"}}}],
            },
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "c", "name": "look", "input": {}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "c", "content": [{"text": "a cat"}]}}]},
        ],
    }


CHUNKS = [
    ("amazon.nova-pro", {"contentBlockDelta": {"delta": {"text": "Hi"}}}, {"messageStop": {"stopReason": "end_turn"}}),
    ("amazon.titan-text", {"outputText": "Hi"}, {"outputText": "", "completionReason": "FINISH"}),
    ("us.meta.llama3", {"generation": "Hi"}, {"generation": "", "stop_reason": "stop"}),
    ("mistral.large", {"outputs": [{"text": "Hi"}]}, {"outputs": [{"text": "", "stop_reason": "stop"}]}),
    ("openai.gpt-oss", {"choices": [{"delta": {"content": "Hi"}}]}, {"choices": [{"finish_reason": "stop"}]}),
]


@pytest.mark.parametrize(("model", "first", "last"), CHUNKS)
def test_other_makers_chunks_are_read(model, first, last):
    metrics = {"inputTokenCount": 3, "outputTokenCount": 1, "invocationLatency": 90, "firstByteLatency": 40}
    inside = [first, {**last, bedrock_invoke.METRICS: metrics}]
    frames = tuple(
        Frame(i, "event:chunk", json.dumps({"bytes": base64.b64encode(json.dumps(one).encode()).decode()}).encode())
        for i, one in enumerate(inside)
    )
    request = encoded(model=model, api="invoke")
    exchange = Exchange(stamps=Stamps(start=0), status=200, framing="aws", events=Events(), frames=frames, ended=True)
    reading = get_provider("bedrock").decode(request, exchange)
    assert (reading.category, reading.text) == ("success", "Hi")
    assert reading.finish_reason
    assert (reading.usage.input_tokens, reading.usage.output_tokens) == (3, 1)
    assert reading.server_timing_ms == {"bedrock_invocation": 90.0, "bedrock_first_byte": 40.0}


def test_a_model_of_an_unknown_maker_is_sent_to_converse():
    with pytest.raises(ConfigError, match="use --api converse"):
        encoded(model="nobody.model", api="invoke")


def test_a_whole_conversation_turn_holds_all_of_it_at_once():
    blocks = [
        {"reasoningContent": {"reasoningText": {"text": "hm"}}},
        {"text": "yes"},
        {"toolUse": {"toolUseId": "c1", "name": "look", "input": {"at": 1}}},
    ]
    usage = {"inputTokens": 3, "outputTokens": 2, "cacheReadInputTokens": 4}
    document = {
        "output": {"message": {"role": "assistant", "content": blocks}},
        "stopReason": "tool_use",
        "usage": usage,
        "metrics": {"latencyMs": 90},
    }
    found = ConverseReader(whole(document)).read()
    assert (found.category, found.text, found.reasoning, found.finish_reason) == ("success", "yes", "hm", "tool_use")
    assert [(call.id, call.name, call.arguments) for call in found.tool_calls] == [("c1", "look", '{"at":1}')]
    assert (found.usage.input_tokens, found.usage.total_tokens, found.usage.cache_read_tokens) == (7, 9, 4)
    assert found.server_timing_ms == {"bedrock_latency": 90.0}


@pytest.mark.parametrize(
    ("document", "category"),
    [
        ({"output": {"message": {"role": "assistant", "content": []}}}, "empty"),
        ({"output": {}}, "protocol_error"),
        (b"<html>", "protocol_error"),
    ],
)
def test_a_whole_answer_that_is_none_is_reported(document, category):
    assert ConverseReader(whole(document)).read().category == category


@pytest.mark.parametrize(("name", "says"), [("exception:throttlingException", "slow down"), ("error:500", "slow down")])
def test_an_exception_or_error_frame_ends_the_answer(name, says):
    data = b'{"message": "slow down"}' if name.startswith("exception") else b"slow down"
    frames = (Frame(0, "event:messageStart", b'{"role": "assistant"}'), Frame(1, name, data))
    exchange = Exchange(stamps=Stamps(start=0), status=200, framing="aws", events=Events(), frames=frames)
    found = ConverseReader(exchange).read()
    assert (found.category, found.failure.message) == ("stream_error", says)
    assert found.failure.type == name.partition(":")[2]
