"""The core's reader of usual chats: what it takes means what JSON says, and what is not certain is not taken."""

import json
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens._core.chats import read_chat

TEXT, USAGE, FINISH, DONE = 1, 32, 64, 256
CHUNK = '{"object":"chat.completion.chunk","choices":[%s]%s}'
HELLO = CHUNK % ('{"index":0,"delta":{"content":"Hello"},"finish_reason":null}', ',"model":"m"')


class Frame(NamedTuple):
    index: int
    name: str
    data: bytes


def read(*events, signals=None):
    """What read_chat() finds in these events, texts or bytes, and an end; each has the signal of a text by default."""
    data = [event if isinstance(event, bytes) else event.encode() for event in events]
    frames = tuple(Frame(at, "", one) for at, one in enumerate([*data, b"[DONE]"]))
    return read_chat(frames, [*(signals or [TEXT] * len(data)), DONE])


def text_of(spelled: bytes):
    """The text of a chunk in which a string is spelled so; None where it is not taken."""
    before, after = HELLO.encode().split(b"Hello")
    found = read(before + spelled + after)
    return found and found[1]


def test_a_stream_gives_its_text_counts_and_names():
    opening = CHUNK % ('{"delta":{"role":"assistant","content":""}}', ',"service_tier":"t","usage":null')
    end = CHUNK % ('{"delta":{},"finish_reason":"stop"}', ',"model":"other","service_tier":"t"')
    counts = CHUNK % ("", ',"usage": {"prompt_tokens":1,"details":{"cached":null}} ')
    found = read(opening, HELLO, HELLO, end, counts, signals=[0, TEXT, TEXT, FINISH, USAGE])
    assert found == (6, "HelloHello", b'{"prompt_tokens":1,"details":{"cached":null}}', "stop", "m", "t")


def test_a_stream_without_its_end_is_none():
    assert read_chat((Frame(0, "", HELLO.encode()),), [TEXT]) is None
    assert read_chat((), []) is None
    assert read_chat((Frame(0, "x", HELLO.encode()), Frame(1, "", b"[DONE]")), [TEXT, DONE]) is None
    assert read_chat((Frame(7, "", HELLO.encode()), Frame(8, "", b"[DONE]")), [TEXT]) is None


@pytest.mark.parametrize("signals", [0, TEXT | 2, TEXT | DONE, DONE])
def test_signals_and_text_have_to_agree(signals):
    assert read(HELLO, signals=[signals]) is None


@pytest.mark.parametrize(
    ("spelled", "text"),
    [
        (b"", None),  # no text, where the signals promise one
        ("ü€\U0001f600".encode(), "ü€\U0001f600"),
        (rb"\"\\\/\b\f\n\r\t", '"\\/\b\f\n\r\t'),
        (rb"\u0041\u00e9\u20ac\ud83d\ude00\u0000", "Aé€\U0001f600\0"),
        ("ü\\nü".encode(), "ü\nü"),
        (rb"\ud83d", None),
        (rb"\ude00x", None),
        (rb"\ud83d\u0041", None),
        (b"\xff", None),
        (b"\xc3", None),
        (b"\xed\xa0\x80\\n", None),
        (b"\n", None),
        (rb"\x", None),
        (rb"\u12", None),
        (b"\\", None),
    ],
)
def test_a_text_is_what_its_json_spells(spelled, text):
    assert text_of(spelled) == text


@given(st.text(min_size=1, max_size=40), st.booleans())
def test_any_text_comes_back(text, plain):
    assert text_of(json.dumps(text, ensure_ascii=plain)[1:-1].encode()) == text


