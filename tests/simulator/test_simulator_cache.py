"""The prefix cache: which words at the start of a prompt were computed before, and what a cached word costs."""

from __future__ import annotations

import hashlib
import json

import pytest
import simulator_wire as wire

from lens.simulator.cache import PrefixCache

FAST = "ttft=1ms,itl=0,tokens=2"
NS_PER_S = 1_000_000_000
# What a session sends, turn by turn: each prompt holds the one before.
TURNS = ("a b c", "a b c d e", "a b c d e f g h")


@pytest.fixture(scope="module")
def simulator():
    with wire.running() as handle:
        yield handle


def read(cache: PrefixCache, prompt: str, at_s: float = 0, size: int = 100, **more: int) -> int:
    return cache.read(prompt.split(), round(at_s * NS_PER_S), size=size, **more)


def test_a_prompt_finds_the_longest_prefix_that_was_sent_before():
    cache = PrefixCache()
    assert [read(cache, prompt) for prompt in TURNS] == [0, 3, 5]
    assert read(cache, "a b x d e") == 2
    assert read(cache, "x b c") == 0


def test_only_whole_blocks_are_cached():
    cache = PrefixCache()
    assert [read(cache, prompt, block=4) for prompt in (*TURNS, TURNS[-1])] == [0, 0, 4, 8]


def test_what_was_used_longest_ago_is_dropped_when_the_cache_is_full():
    cache = PrefixCache()
    read(cache, "a b c d", size=6)
    read(cache, "p q", size=6)
    assert read(cache, "a b c d", size=6) == 4
    read(cache, "x y z", size=6)  # what is left of six: p and q go, and the last word of the others
    assert read(cache, "p q", size=6) == 0


def test_of_a_prompt_that_is_larger_than_the_cache_its_beginning_stays():
    cache = PrefixCache()
    read(cache, "a b c d e f g h", size=3)
    assert read(cache, "a b c d e f g h", size=3) == 3


@pytest.mark.parametrize(("at_s", "cached"), [(299.9, 3), (300, 0)])
def test_what_was_not_used_for_the_time_to_live_is_dropped(at_s, cached):
    cache = PrefixCache()
    read(cache, "a b c")
    assert read(cache, "a b c d", at_s, ttl_ns=300 * NS_PER_S) == cached


def test_a_use_renews_the_time_to_live():
    cache = PrefixCache()
    for at_s in (0, 200, 400):
        read(cache, "a b c", at_s, ttl_ns=300 * NS_PER_S)
    assert read(cache, "a b c", 600, ttl_ns=300 * NS_PER_S) == 3


def ask(simulator, words: str, script: str, *, model: str = "m", session: str = "s") -> dict:
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": words}]}
    body["stream_options"] = {"include_usage": True}
    headers = {"x-lens-script": f"{FAST},{script}", "X-Session-ID": session}
    answer = wire.ask(simulator, "/v1/chat/completions", body, headers)
    record = simulator.log(last=1)[0]
    assert record["body_sha256"] == hashlib.sha256(json.dumps(body).encode()).hexdigest()
    record["usage"] = json.loads(wire.sse(answer.body)[-2][1])["usage"]
    return record


def test_prefill_takes_its_time_by_uncached_and_cached_tokens(simulator):
    simulator.reset()
    script = "cache=100,prefill=3ms,cached-prefill=1ms"
    found = [ask(simulator, words, script) for words in TURNS]
    waits_ms = [(record["base_ns"] - record["request_complete_ns"]) / 1e6 for record in found]
    assert waits_ms == [9, 9, 14]  # 3 x 3; 2 x 3 + 3; 3 x 3 + 5
    assert [record["tokens"]["cached"] for record in found] == [0, 3, 5]
    assert [record["usage"]["prompt_tokens_details"]["cached_tokens"] for record in found] == [0, 3, 5]


def test_each_model_has_its_own_cache_and_a_reset_empties_all(simulator):
    simulator.reset()
    cached = [ask(simulator, "a b c", "cache=9", model=model)["tokens"]["cached"] for model in ("m", "n", "m")]
    assert cached == [0, 0, 3]
    simulator.reset()
    assert ask(simulator, "a b c", "cache=9")["tokens"]["cached"] == 0


def test_a_request_that_fails_caches_nothing(simulator):
    simulator.reset()
    wire.chat(simulator, f"{FAST},cache=9,status=503", words="a b c")
    assert ask(simulator, "a b c", "cache=9")["tokens"]["cached"] == 0


def test_the_log_knows_the_session(simulator):
    assert ask(simulator, "a", "", session="conversation 7")["session"] == "conversation 7"


CACHED = {
    "anthropic": ("/v1/messages", {"max_tokens": 9}),
    "responses": ("/v1/responses", {"input": "a b c"}),
    "cohere": ("/v2/chat", {}),
    "bedrock": ("/model/m/converse-stream", {"messages": [{"role": "user", "content": [{"text": "a b c"}]}]}),
    "google": ("/v1beta/models/m:streamGenerateContent?alt=sse", {"contents": [{"parts": [{"text": "a b c"}]}]}),
}


@pytest.mark.parametrize("protocol", CACHED)
def test_every_protocol_that_has_a_word_for_them_reports_cached_tokens(simulator, protocol):
    simulator.reset()
    path, more = CACHED[protocol]
    prompt = {} if {"input", "contents"} & set(more) else {"messages": [{"role": "user", "content": "a b c"}]}
    body = {"model": "m", "stream": True, **prompt, **more}
    answers = [wire.ask(simulator, path, body, {"x-lens-script": f"{FAST},cache=9"}).body for _ in range(2)]
    assert [record["tokens"]["cached"] for record in simulator.log()[-2:]] == [0, 3]
    assert answers[0] != answers[1]
