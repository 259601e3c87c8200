"""A chunk that is read the quick way means what the protocol's reader finds in it; any other is left to that."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import streamed
from recorded import CODECS, EXPECTED, exchange_of, raw, reading_of

from lens.providers import openai
from lens.providers.registry import get_provider
from lens.providers.usual_chunks import read_usual_chunk
from lens.wire import Ask, Exchange, Prompt, Reading, Secret

CODEC = get_provider("openai")
REQUEST = CODEC.encode(Prompt(text="hi"), Ask(model="m"), "https://a.example", Secret("k"))


def chunk(*choices, **more):
    return {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **more}


def choice(finish=None, index=0, **delta):
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


def both(exchange: Exchange) -> tuple[Reading, Reading]:
    """What an answer means, read quickly and not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(openai, "read_usual_chat", lambda exchange: None)
        quickly = CODEC.decode(REQUEST, exchange)
        patch.setattr(openai, "read_usual_chunk", lambda data: None)
        return quickly, CODEC.decode(REQUEST, exchange)


@pytest.mark.parametrize(
    ("event", "usual"),
    [
        (chunk(choice(role="assistant", content="", refusal=None)), True),
        (chunk(choice("stop"), usage=None, service_tier="default", system_fingerprint="fp"), True),
        (chunk(usage={"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 0}}), True),
        (chunk(choice(content="a"), obfuscation="xx"), True),
        (chunk(choice(content="a", audio={})), False),
        (chunk(choice(tool_calls=[])), False),
        (chunk(choice(role="assistant", content=None, reasoning_content="")), True),
        (chunk(choice(reasoning="because")), False),
        (chunk(choice(content=[{"type": "text", "text": "a"}])), False),
        (chunk(choice(), error={"message": "no"}), False),
        (chunk(choice(), x_groq={}), False),
        (chunk(choice(), words="unknown"), False),
        (chunk(choice(index=-1)), False),
        (chunk(usage={"cost": "0.1"}), False),
        ({**chunk(choice()), "object": "error"}, False),
        ({**chunk(choice()), "choices": None}, False),
        (chunk(choice(content="\ud83d")), False),
    ],
)
def test_only_what_every_server_writes_is_read_so(event, usual):
    assert (read_usual_chunk(json.dumps(event).encode()) is not None) is usual


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 5000, b"null", b"[DONE]", b" "])
def test_no_bytes_break_it(data):
    assert read_usual_chunk(data) is None


WORDS = st.sampled_from(["", "a", "word", "error", "stop"])
NUMBERS = st.sampled_from([None, 0, 1, 7, 2.5, -1, 10**15])
COUNTS = st.dictionaries(
    st.sampled_from(["prompt_tokens", "completion_tokens", "total_tokens", "queue_time", "cost", "num_search_queries"]),
    NUMBERS,
)
DETAILS = st.fixed_dictionaries({}, optional={"completion_tokens_details": st.dictionaries(
    st.sampled_from(["reasoning_tokens", "audio_tokens"]), NUMBERS)})  # fmt: skip
USAGES = st.none() | st.tuples(COUNTS, DETAILS).map(lambda both: {**both[0], **both[1]})
DELTAS = st.fixed_dictionaries({}, optional={
    "content": st.none() | WORDS, "role": st.none() | WORDS, "refusal": st.none() | WORDS,
    "reasoning_content": st.none() | WORDS, "tool_calls": st.none() | st.just([]), "note": WORDS,
})  # fmt: skip
CHOICES = st.fixed_dictionaries({"delta": DELTAS}, optional={
    "index": st.sampled_from([0, 1, 2, -1, None]), "finish_reason": st.none() | WORDS, "logprobs": st.none(),
    "stop_reason": st.sampled_from([None, 3, "x"]), "text": WORDS,
})  # fmt: skip
CHUNKS = st.fixed_dictionaries({"object": st.sampled_from(["chat.completion.chunk", "error"])}, optional={
    "choices": st.lists(CHOICES, max_size=2), "usage": USAGES, "model": st.none() | WORDS, "id": WORDS,
    "service_tier": st.none() | WORDS, "system_fingerprint": st.none() | WORDS, "obfuscation": WORDS,
    "unknown": WORDS, "created": NUMBERS,
})  # fmt: skip


@settings(max_examples=300)
@given(st.lists(CHUNKS, max_size=5))
def test_an_answer_means_the_same_without_it(chunks):
    quickly, slowly = both(streamed(REQUEST.signals, *chunks, b"[DONE]"))
    assert quickly == slowly


@pytest.mark.parametrize("name", [name for name, one in EXPECTED.items() if CODECS[one["protocol"]][0] == "openai"])
def test_a_recorded_answer_means_the_same_without_it(name, monkeypatch):
    exchange, _ = exchange_of(name, [raw(name)], keep_all=True)
    monkeypatch.setattr(openai, "read_usual_chat", lambda exchange: None)
    quickly = reading_of(name, exchange)
    monkeypatch.setattr(openai, "read_usual_chunk", lambda data: None)
    assert reading_of(name, exchange) == quickly