@pytest.mark.parametrize(
    "event",
    [
        "",
        "null",
        "{}",
        "[]",
        HELLO + "x",
        HELLO.replace("chat.completion.chunk", "error"),
        HELLO.replace('"chat.completion.chunk"', "null"),
        HELLO.replace('"object":"chat.completion.chunk",', ""),
        HELLO.replace('"m"', '"m","model":"n"'),
        HELLO.replace('"m"', '"\\u006d"'),
        HELLO.replace('"m"', '"ü"'),
        HELLO.replace('"m"', "1"),
        HELLO.replace('"m"', '"m","error":null'),
        HELLO.replace('"m"', '"m","created":01'),
        HELLO.replace('"m"', '"m","created":1234567890123456'),
        HELLO.replace('"m"', '"m","created":1.5'),
        HELLO.replace('"m"', '"m",'),
        HELLO.replace('"index":0', '"index":1'),
        HELLO.replace('"index":0', '"index":01'),
        HELLO.replace('"index":0', '"logprobs":{}'),
        HELLO.replace("]", ",{}]"),
        HELLO.replace('"content"', '"refusal":"","content"'),
        HELLO.replace('"content"', '"tool_calls":[],"content"'),
        HELLO.replace('"content"', '"reasoning":"x","content"'),
        HELLO.replace('"content":', '"content":"a","content":'),
        HELLO.replace('"content":', '"conte\\u006et":"a","content":'),
        HELLO.replace('{"content":"Hello"}', "null"),
        HELLO.replace('"delta":', '"message":'),
        HELLO.replace('"m"', '"m","usage":{"a":1}'),  # counts beside a text are a running total
        HELLO.replace("[", "null,"),
    ],
)
def test_what_is_not_usual_is_not_taken(event):
    assert read(HELLO) is not None
    assert read(event) is None


@pytest.mark.parametrize(
    ("counts", "taken"),
    [
        ("{}", True),
        ('{"a":-1.5e3,"b":{"c":null}}', True),
        ('{ "a" : 1 , "b" : { } }', True),
        ('{"a":"1"}', False),
        ('{"a":true}', False),
        ('{"a":[]}', False),
        ('{"a":{"b":{}}}', False),
        ('{"a":}', False),
        ('{"a":1', False),
        ("[]", False),
        ("1", False),
    ],
)
def test_counts_are_numbers_two_levels_deep(counts, taken):
    found = read(CHUNK % ("", f',"usage":{counts}'), signals=[USAGE])
    assert (found is not None) is taken
    assert found is None or found[2] == counts.encode()


def test_counts_come_once_and_names_stay():
    counts = CHUNK % ("", ',"usage":{"a":1}')
    assert read(counts, counts, signals=[USAGE, USAGE]) is None
    for name in ("service_tier", "system_fingerprint"):
        some, other = (CHUNK % ("", f',"{name}":"{value}"') for value in ("a", "b"))
        assert read(some, CHUNK % ("", f',"{name}":""'), some, signals=[0, 0, 0]) is not None
        assert read(some, other, signals=[0, 0]) is None


def test_no_cut_of_a_chunk_is_one():
    data = (CHUNK % ('{"delta":{"content":"\\u00e9\\ud83d\\ude00"}}', ',"usage":{"a":{"b":1}},"created":7')).encode()
    assert read(data, signals=[0]) is None
    for cut in range(len(data)):
        assert read(data[:cut]) is None


def twin(data: bytes):
    """A chunk as json reads it: (text, finish reason, model, tier)."""
    event = json.loads(data)
    choice = event["choices"][0] if event["choices"] else {"delta": {}}
    names = (choice.get("finish_reason"), event.get("model"), event.get("service_tier"))
    return choice["delta"].get("content") or "", *[name or None for name in names]


PIECES = [
    b"",
    b'"',
    b"\\",
    b",",
    b"}",
    b"{",
    b"[",
    b"]",
    b":",
    b" ",
    b"0",
    b"null",
    b"\xff",
    b'"a"',
    b'"model":"n",',
    b"\\n",
]


@given(st.lists(st.tuples(st.integers(0, 120), st.sampled_from(PIECES), st.integers(0, 3)), max_size=3))
def test_what_is_taken_of_mangled_bytes_is_what_json_says(changes):
    data = HELLO.encode()
    for at, piece, over in changes:
        data = data[:at] + piece + data[at + over :]
    for signals in (0, TEXT):
        if (found := read(data, signals=[signals])) is not None:
            assert (found[1], *[name or None for name in found[3:]]) == twin(data)
