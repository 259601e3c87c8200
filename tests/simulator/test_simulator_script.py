"""Scripts as users write them, generated text, and requests however their bytes are cut."""

from __future__ import annotations

import json
import tomllib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens.simulator import OPTIONS, Script, ScriptError, make_script
from lens.simulator.http import BadRequest, RequestReader
from lens.simulator.protocols.completion import count_prompt_tokens
from lens.simulator.script import apply_options, parse_duration_ns
from lens.simulator.words import VOCABULARY, make_arguments, make_text, make_tokens


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("50ms", 50_000_000),
        ("1.5s", 1_500_000_000),
        ("2", 2_000_000_000),
        ("1m30s", 90_000_000_000),
        ("7us", 7000),
        ("0", 0),
    ],
)
def test_a_duration_has_a_unit_or_is_in_seconds(text, ns):
    assert parse_duration_ns(text) == ns


@pytest.mark.parametrize("text", ["", "ms", "5 parsecs", "-1s", "1e3", "10msx"])
def test_an_invalid_duration_names_a_valid_one(text):
    with pytest.raises(ScriptError, match="write 50ms"):
        make_script(ttft=text)


def test_an_unknown_option_names_the_known_ones():
    with pytest.raises(ScriptError, match=r"'ttfd': unknown; there are ttft, itl"):
        make_script(ttfd="1s")


