"""Requests: what the user adds overrides what the encoders send, and no key shows. Providers are found by name."""

import pytest

from lens.errors import ConfigError
from lens.providers.base import is_host_of, json_headers, merge, path_ends_with, path_under
from lens.providers.registry import get_provider, provider_names
from lens.transport.head import HeadWriter
from lens.wire import Ask, Prompt, Secret, SignalRules, WireRequest


def test_unknown_providers_are_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean openai"):
        get_provider("opnai")
    assert get_provider("llama.cpp") is get_provider("llamacpp")
    assert "vllm" in provider_names()


def test_what_the_user_adds_is_laid_over_what_we_send():
    assert merge({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 9}, "d": None}) == {"a": {"b": 9, "c": 2}}
    assert path_under("https://h/v1/?key=1", "chat") == "/v1/chat?key=1"
    request = get_provider("openai").encode(
        Prompt(text="hi", extra_body={"top_p": 0.5}),
        Ask(model="m", max_tokens=5, temperature=0.0, seed=3, headers=(("Authorization", "mine"),)),
        "https://h/v1",
        Secret("key"),
    )
    assert dict(request.headers)[b"authorization"] == b"mine"
    for piece in (b'"max_completion_tokens":5', b'"top_p":0.5', b'"temperature":0.0', b'"include_usage":true'):
        assert piece in request.body
    with pytest.raises(ConfigError, match="no api 'sing'"):
        get_provider("openai").encode(Prompt(text="hi"), Ask(model="m", api="sing"), "https://h", None)


def test_a_request_never_shows_its_key():
    request = get_provider("openai").encode(Prompt(text="hi"), Ask(model="m"), "https://h/v1", Secret("sk-hidden"))
    assert "sk-hidden" in str(dict(request.headers))
    assert "hidden" not in f"{request!r} {request} {Secret('sk-hidden')!r} {Secret('sk-hidden')}"


def test_headers_of_the_user_override_those_of_the_protocol_which_override_the_defaults():
    ask = Ask(model="m", headers=(("X-Version", "mine"),))
    headers = [(b"x-version", b"1"), (b"accept", b"*/*")]
    assert dict(json_headers(ask, auth=(b"x-key", b"k"), headers=headers)) == {
        b"content-type": b"application/json",
        b"accept": b"*/*",
        b"x-key": b"k",
        b"x-version": b"mine",
    }


@pytest.mark.parametrize(("url", "same"), [("https://a.b/", True), ("https://x.a.b", True), ("https://xa.b", False)])
def test_a_host_belongs_to_a_domain_by_whole_labels(url, same):
    assert is_host_of(url, "a.b") is same


@pytest.mark.parametrize(("url", "ends"), [("https://h/v1/", True), ("https://h/xv1", False), ("https://h", False)])
def test_a_path_ends_with_a_whole_segment(url, ends):
    assert path_ends_with(url, "v1") is ends


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("X A", "1", "header 'X A': its name"),
        ("X-\u00dc", "1", "its name has a character"),
        ("X-A", "secret\r\nX-B: 1", "header 'X-A': its value has a character"),
        ("X-A", "\udcff", "header 'X-A': its value"),
        ("Content-Length", "3", "header 'Content-Length' cannot be set"),
        ("connection", "close", "--connection reuse or fresh"),
        ("Transfer-Encoding", "chunked", "cannot be set"),
    ],
)
def test_a_header_that_cannot_be_sent_is_named_without_its_value(name, value, says):
    with pytest.raises(ConfigError, match=says) as caught:
        json_headers(Ask(model="m", headers=((name, value),)), auth=None)
    assert "secret" not in str(caught.value)


def test_host_is_sent_as_given():
    headers = json_headers(Ask(model="m", headers=(("Host", "a.example"),)), auth=None)
    request = WireRequest(path="/v1", headers=headers, body=b"{}", signals=SignalRules(rules=()))
    head = HeadWriter().render(request, "b:1")
    assert head.lower().count(b"host:") == 1
    assert b"a.example" in head


def test_a_base_url_that_ends_with_the_route_is_taken_as_it_is():
    assert path_under("https://h/v1/chat/completions", "chat/completions") == "/v1/chat/completions"
    assert path_under("https://h/v1/chat/completions/?k=1", "/chat/completions") == "/v1/chat/completions?k=1"
    assert path_under("https://h/completions", "chat/completions") == "/completions/chat/completions"
