"""A usual chat means what the protocol's reader finds in it; any other stream is left to that."""

from __future__ import annotations

import json
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import streamed
from msgspec.structs import replace
from recorded import exchange_of, names_of, raw, reading_of

from lens.providers import openai
from lens.providers.openai import parse_usage
from lens.providers.registry import get_provider
from lens.providers.usual_chats import read_usual_chat
from lens.wire import Ask, Exchange, Prompt, Secret

CODEC = get_provider("openai")
REQUEST = CODEC.encode(Prompt(text="hi"), Ask(model="m"), "https://a.example", Secret("k"))
COUNTS = {
    "prompt_tokens": 3,
    "completion_tokens": 2,
    "total_tokens": 5,
    "prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "accepted_prediction_tokens": 0},
}


def chunk(*choices, **more):
    return {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **more}


def choice(finish=None, **delta):
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def packed(value) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def stream_of(*texts: str, **more) -> list[bytes]:
    """The data of a usual stream; `more` stands in each chunk."""
    events = [chunk(choice(role="assistant", content=""), **more)]
    events += [chunk(choice(content=text), **more) for text in texts]
    events += [chunk(choice("stop"), **more), chunk(**more | {"usage": COUNTS})]
    return [*map(packed, events), b"[DONE]"]


STREAM = stream_of("Hel", "lo, ", "you", usage=None, service_tier="default", system_fingerprint="fp")


def exchange_with(*data: bytes, **more) -> Exchange:
    return streamed(REQUEST.signals, *data, **more)


def read_slowly(exchange: Exchange, request=REQUEST):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai, "read_usual_chat", lambda exchange: None)
        patch.setattr(openai, "read_usual_chunk", lambda data: None)
        return CODEC.decode(request, exchange)


def without_content(exchange: Exchange) -> Exchange:
    """The answer as it comes where no text is wanted."""
    signals = exchange.events.signals
    return replace(exchange, frames=tuple(frame for frame in exchange.frames if signals[frame.index] != 1))


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("texts", [(), ("a",), ("a", "b", "c"), ('"', "\n", "ü", "\U0001f600", "\u3000", "\x7f", "\\")])
def test_a_usual_chat_is_read_here_and_means_the_same(texts, kept):
    exchange = exchange_with(*stream_of(*texts, service_tier="default"))
    exchange = exchange if kept else without_content(exchange)
    found = read_usual_chat(exchange)
    assert found == read_slowly(exchange)
    assert found.text == ("".join(texts) if kept else "")


def swapped(place: int, **more) -> list[bytes]:
    """The stream with other fields in one of its chunks."""
    return [packed({**json.loads(data), **more}) if at == place else data for at, data in enumerate(STREAM)]