@pytest.mark.parametrize(
    "options",
    [{"framing": "morse"}, {"tokens": "-3"}, {"fail_rate": "1.5"}, {"stall": "10"}, {"per_chunk": 0}, {"gzip": "maybe"},
     {"rate_limit": "x"}, {"usage": "sometimes"}, {"tokens": 10**9}, {"tool": 10**6}, {"reasoning": 10**6},
     {"ttft": "99999999h"}, {"ttft": 1e12}, {"status": 99999}, {"status": 7}],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_refused(options):
    with pytest.raises(ScriptError):
        make_script(**options)


def test_the_forms_of_a_script_agree():
    written = make_script(
        ttft="50ms", stall="3:1s+9:20ms", gzip=True, tokens="request", rate_limit="600/m", head="first"
    )
    header = "ttft=50ms, stall=3:1s+9:20ms, gzip, tokens=request, rate-limit=600/m, head=first"
    assert apply_options(Script(), header) == written
    toml = 'ttft = "50ms"\nstall = "3:1s+9:20ms"\ngzip = true\ntokens = "request"\nrate_limit = "600/m"\nhead = "first"'
    assert make_script(**tomllib.loads(toml)) == written
    assert msgspec.json.decode(msgspec.json.encode(written), type=Script) == written
    assert written.stalls == ((3, 10**9), (9, 20_000_000))
    assert (written.rate_limit, written.rate_window_ns, written.head_ns) == (600, 60 * 10**9, None)


def test_every_field_of_a_script_can_be_written():
    writable = {field for option in OPTIONS.values() for field in option.fields}
    assert writable == {field.name for field in msgspec.structs.fields(Script)}


@pytest.mark.parametrize(
    ("option", "faulty"),
    [("error-at=3", True), ("reset-at=0", True), ("truncate-at=2", True), ("malformed-at=1", True), ("html", True),
     ("status=503", True), ("ttft=50ms", False), ("fail-first=2", False)],
)  # fmt: skip
def test_a_script_knows_whether_it_names_a_fault(option, faulty):
    assert apply_options(Script(), option).has_fault() is faulty


@pytest.mark.parametrize(("option", "selective"), [("fail-first=2", True), ("fail-rate=10%", True), ("html", False)])
def test_a_script_knows_whether_only_some_requests_fail(option, selective):
    assert apply_options(Script(), option).selects_requests() is selective


def test_the_text_of_a_complete_answer_is_known_beforehand():
    script = make_script(tokens=7, reasoning=3, tool=4, seed=5)
    assert script.expected_text() == make_text("text", 5, 7)
    assert script.expected_text(max_tokens=2) == make_text("text", 5, 7)  # this script's length is its own
    assert make_script(tokens="request", seed=5).expected_text(max_tokens=2) == make_text("text", 5, 2)
    assert script.expected_reasoning() == make_text("reasoning", 5, 3)
    assert script.expected_arguments() == "".join(make_arguments(5, 4))


@pytest.mark.parametrize(
    ("option", "field", "value"),
    [
        ("fail-rate=25%", "fail_rate", 0.25),
        ("fail-rate=0.5", "fail_rate", 0.5),
        ("retry-after=2s", "retry_after_s", 2.0),
        ("gzip=no", "gzip", False),
        ("gzip=ON", "gzip", True),
        ("rate-limit=5/s", "rate_limit", 5),
        ("models=a+b", "models", ("a", "b")),
        ("head=20ms", "head_ns", 20_000_000),
    ],
)
def test_each_kind_of_value_is_read_as_it_is_meant(option, field, value):
    assert getattr(apply_options(Script(), option), field) == value


@given(st.integers(0, 2**40), st.integers(1, 300))
def test_no_token_is_empty_and_their_sum_is_the_text(seed, count):
    tokens = make_tokens("text", seed, count)
    assert len(tokens) == count
    assert all(tokens)
    assert "".join(tokens) == make_text("text", seed, count)
    assert tokens == make_tokens("text", seed, count + 1)[:count]


@given(st.integers(0, 2**40), st.integers(1, 100))
def test_a_tools_arguments_are_json_in_fragments_that_are_not_empty(seed, count):
    fragments = make_arguments(seed, count)
    assert len(fragments) == count
    assert all(fragments)
    assert set(json.loads("".join(fragments))) == {"city", "days"}


def test_the_vocabulary_has_text_that_is_hard_to_cut_and_escape():
    whole = "".join(VOCABULARY)
    assert not whole.isascii()
    assert all(hard in whole for hard in ('"', "\\", "\n", "\t", "\u2028", "\u200d", "[DONE]", "data:"))
    assert make_text("text", 0, 4) == make_text("text", 0, 4) != make_text("text", 1, 4)


def test_a_prompts_tokens_are_its_words_in_every_protocol():
    bodies = [
        {"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "one two"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "one two three four"}]}]},
        {"system": [{"text": "be"}], "messages": [{"role": "user", "content": [{"text": "one two three"}]}]},
        {"contents": [{"parts": [{"text": "one two three"}]}], "systemInstruction": {"parts": [{"text": "be"}]}},
        {"prompt": "one two three four", "model": "not counted"},
        {"input": ["one two", "three four"]},
    ]
    assert [count_prompt_tokens(body) for body in bodies] == [4] * 6


REQUESTS = (
    b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    b"\r\nPOST /b?c=d%20e HTTP/1.1\r\nhost:x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n"
    b"GET /d HTTP/1.1\r\n\r\n"
)


@given(st.lists(st.integers(0, len(REQUESTS)), max_size=20))
def test_any_cut_of_the_bytes_gives_the_same_requests(cuts):
    reader, found = RequestReader(), []
    edges = [0, *sorted(cuts), len(REQUESTS)]
    for a, b in zip(edges, edges[1:], strict=False):  # noqa: RUF007
        reader.data += REQUESTS[a:b]
        while request := reader.next_request():
            found.append((request.method, request.path, request.body))
    assert found == [("POST", "/a", b"hello"), ("POST", "/b", b"abcde"), ("GET", "/d", b"")]
    assert not reader.data


@pytest.mark.parametrize(
    "data",
    [b"hello\r\n\r\n", b"GET / HTTP/2\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"x" * 70_000,
     b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
)  # fmt: skip
def test_bytes_that_are_no_request_are_refused(data):
    reader = RequestReader()
    reader.data += data
    with pytest.raises(BadRequest):
        reader.next_request()


@pytest.mark.parametrize("size", [b"-7", b"+5", b"1_0", b"", b"f" * 16])
def test_a_chunk_size_that_is_none_is_refused(size):
    reader = RequestReader()
    reader.data += b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + size + b"\r\n\r\n"
    with pytest.raises(BadRequest):
        reader.next_request()
