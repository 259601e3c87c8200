"""Requests: what the user adds overrides what the encoders send, and no key shows. Providers are found by name."""

import pytest

from lens.errors import ConfigError
from lens.providers.base import is_host_of, json_headers, merge, path_ends_with, path_under
from lens.providers.registry import get_provider, provider_names
from lens.wire import Ask, Prompt, Secret


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