@pytest.mark.parametrize(
    "data",
    [
        STREAM[:-1],
        [*STREAM[:-3], *STREAM[-2:]],
        swapped(1, choices=[choice(content="a", reasoning="because")]),
        swapped(1, choices=[choice(content="a") | {"index": 1}]),
        swapped(1, choices=[choice(content="a"), choice(content="b") | {"index": 1}]),
        swapped(1, choices=[choice(content="a"), choice(content="b") | {"index": None}]),
        swapped(1, choices=[choice(tool_calls=[])]),
        swapped(1, service_tier="flex"),
        swapped(1, system_fingerprint="fp-2"),
        swapped(1, error={"message": "no"}),
        swapped(1, usage=COUNTS),
        [*swapped(1, usage=COUNTS)[:-2], b"[DONE]"],
        swapped(0, usage=COUNTS),
        swapped(4, choices=[choice("error")]),
        swapped(5, usage=COUNTS | {"cost": 0.5}),
        swapped(5, usage=COUNTS | {"completion_tokens": 0}),
        swapped(5, usage={"total_tokens": 5}),
        swapped(5, usage=COUNTS | {"completion_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 7}),
        [STREAM[0], b"{", *STREAM[1:]],
        [STREAM[0], b"", *STREAM[1:]],
    ],
)
def test_any_other_stream_is_left_to_the_protocols_reader(data):
    assert read_usual_chat(exchange_with(*STREAM)) is not None
    assert read_usual_chat(exchange_with(*data)) is None


def changed(data: bytes, *changes: tuple[bytes, bytes]) -> bytes:
    for before, after in changes:
        assert before in data
        data = data.replace(before, after)
    return data


HELLO, END = STREAM[1], (b'"finish_reason":null', b'"finish_reason":"length"')


@pytest.mark.parametrize(
    "pair",
    [
        [HELLO, changed(HELLO, (b'"Hel"', b'"a","role":"b"'))],  # more than a text where the other's text is
        [HELLO, changed(HELLO, (b"Hel", b"\\u0041"))],
        [HELLO, changed(HELLO, (b"Hel", b"\xff"))],
        [HELLO, changed(HELLO, (b"Hel", b""))],
        [changed(HELLO, (b'"Hel"', b'"a","content":"z"')), changed(HELLO, (b'"Hel"', b'"b","content":"z"'))],
        [
            changed(HELLO, (b'"Hel"', b'"a","conte\\u006et":"z"')),
            changed(HELLO, (b'"Hel"', b'"b","conte\\u006et":"z"')),
        ],
        [changed(HELLO, END), STREAM[-3], changed(HELLO, END, (b"Hel", b"lo"))],  # the last reason to stop counts
        [changed(HELLO, (b'"content":"Hel"', b'"content" : "Hel"')), HELLO],
    ],
)
def test_only_what_differs_in_its_text_alone_is_read_like_the_chunk_before(pair):
    exchange = exchange_with(STREAM[0], *pair, b"[DONE]")
    assert CODEC.decode(REQUEST, exchange) == read_slowly(exchange)
    exchange = exchange_with(STREAM[0], *pair, *STREAM[-3:])
    assert CODEC.decode(REQUEST, exchange) == read_slowly(exchange)


def with_signals(exchange: Exchange, *signals: int) -> Exchange:
    """The answer as other rules would have seen its first events."""
    column = array("H", [*signals, *exchange.events.signals[len(signals) :]][: len(exchange.events)])
    return replace(exchange, events=replace(exchange.events, signals=column))


@pytest.mark.parametrize(
    "exchange",
    [
        with_signals(exchange_with(*STREAM), 0, 0, 0, 0),
        with_signals(exchange_with(*STREAM), 1),
        with_signals(exchange_with(*STREAM), 256),
        with_signals(exchange_with(*STREAM[:2], changed(HELLO, (b"Hel", b"\x01")), *STREAM[-3:]), 0, 1, 1),
    ],
)
def test_what_the_rules_do_not_see_as_usual_is_left_to_it(exchange):
    assert read_usual_chat(exchange) is None


def test_a_reason_to_stop_that_the_rules_do_not_see_is_read():
    ends = [changed(HELLO, END), STREAM[-3], changed(HELLO, END, (b"Hel", b"lo"))]
    exchange = with_signals(exchange_with(*ends, b"[DONE]"), 1, 64, 1)
    assert CODEC.decode(REQUEST, exchange) == read_slowly(exchange)


@pytest.mark.parametrize("place", [0, 1, 4])
def test_an_event_with_a_name_is_left_to_it(place):
    exchange = exchange_with(*STREAM)
    frames = [replace(frame, name="x") if at == place else frame for at, frame in enumerate(exchange.frames)]
    assert read_usual_chat(replace(exchange, frames=tuple(frames))) is None


@pytest.mark.parametrize(
    "more",
    [
        {"status": 500},
        {"status": 201},
        {"error_field": "{}"},
        {"document": b"{}"},
        {"headers": (("x-gemini-service-tier", "flex"),)},
        {"framing": "ndjson"},
    ],
)
def test_an_answer_that_came_otherwise_is_left_to_it_too(more):
    assert read_usual_chat(replace(exchange_with(*STREAM), **more)) is None


@settings(max_examples=200)
@given(
    st.dictionaries(
        st.sampled_from([*COUNTS, "reasoning_tokens", "prompt_cache_hit_tokens", "cost", "input_tokens"]),
        st.sampled_from([None, 0, 1, 5, 2.0, 2.5, -1, 2**40, {}, {"cached_tokens": 1}, {"reasoning_tokens": 2}]),
    )
)
def test_counts_mean_what_they_mean_to_parse_usage(more):
    counts = COUNTS | more
    found = read_usual_chat(exchange_with(*STREAM[:-2], packed(chunk(usage=counts)), b"[DONE]"))
    assert found is None or found.usage == parse_usage(counts)


# Bytes that mean something where they come to stand in a stream.
PIECES = st.sampled_from(
    [
        *(b"", b"x", b'"', b"\\", b",", b"}", b"{", b":", b" ", b"0", b"1", b"null", b"[DONE]"),
        *(b"\x00", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\\u0041", b'\\"', b"\\ud83d"),
        *(b'"content":"c"', b'"content":"",', b'"content":null,', b'"conte\\u006et":"e",', b'"delta":{"content":"d"},'),
        *(
            b'"index":1,',
            b'"model":"n",',
            b'"service_tier":"flex",',
            b'"system_fingerprint":"g",',
            b'"stop"',
            b'"error"',
        ),
        *(b'"usage":{"prompt_tokens":9},', b'"finish_reason":"length",', b'"error":"no",'),
    ]
)


@st.composite
def mangled_streams(draw) -> list[bytes]:
    """A usual stream that was cut, doubled and written into, in a few places."""
    texts = draw(st.lists(st.text(max_size=6), max_size=4))
    data = stream_of(*texts, **draw(st.sampled_from([{}, {"usage": None}, {"service_tier": "default"}])))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data) - 1))
        match draw(st.sampled_from(["write", "write", "write", "drop", "double", "move"])):
            case "drop" if len(data) > 1:
                del data[at]
            case "double":
                data.insert(at, data[at])
            case "move":
                data.append(data.pop(at))
            case _:
                begin = draw(st.integers(0, len(data[at])))
                over = draw(st.sampled_from([0, 0, 1, 2, 8]))
                data[at] = data[at][:begin] + draw(PIECES) + data[at][begin + over :]
    return data


