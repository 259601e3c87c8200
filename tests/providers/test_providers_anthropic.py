"""What Anthropic is asked, and with whose key."""

import json

import pytest
from recorded import check, names_of, raw

from lens.config.settings import TargetConfig
from lens.errors import ConfigError, MissingKey
from lens.providers.auth.keys import find_key, resolve_base_url
from lens.providers.registry import get_provider
from lens.wire import Ask, Prompt, Secret

PIXEL = "data:image/png;base64,iVBORw0KGgo="
PART = {"type": "image_url", "image_url": {"url": PIXEL}}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}


def encoded(base_url="https://a", prompt=None, key="tok", **ask):
    asked = Ask(model="m", **ask)
    return get_provider("anthropic").encode(prompt or Prompt(text="hi"), asked, base_url, Secret(key) if key else None)


def body_of(*messages, **ask):
    return json.loads(encoded(prompt=Prompt(messages=messages), **ask).body)


def call(id_, name, arguments="{}"):
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("base_url", "path"),
    [
        ("https://a", "/v1/messages"),
        ("https://a/", "/v1/messages"),
        ("https://a/v1", "/v1/messages"),
        ("https://a/v1/", "/v1/messages"),
        ("https://foundry/anthropic", "/anthropic/v1/messages"),
        ("https://a/v1?beta=true", "/v1/messages?beta=true"),
    ],
)
def test_the_base_url_may_end_in_v1_or_not(base_url, path):
    assert encoded(base_url).path == path


def test_a_text_is_asked_with_a_bound_and_a_version():
    request = encoded()
    assert json.loads(request.body) == {
        "model": "m",
        "max_tokens": 1024,
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
    }
    headers = dict(request.headers)
    assert (headers[b"x-api-key"], headers[b"anthropic-version"]) == (b"tok", b"2026-10-21")
    assert b"authorization" not in headers


def test_an_answer_in_one_piece_is_not_asked_as_a_stream():
    request = encoded(stream=False)
    assert "stream" not in json.loads(request.body)
    assert (request.framing, request.stream) == ("document", False)


def test_the_bound_of_the_prompt_comes_before_that_of_the_run():
    assert json.loads(encoded(max_tokens=9).body)["max_tokens"] == 9
    assert json.loads(encoded(prompt=Prompt(text="x", max_tokens=0), max_tokens=9).body)["max_tokens"] == 0


@pytest.mark.parametrize(
    ("message", "asked"),
    [
        ({"role": "user", "content": "a"}, {"role": "user", "content": "a"}),
        ({"role": "assistant", "content": "b"}, {"role": "assistant", "content": "b"}),
        (
            {"role": "user", "content": [{"type": "text", "text": "a"}, PART]},
            {"role": "user", "content": [{"type": "text", "text": "a"}, IMAGE]},
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]},
            {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}]},
        ),
        (
            {"role": "assistant", "content": "so", "tool_calls": [call("c1", "look", '{"at": 1}')]},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "so"},
                    {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": 1}},
                ],
            },
        ),
        ({"role": "user", "content": [IMAGE]}, {"role": "user", "content": [IMAGE]}),  # already in its own form
    ],
)
def test_each_kind_of_message_has_its_form(message, asked):
    assert body_of(message)["messages"] == [asked]


def test_answers_of_tools_called_at_once_go_back_in_one_turn():
    turns = body_of(
        {"role": "assistant", "content": None, "tool_calls": [call("c1", "look"), call("c2", "hear")]},
        {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "see"}, PART]},
        {"role": "user", "content": "and?"},
    )["messages"]
    assert [turn["role"] for turn in turns] == ["assistant", "user", "user"]
    assert turns[1]["content"] == [
        {"type": "tool_result", "tool_use_id": "c1", "content": "a cat"},
        {"type": "tool_result", "tool_use_id": "c2", "content": [{"type": "text", "text": "see"}, IMAGE]},
    ]


