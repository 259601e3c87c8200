"""Errors in every shape in which servers write them: found, with the server's words."""

import pytest

from lens.providers.error_shapes import (
    find_error,
    find_remark,
    is_error_event,
    parse_error_body,
    parse_error_event,
)

WORDS = "the model fell over"
SHAPES = [
    {"error": {"message": WORDS, "type": "server_error"}},
    {"error": {"msg": WORDS}},
    {"error": {"error": {"message": WORDS}}},
    {"error": {"error": WORDS}},
    {"error": {"code": 500, "reason": WORDS}},
    {"error": {"detail": WORDS}},
    {"error": [{"message": WORDS}]},
    {"error": [WORDS]},
    {"error": WORDS, "error_type": "generation"},
    {"error": True, "detail": WORDS},
    {"error": "bad", "error_description": f"bad: {WORDS}"},
    {"errors": [{"message": WORDS, "code": 7}]},
    {"success": False, "errors": [{"code": 7, "message": WORDS}], "result": None, "messages": []},
    {"errors": WORDS},
    {"error_code": 17, "error_msg": WORDS, "id": "x"},
    {"errorMessage": WORDS, "errorType": "x"},
    {"ErrorMsg": {"Code": 2003, "Msg": WORDS}},
    {"Response": {"Error": {"Code": "x", "Message": WORDS}}},
    {"header": {"code": 10013, "message": WORDS}},
    {"fault": {"faultstring": WORDS, "detail": {"errorcode": "x"}}},
    {"exception": WORDS},
    {"data": {"error": {"message": WORDS}}},
    {"object": "error", "message": WORDS},
    {"type": "error", "message": WORDS},
    {"event": "error", "message": WORDS},
    {"status": "error", "message": WORDS},
    {"status": "failed", "reason": WORDS},
    {"status": 500, "message": WORDS},
    {"statusCode": 500, "message": WORDS},
    {"code": "1305", "message": WORDS},
    {"code": -1, "msg": WORDS},
    {"retcode": 5, "msg": WORDS},
    {"detail": WORDS},
    {"detail": [{"loc": ["x"], "msg": WORDS}]},
    {"detail": {"error": WORDS}},
    {"base_resp": {"status_code": 1002, "status_msg": WORDS}},
    {"base_resp": {"status_code": "1002", "status_msg": WORDS}},
]  # fmt: skip
GOOD = [
    {"choices": [], "errors": []},
    {"choices": [{"delta": {}}], "error": None},
    {"code": 0, "message": "Success"},
    {"base_resp": {"status_code": 0, "status_msg": ""}},
    {"error_code": 0, "error_msg": ""},
    {"type": "ping"},
    {"type": "content_block_start", "index": 0},
    {"data": {"text": "x"}},
    {"message": {"content": "an error"}, "done": False},
    "text",
    None,
]


@pytest.mark.parametrize("event", SHAPES, ids=str)
def test_an_error_is_found_in_every_shape_with_its_words(event):
    assert WORDS in find_error(event).message


@pytest.mark.parametrize("event", GOOD, ids=str)
def test_what_is_no_error_is_none(event):
    assert find_error(event) is None


@pytest.mark.parametrize(
    "event", [{"error": {"foo": WORDS}}, {"error": 7, "foo": WORDS}, {"type": "error", "foo": WORDS}]
)
def test_an_error_without_known_words_is_told_as_it_came(event):
    assert WORDS in find_error(event).message


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"message": WORDS}, WORDS),
        ({"message": WORDS, "requestId": "r", "connectionId": "c"}, WORDS),
        ({"Message": WORDS}, WORDS),
        (WORDS, WORDS),
        ({"message": "still processing"}, None),
        ("ping", None),
        ({"message": WORDS, "choices": []}, None),
        ({"id": "x"}, None),
        ({}, None),
        (" ", None),
        ([WORDS], None),
    ],
)
def test_a_sentence_alone_is_a_remark(event, said):
    found = find_remark(event)
    assert (found and found.message) == said


@pytest.mark.parametrize(
    ("name", "reports"),
    [
        ("error", True), ("Error", True), ("exception", True), ("response.error", True), ("stream-error", True),
        ("message", False), ("errors_none", False), ("event:chunk", False), ("exception:throttlingException", False),
    ],
)  # fmt: skip
def test_the_name_of_an_event_may_say_that_it_is_an_error(name, reports):
    assert is_error_event(name) is reports


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"message":"the model fell over"}', WORDS),
        (b"the model fell over", WORDS),
        (b'data: {"error":"the model fell over"}', WORDS),
        (b"", "without words"),
        (b"7", "7"),
    ],
)
def test_an_error_event_has_words_whatever_its_data_is(data, said):
    assert said in parse_error_event(data).message


def test_a_body_of_lines_holds_the_first_error_with_words():
    body = b': hi\n\nevent: error\ndata: {"errors":["the model fell over"]}\n\ndata: [DONE]\n\n'
    assert parse_error_body(body).message == WORDS
    assert parse_error_body(b"<html>") is None