@settings(max_examples=500, deadline=None)
@given(
    mangled_streams(), st.booleans(), st.none() | st.lists(st.sampled_from([0, 1, 2, 32, 33, 64, 65, 256]), max_size=8)
)
def test_a_mangled_stream_means_the_same_read_either_way(data, kept, signals):
    exchange = exchange_with(*data)
    exchange = with_signals(exchange, *(signals or ()))
    exchange = exchange if kept else without_content(exchange)
    assert CODEC.decode(REQUEST, exchange) == read_slowly(exchange)


@pytest.mark.parametrize("name", names_of("openai_chat", "groq_chat", "mistral_chat"))
@pytest.mark.parametrize("kept", [True, False])
def test_a_recorded_answer_means_the_same_read_either_way(name, kept, monkeypatch):
    exchange, _ = exchange_of(name, [raw(name)], keep_all=kept)
    found = read_usual_chat(exchange)
    monkeypatch.setattr(openai, "read_usual_chat", lambda exchange: None)
    assert found is None or found == reading_of(name, exchange)


PLAIN = ("oai_chat_basic_01", "oai_chat_no_usage_01", "deepseek_keepalive_01", "sglang_reasoning_01", "tgi_nospace_01")


@pytest.mark.parametrize("name", [*PLAIN, "ollama_openai_compat_01", "vllm_reasoning_duplicated_01"])
def test_the_plain_answer_of_a_server_is_usual(name):
    assert read_usual_chat(exchange_of(name, [raw(name)], keep_all=False)[0]) is not None
