"""Headers, waits and error bodies: tables of what servers say and what it means."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lens.errors import ConfigError
from lens.providers.answers import increments
from lens.providers.base import merge, path_under
from lens.providers.headers import go_duration_s, kept_headers, rate_limits, request_id, retry_after_s, server_timing_ms
from lens.providers.openai import parse_usage
from lens.providers.outcomes import http_failure, mask_keys, parse_error
from lens.providers.registry import get_provider, provider_names
from lens.providers.values import sum_known
from lens.wire import Ask, Prompt, Secret

DATE = "Mon, 23 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("6m0s", 360), ("8.64s", 8.64), ("120ms", 0.12), ("1h2m3.5s", 3723.5), ("", None), ("soon", None), ("5", None)],
)
def test_a_go_duration_is_read_whole_or_not_at_all(text, seconds):
    assert go_duration_s(text) == (pytest.approx(seconds) if seconds is not None else None)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "1.5", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "Mon, 23 Nov 2026 12:00:07 GMT", "date": DATE}, 7.0),
        ({"retry-after": "Mon, 23 Nov 2026 11:00:00 GMT", "date": DATE}, 0.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_a_wait_is_what_the_server_asks_for(headers, seconds):
    assert retry_after_s(headers) == seconds


def test_googles_retry_info_is_a_wait_too():
    body = b'{"error":{"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.5s"}]}}'
    assert retry_after_s({}, body) == 34.5
    assert retry_after_s({}, b"[" + body + b"]") == 34.5
    assert retry_after_s({}, b'{"RetryInfo":1}') is None


def test_limits_are_read_in_each_spelling():
    told = rate_limits(
        {
            "date": DATE,
            "x-ratelimit-limit-requests": "500",
            "x-ratelimit-reset-requests": "120ms",
            "anthropic-ratelimit-input-tokens-limit": "40000",
            "anthropic-ratelimit-input-tokens-remaining": "39000",
            "anthropic-ratelimit-input-tokens-reset": "2026-11-23T12:00:30Z",
            "x-ratelimit-reset-tokens": "whenever",
        }
    )
    assert (told["requests"].limit, told["requests"].reset_s) == (500, 0.12)
    assert (told["input_tokens"].limit, told["input_tokens"].remaining) == (40000, 39000)
    assert told["input_tokens"].reset_s == 30.0
    assert told["tokens"].reset_s is None


def test_the_servers_own_times_are_milliseconds_under_their_source():
    told = server_timing_ms(
        {
            "openai-processing-ms": "434",
            "fireworks-server-time-to-first-token": "0.2",
            "server-timing": 'gfet4t7; dur=1234, cache;desc="hit";dur=2.5',
            "x-envoy-upstream-service-time": "?",
        }
    )
    expected = {
        "openai_processing": 434,
        "fireworks_ttft": 200,
        "server_timing_gfet4t7": 1234,
        "server_timing_cache": 2.5,
    }
    assert told == pytest.approx(expected)


def test_cookies_and_organisations_are_not_kept():
    told = kept_headers((("set-cookie", "a"), ("openai-organization", "b"), ("server", "c"), ("x-request-id", "d")))
    assert told == {"server": "c", "x-request-id": "d"}
    assert request_id(told) == "d"
    assert request_id({}) is None


@pytest.mark.parametrize("key", ["sk-proj-abcdefghijkl", "xai-abcdefghijkl", "gsk_abcdefghijkl", "Bearer abc.def-ghi"])
def test_what_looks_like_a_key_is_mask_keys(key):
    assert key not in mask_keys(f"no such key: {key}, sorry")


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


def test_token_counts_are_those_that_were_told():
    assert parse_usage({"prompt_tokens": None}) is None
    assert parse_usage({"prompt_tokens": True, "completion_tokens": 3}).input_tokens is None
    assert sum_known(None, None) is None
    assert sum_known(1, None, 2) == 3
    assert increments([1, 3, 3]) == (1, 2, 0)
    assert increments([3, 1]) is None


def test_a_request_never_shows_its_key():
    request = get_provider("openai").encode(Prompt(text="hi"), Ask(model="m"), "https://h/v1", Secret("sk-hidden"))
    assert "sk-hidden" in str(dict(request.headers))
    assert "hidden" not in f"{request!r} {request} {Secret('sk-hidden')!r} {Secret('sk-hidden')}"


FIGURES = ["1e400", "inf", "nan", "-1", "9" * 400, "9" * 400 + "s", "6m0s", "²", "a;dur=1.2.3", "a; dur=12", "1_000"]
DATES = ["9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+23:59", "Mon, 01 Jan 2024 00:00:00 +99999999999999999999"]
NAMES = [
    *("date", "retry-after", "retry-after-ms", "server-timing", "openai-processing-ms", "x-total-time"),
    *("x-ratelimit-limit-requests", "x-ratelimit-reset-tokens", "anthropic-ratelimit-requests-reset"),
]
odd = st.sampled_from([*FIGURES, *DATES]) | st.text(max_size=12)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), odd), odd)
def test_no_header_however_odd_gives_a_time_that_is_none(headers, delay):
    body = json.dumps({"error": {"details": [{"@type": "RetryInfo", "retryDelay": delay}]}}).encode()
    waits = [retry_after_s(headers, body), *[limit.reset_s for limit in rate_limits(headers).values()]]
    for told in [*waits, *server_timing_ms(headers).values()]:
        assert told is None or 0 <= told < 1e15


def test_a_header_of_any_length_is_read_in_one_go():
    begun = time.process_time()
    server_timing_ms({"server-timing": "9" * 60_000})
    server_timing_ms({"server-timing": "a;" * 30_000})
    assert go_duration_s("9" * 60_000) is None
    assert time.process_time() - begun < 2
