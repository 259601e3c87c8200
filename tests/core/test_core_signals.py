"""Signals: the rules mean what wire.py says, case by case."""

import base64
import json

import pytest
import twin_signals
from twin_signals import CHAT, DONE, ERROR, FINISH, GUARDED, MALFORMED, REASONING, REFUSAL, TEXT, TOOL, USAGE

from lens._core.frames import Decoder
from lens._core.signals import SignalSet
from lens._core.tape import Tape


def scan(rules, document, done=b"") -> tuple[int, int]:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return SignalSet(rules, done).scan(data)


@pytest.mark.parametrize(
    ("document", "signals", "chars"),
    [
        ({"choices": [{"delta": {"content": "hello"}}]}, TEXT, 5),
        ({"choices": [{"delta": {"content": ""}}]}, 0, 0),
        ({"choices": [{"delta": {"content": None, "role": "assistant"}}]}, 0, 0),
        ({"choices": [{"delta": {"content": ["hello"]}}]}, 0, 0),
        ({"choices": {"delta": {"content": "hello"}}}, 0, 0),
        ({"choices": [{"delta": {"content": "ab"}}, {"delta": {"content": "cde"}}]}, TEXT, 5),
        ({"choices": [{"delta": {"reasoning": "abc", "reasoning_content": "abc"}}]}, REASONING, 3),
        ({"choices": [{"delta": {"reasoning": "abc", "content": "de"}}]}, TEXT | REASONING, 5),
        ({"choices": [{"delta": {}, "finish_reason": "stop"}]}, FINISH, 0),
        ({"choices": [], "usage": {"a": 1}}, USAGE, 0),
        ({"choices": [], "usage": {}}, 0, 0),
        ({"choices": [], "usage": None}, 0, 0),
        ({"usage": 0}, USAGE, 0),
        ({"usage": False}, 0, 0),
        ({"usage": True, "error": []}, USAGE, 0),
        ({"error": "busy"}, ERROR, 0),
        ([{"choices": [{"delta": {"content": "hello"}}]}], 0, 0),
        ({"x": {"choices": [{"delta": {"content": "hello"}}]}}, 0, 0),
        ("choices", 0, 0),
        (7, 0, 0),
    ],
)
def test_a_chat_chunk_signals_what_its_paths_say(document, signals, chars):
    assert scan(CHAT, document) == (signals, chars)


@pytest.mark.parametrize(
    ("data", "chars"),
    [
        (rb'{"t":"caf\u00e9"}', 4),
        ('{"t":"café"}'.encode(), 4),
        ('{"t":"遅延"}'.encode(), 2),
        (rb'{"t":"\ud83d\ude00"}', 1),
        ('{"t":"😀"}'.encode(), 1),
        (rb'{"t":"\ud83d"}', 1),
        (rb'{"t":"\ude00\ud83d"}', 2),
        (rb'{"t":"\ud83d\ud83d\ude00"}', 2),
        (rb'{"t":"\ud83d\n\ude00"}', 3),
        (rb'{"t":"\"\\\/\b\f\n\r\t"}', 8),
        (b'{"t":"a\xffb"}', 3),
        (b'{"t":"\xe2\x82"}', 1),
        (b'{"t":"\xf0\x9f\x98a"}', 2),
        (b'{"t":"\xed\xa0\x80"}', 3),
        (rb'{"\u0074":"ab"}', 2),
        (b'\t{ "u" : [ { } , [ ] , -1.5e+3 ] ,\r\n "t" : "ab" } ', 2),
        (b'{"u":NaN,"t":"ab"}', 2),
    ],
)
def test_characters_are_code_points_however_they_are_written(data, chars):
    assert scan([("t", TEXT, True, 0, None)], data) == (TEXT, chars)


