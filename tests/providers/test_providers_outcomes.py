"""Error bodies and statuses: which category they are, with which message; and how a stream ends."""

import pytest
from made import exchange

from lens.model import Failure
from lens.providers.outcomes import classify_status, classify_stream, http_failure, parse_error


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
        ({"malformed": True}, {}, "protocol_error"),
        ({"malformed": True, "error": Failure(message="x")}, {}, "stream_error"),
        ({"error": Failure(message="x"), "finish": "stop", "done": True}, {}, "stream_error"),
        ({"blocked": Failure(message="x"), "done": True}, {}, "content_filtered"),
        ({"done": True, "finish": "stop"}, {"ended": False, "category": "truncated"}, "success"),
        ({"done": True}, {}, "empty"),
        ({"finish": "stop"}, {}, "success"),
        ({"finish": "stop"}, {"ended": False, "category": "truncated"}, "truncated"),
        ({"finish": "stop"}, {"ended": False}, "success"),  # the transport waited long enough
        ({"finish": "stop"}, {"category": "timeout"}, "timeout"),
        ({}, {"error_field": '{"message": "slot gone"}'}, "truncated"),
    ],
)
def test_a_stream_ends_by_the_first_of_these_that_holds(found, more, category):
    ending = {"done": False, "finish": None, "error": None, "malformed": False} | found
    assert classify_stream(exchange(**more), **ending)[0] == category


@pytest.mark.parametrize("text", ['{"message": "slot gone"}', "slot gone"])
def test_a_stream_without_its_end_says_what_its_error_field_said(text):
    _, failure = classify_stream(exchange(error_field=text), done=False, finish=None, error=None, malformed=False)
    assert failure.message == "slot gone"
