"""Response headers: tables of what servers send and what it means."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lens.model import Limit
from lens.providers.headers import (
    deprecation_warnings,
    go_duration_s,
    kept_headers,
    merge_headers,
    rate_limits,
    request_id,
    retry_after_s,
    server_timing_ms,
)

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


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12", 12.0),
        ("0.5", 0.5),
        ("1m30s", 90.0),
        ("1d2h", 93600.0),
        ("Mon, 23 Nov 2026 12:00:30 GMT", 30.0),
        ("2026-11-23T12:00:30Z", 30.0),
        ("1795435230", 30.0),  # epoch seconds
        ("1795435230000", 30.0),  # epoch milliseconds
        ("1795435190", 0.0),  # passed
        ("nan", None),
        ("-3", None),
        ("99999999999999999999", None),
    ],
)
def test_a_reset_is_a_duration_or_an_instant(text, seconds):
    told = rate_limits({"date": DATE, "x-ratelimit-reset-requests": text})
    assert told["requests"].reset_s == (pytest.approx(seconds) if seconds is not None else None)


@pytest.mark.parametrize(
    ("headers", "what"),
    [
        ({"x-ratelimit-limit": "600", "x-ratelimit-remaining": "599", "x-ratelimit-reset": "1"}, "requests"),
        ({"ratelimit-limit": "600", "ratelimit-remaining": "599", "ratelimit-reset": "1"}, "requests"),
        ({"x-tokenlimit-limit": "600", "x-tokenlimit-remaining": "599", "x-tokenlimit-reset": "1"}, "tokens"),
        (
            {
                "llm_provider-x-ratelimit-limit-tokens": "600",
                "llm_provider-x-ratelimit-remaining-tokens": "599",
                "llm_provider-x-ratelimit-reset-tokens": "1s",
            },
            "tokens",
        ),
    ],
)
def test_a_limit_without_a_name_is_read(headers, what):
    told = rate_limits(headers)[what]
    assert (told.limit, told.remaining, told.reset_s) == (600, 599, 1.0)


@pytest.mark.parametrize(
    ("headers", "limits"),
    [
        (
            {"ratelimit-limit": "100, 100;w=60", "ratelimit-remaining": "50"},
            {"requests": Limit(limit=100, remaining=50)},
        ),
        ({"x-ratelimit-limit-requests": "1,000"}, {"requests": Limit(limit=1000)}),
        (
            {"ratelimit": '"default";r=50;t=30', "ratelimit-policy": '"default";q=100;w=60'},
            {"requests": Limit(limit=100, remaining=50, reset_s=30)},
        ),
        ({"ratelimit": "limit=100, remaining=50, reset=5"}, {"requests": Limit(limit=100, remaining=50, reset_s=5)}),
        ({"ratelimit": "nonsense"}, {}),
    ],
)
def test_limits_of_the_standards_drafts_are_read(headers, limits):
    assert rate_limits(headers) == limits


def test_all_lines_of_server_timing_count_and_quotes_hold_commas():
    lines = (
        ("server-timing", "queue;dur=12.5, prefill;dur=30"),
        ("server-timing", "cfEdge;dur=4, cfOrigin;dur=50"),
        ("server-timing", 'total;desc="a, b;dur=99";dur=7'),
    )
    found = server_timing_ms(merge_headers(lines))
    assert found == {
        "server_timing_queue": 12.5,
        "server_timing_prefill": 30,
        "server_timing_cfEdge": 4,
        "server_timing_cfOrigin": 50,
        "server_timing_total": 7,
    }
    assert kept_headers(merge_headers(lines))["server-timing"].count("dur=") == 6


def test_a_proxys_own_times_are_kept_beside_the_models():
    found = server_timing_ms({"x-litellm-response-duration-ms": "412.5", "x-litellm-overhead-duration-ms": "2"})
    assert found == {"litellm_response": 412.5, "litellm_overhead": 2}


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
    lines = (("set-cookie", "a"), ("openai-organization", "b"), ("server", "c"), ("x-request-id", "d"))
    told = kept_headers(dict(lines))
    assert told == {"server": "c", "x-request-id": "d"}
    assert request_id(told) == "d"
    assert request_id({}) is None


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


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"deprecation": "@1688169599"}, ["deprecated since 2023-06-30"]),
        ({"deprecation": "true"}, ["calls this endpoint or model deprecated (Dep"]),
        ({"deprecation": "Sun, 11 Nov 2018 23:59:59 GMT"}, ["since 2018-11-11"]),
        ({"sunset": "Sat, 31 Dec 2026 23:59:59 GMT"}, ["stop answering here on 2026-12-31"]),
        ({"sunset": "soon"}, ["on soon"]),
        ({"deprecation": "@1688169599", "sunset": "Sat, 31 Dec 2026 23:59:59 GMT"}, ["deprecated", "stop answering"]),
        ({"deprecation": "false"}, []),
        ({}, []),
    ],
)
def test_an_announced_end_is_warned_of_with_its_day(headers, says):
    warned = list(deprecation_warnings(headers))
    assert len(warned) == len(says)
    assert all(part in warning for part, warning in zip(says, warned, strict=True))
    assert kept_headers(headers) == headers


def test_quotes_without_an_end_are_read_in_linear_time():
    assert server_timing_ms({"server-timing": 'a;dur=1, b;desc="' + '\\"' * 30_000 + "\\"}) == {"server_timing_a": 1}