@pytest.mark.parametrize(
    "data",
    [
        *(b"{", b"}", b"[", b"]", b'"', b'"a', b"{]", b"[}", b"{}{}", b"{} x", b"[1 2]", b"[1,]", b"[,1]", b"{,}"),
        *(b'{"a"}', b'{"a":}', b'{"a":1,}', b'{"a" 1}', b"{a:1}", b"{1:1}", b"{'a':1}", b'{"a":1 "b":2}', b'{"a":1]'),
        *(b"tru", b"nul", b"True", b"nan", b"01", b"1.", b".5", b"-", b"+1", b"1e", b"1e+", b"--1", b"0x1", b"-NaN"),
        *(
            b'"\n"',
            b'"\x00"',
            b'"\\x"',
            b'"\\u12"',
            b'"\\u12g4"',
            b'"\\',
            b'"\\"',
            b'"\\u',
            b"<html>",
            b"\xef\xbb\xbf{}",
        ),
        *(b"[DONE] ", b"\xa0{}", b"[" * 513 + b"]" * 513, b'{"a":' * 513 + b"1" + b"}" * 513),
    ],
)
def test_what_is_not_json_is_malformed_and_nothing_else(data):
    assert twin_signals.scan(CHAT, b"[DONE]", data) == (MALFORMED, 0)
    assert scan(CHAT, data, b"[DONE]") == (MALFORMED, 0)
    assert scan(CHAT, b'{"choices":[{"delta":{"content":"a"}}],"x":' + data, b"[DONE]") == (MALFORMED, 0)


@pytest.mark.parametrize("data", [b"", b" ", b"\t\r\n "])
def test_empty_data_signals_nothing(data):
    assert scan(CHAT, data) == (0, 0)


def test_the_end_marker_is_compared_with_the_whole_data():
    assert scan(CHAT, b"[DONE]", b"[DONE]") == (DONE, 0)
    assert scan(CHAT, {"choices": [{"delta": {"content": "[DONE]"}}]}, b"[DONE]") == (TEXT, 6)
    assert scan(CHAT, b"[DONE]x", b"[DONE]") == (MALFORMED, 0)


def test_512_levels_are_walked():
    assert scan(CHAT, b"[" * 512 + b"]" * 512) == (0, 0)
    assert scan([("a", TEXT, True, 0, None)], b'{"b":' + b"[" * 511 + b"]" * 511 + b',"a":"x"}') == (TEXT, 1)


@pytest.mark.parametrize("order", ["type first", "type last"])
@pytest.mark.parametrize(
    ("kind", "found"),
    [("t", (TEXT, 2)), ("r", (REASONING, 2)), ("\\u0074", (TEXT, 2)), ("x", (0, 0)), ("stop", (FINISH, 0))],
)
def test_a_guard_counts_wherever_its_key_stands(order, kind, found):
    parts = [f'"type":"{kind}"', '"delta":{"text":"ab"}']
    data = "{" + ",".join(parts if order == "type first" else parts[::-1]) + "}"
    assert scan(GUARDED, data.encode()) == found


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ({"text": "ab"}, (TEXT, 2)),
        ({"text": "ab", "thought": True}, (REASONING, 2)),
        ({"text": "ab", "thought": False}, (TEXT | REFUSAL, 4)),
        ({"text": "ab", "thought": "true"}, (TEXT, 2)),
        ({"thought": True, "call": {"name": "f"}}, (0, 0)),
        ({"call": {"name": "f"}}, (TOOL, 0)),
        ("ab", (TEXT, 2)),
    ],
)
def test_each_element_has_a_guard_of_its_own(part, found):
    assert scan(GUARDED, {"parts": [part]}) == found
    both = scan(GUARDED, {"parts": [part, {"thought": True, "text": "xyz"}]})
    assert both == (found[0] | REASONING, found[1] + 3)


@pytest.mark.parametrize("escape", [False, True])
def test_json_inside_base64_is_walked(escape):
    inner = base64.b64encode(json.dumps({"type": "t", "text": "hé??>>"}, ensure_ascii=False).encode()).decode()
    assert "/" in inner
    data = json.dumps({"b": inner, "p": "abc"})
    assert scan(GUARDED, (data.replace("/", "\\/") if escape else data).encode()) == (TEXT, 6)