def test_system_messages_stand_apart_and_keep_their_mark_of_what_to_cache():
    user = {"role": "user", "content": "x"}
    told = body_of({"role": "system", "content": "a"}, {"role": "developer", "content": "b"}, user)
    assert (told["system"], len(told["messages"])) == ("a\nb", 1)
    marked = {"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}
    assert body_of({"role": "system", "content": [marked]}, user)["system"] == [marked]
    assert "system" not in body_of(user)


@pytest.mark.parametrize(
    ("ask", "version"),
    [
        ({}, b"2026-10-21"),
        ({"temperature": 0.0}, b"2023-06-01"),
        ({"extra_body": {"top_p": 0.9}}, b"2023-06-01"),
        ({"temperature": 1.0, "extra_body": {"temperature": None}}, b"2026-10-21"),
        ({"temperature": 1.0, "headers": (("Anthropic-Version", "2099-01-01"),)}, b"2099-01-01"),
    ],
)
def test_the_version_is_one_that_takes_what_is_asked(ask, version):
    assert dict(encoded(**ask).headers)[b"anthropic-version"] == version


def test_the_extra_body_lies_over_the_body():
    body = json.loads(encoded(extra_body={"thinking": {"type": "adaptive"}, "max_tokens": 5}).body)
    assert (body["thinking"], body["max_tokens"]) == ({"type": "adaptive"}, 5)


def test_another_api_is_refused():
    with pytest.raises(ConfigError, match="messages"):
        encoded(api="chat")


@pytest.mark.parametrize(
    ("environ", "name", "value"),
    [
        ({"ANTHROPIC_API_KEY": "k"}, b"x-api-key", b"k"),
        ({"ANTHROPIC_API_KEY": "sk-ant-oat01-x"}, b"authorization", b"Bearer sk-ant-oat01-x"),
        ({"ANTHROPIC_AUTH_TOKEN": "t"}, b"authorization", b"Bearer t"),
        ({"ANTHROPIC_AUTH_TOKEN": "t", "ANTHROPIC_API_KEY": "k"}, b"x-api-key", b"k"),
    ],
)
def test_a_key_and_a_token_have_headers_of_their_own(environ, name, value):
    provider = get_provider("anthropic")
    key = find_key(TargetConfig(provider="anthropic", model="m"), provider, environ)
    headers = dict(provider.encode(Prompt(text="x"), Ask(model="m"), "https://a", key).headers)
    assert headers[name] == value
    assert len({b"x-api-key", b"authorization"} & set(headers)) == 1
    assert repr(key) == "Secret(***)"


def test_without_a_key_the_message_names_both_variables_and_a_server_of_ones_own_needs_none():
    provider = get_provider("anthropic")
    with pytest.raises(MissingKey, match="ANTHROPIC_API_KEY or ANTHROPIC_AUTH_TOKEN"):
        find_key(TargetConfig(provider="anthropic", model="m"), provider, {})
    mine = TargetConfig(provider="anthropic", model="m", base_url="http://localhost:8080")
    assert find_key(mine, provider, {}) is None
    assert b"x-api-key" not in dict(encoded(key=None).headers)


def test_the_environment_may_name_the_address():
    config = TargetConfig(provider="anthropic", model="m")
    assert resolve_base_url(config, get_provider("anthropic"), {"ANTHROPIC_BASE_URL": "http://x"}) == "http://x"
    assert resolve_base_url(config, get_provider("anthropic"), {}) == "https://api.anthropic.com/v1"


@pytest.mark.parametrize("name", names_of("anthropic_messages"))
def test_recorded_answers_are_read(name):
    check(name, [raw(name)])


def thinking(*between, kind="thinking"):
    """The reading of an answer with a block of thinking; its events are a nanosecond apart."""
    from made import streamed

    from lens.providers.anthropic import RULES, AnthropicReader

    events = [
        {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": kind, "thinking": ""}},
        *between,
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Hi"}},
        {"type": "message_stop"},
    ]
    return AnthropicReader(streamed(RULES, *events)).read()


@pytest.mark.parametrize("kind", ["thinking", "redacted_thinking"])
def test_thinking_without_text_lasts_from_start_to_stop_of_its_block(kind):
    signature = {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "x"}}
    assert thinking({"type": "ping"}, signature, kind=kind).hidden_thinking_ns == 3


def test_thinking_that_is_shown_is_not_hidden():
    shown = {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}
    assert thinking(shown).hidden_thinking_ns is None
    assert thinking(kind="text").hidden_thinking_ns is None