@pytest.mark.parametrize("inner", ["e30", "e30=x", "====", "e3=0", "e\u00e90=", "eyI=", "e30 "])
def test_a_broken_inner_json_is_malformed(inner):
    assert twin_signals.scan(GUARDED, b"", json.dumps({"b": inner}).encode()) == (MALFORMED, 0)
    assert scan(GUARDED, {"b": inner}) == (MALFORMED, 0)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (("", TEXT, True, 0, None), "a key is empty"),
        (("a..b", TEXT, True, 0, None), "a key is empty"),
        (("a.", TEXT, True, 0, None), "a key is empty"),
        (("a.[]", TEXT, True, 0, None), "a key is empty"),
        (("(base64).a", TEXT, True, 0, None), "must follow a key"),
        (("a(base64).b(base64)", TEXT, True, 0, None), "may stand once"),
        (("a" * 2000, TEXT, True, 0, None), "longer than"),
        (("a", 0, True, 0, None), "no known bit"),
        (("a", 1024, True, 0, None), "no known bit"),
        (("a.b", TEXT, True, 0, ("b", "k", "v", False)), "does not begin the path"),
        (("a.b", TEXT, True, 0, ("a", "", "v", False)), "1 to"),
        (("a.b", TEXT, True, 0, ("a", "k", 7, False)), "True or False would work"),
        (("a.b", TEXT, True, 0, ("a", "k", "v" * 2000, False)), "longer than"),
    ],
)
def test_a_rule_that_cannot_be_compiled_says_why(rule, says):
    with pytest.raises(ValueError, match=says):
        SignalSet([rule])


def test_too_many_rules_are_refused():
    with pytest.raises(ValueError, match="at most 256"):
        SignalSet([(f"a{i}", TEXT, True, 0, None) for i in range(257)])
    with pytest.raises(ValueError, match="at most 64"):
        SignalSet([("a", TEXT, True, i, None) for i in range(65)])


@pytest.mark.parametrize(
    ("data", "block"),
    [
        (b'{"index":0}', 0), (b'{"a":1,"index":12}', 12), (b'{"index":65534}', 65534), (b'{"index":65535}', None),
        (b'{"index":123456}', None), (b'{"index":-1}', None), (b'{"index":1.5}', None), (b'{"index":"1"}', None),
        (b'{"index":null}', None), (b'{"inner":{"index":3}}', None), (b'{"calls":[{"index":1},{"index":2}]}', 2),
        (b'{"index":1', None), (b"", None), (b'{"index":true}', None),
    ],
)  # fmt: skip
def test_an_event_names_its_block_by_a_whole_number(data, block):
    signals = SignalSet([("t", TEXT, True, 0, None)], b"[DONE]", ("index", "calls[].index"))
    assert signals.block(data) == block


def test_the_learned_template_knows_the_block():
    decoder = Decoder(tape := Tape())
    decoder.begin("close", 0, "ndjson", SignalSet([("t", TEXT, True, 0, None)], b"", ("index",)))
    for index, text in ((0, "a"), (0, "b"), (1, "c"), (1, "d"), (0, "e")):
        decoder.feed(b'{"index":%d,"t":"%s"}\n' % (index, text.encode()), 1, 1)
    assert tape.blocks().tolist() == [1, 1, 2, 2, 1]


def test_events_of_tool_calls_are_kept_whole():
    decoder = Decoder(tape := Tape())
    decoder.begin("close", 0, "ndjson", SignalSet([("t", TEXT, True, 0, None), ("c", TOOL, True, 0, None)]))
    decoder.feed(b'{"t":"a"}\n{"c":"{"}\n{"t":"b"}\n{"c":"}"}\n', 1, 1)
    assert [index for index, _, _ in tape.frames()] == [1, 3]
