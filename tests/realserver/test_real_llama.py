"""Against llama.cpp's own server: what we measure agrees with what it says of itself.

Its `timings` and `usage` come from another program's clock and counter. Bounds are one-sided
where the truth is: the server cannot have finished what we saw begin, or counted other tokens.
"""

from __future__ import annotations

import http.client
import json
from itertools import pairwise
from urllib.parse import urlsplit

import pytest
from waiting import HANG_S

TOKENS = 40
CONTENT = 1  # Signal.TEXT


# This server closes its connection behind each answer without a word. A request that meets that on a busy machine,
# where nobody can tell whether it was read, is a network error.
AGAIN = ("--retries", 5)


def ask(llama: str, *more: object) -> list:
    target = ["--provider", "openai", "--base-url", llama, "--model", "tiny", "--prompt", "say something"]
    return [*target, "--max-tokens", TOKENS, *AGAIN, *more]


def check_against_the_server(record: dict) -> None:
    """The server's prompt time lies inside our TTFT, its whole time inside our total."""
    told = record["server_timing_ms"]
    # From the send's start: the server may have the request before the call that sent it returns here.
    sent_ms = (record["stamps"]["send_start"] - record["stamps"]["start"]) / 1e6
    assert 0 < told["llamacpp_prompt"] <= record["ttft_ms"] - sent_ms
    assert record["ttft_from_send_ms"] <= record["ttft_ms"]
    assert told["llamacpp_prompt"] + told["llamacpp_predicted"] <= record["total_latency_ms"]
    assert record["ttfb_ms"] <= record["ttft_ms"] <= record["total_latency_ms"]


def check_tokens(record: dict) -> None:
    """One event a token here, and as many as the server billed."""
    assert record["output_tokens"] == record["usage"]["output_tokens"] == TOKENS
    signals, chars = record["events"]["signals"], record["events"]["chars"]
    assert sum(1 for s, c in zip(signals, chars, strict=True) if s & CONTENT and c) == TOKENS
    assert record["events"]["arrived_ns"] == sorted(record["events"]["arrived_ns"])


def test_the_server_speaks_as_the_protocol_says(llama: str) -> None:
    place = urlsplit(llama)
    body = {"model": "tiny", "max_tokens": TOKENS, "stream": True, "stream_options": {"include_usage": True}}
    body["messages"] = [{"role": "user", "content": "say something"}]
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=HANG_S)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    lines = [line[6:] for line in answer.read().decode().splitlines() if line]
    connection.close()
    assert answer.headers.get_content_type() == "text/event-stream"
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    assert chunks[-1]["usage"]["completion_tokens"] == TOKENS
    assert sum(1 for c in chunks for choice in c["choices"] if choice["delta"].get("content")) == TOKENS


def test_profile_agrees_with_the_server(llama: str, lll, tmp_path) -> None:
    done = lll("profile", *ask(llama), "--export", "json", "--output", "one.json")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "one.json").read_text())
    assert (record["status"], record["finish_reason"], record["served_model"]) == ("Success", "length", "tiny")
    check_against_the_server(record)
    check_tokens(record)


@pytest.mark.parametrize(
    ("provider", "api"), [("llamacpp", "completions"), ("llamacpp", "responses"), ("anthropic", "messages")]
)
def test_every_route_of_the_server_is_measured(llama: str, lll, tmp_path, provider: str, api: str) -> None:
    words = ["--provider", provider, "--base-url", llama, "--model", "tiny", "--api", api]
    done = lll("profile", *words, "--prompt", "say something", "--max-tokens", TOKENS, "-e", "json", "-o", "one.json")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "one.json").read_text())
    assert record["status"] == "Success"
    assert record["ttfb_ms"] <= record["ttft_ms"] <= record["total_latency_ms"]
    check_tokens(record)


@pytest.mark.parametrize("api", ["chat", "completions", "responses"])
def test_an_answer_in_one_piece_has_no_token_times(llama: str, lll, tmp_path, api: str) -> None:
    words = ["--provider", "llamacpp", "--base-url", llama, "--model", "tiny", "--api", api, "--no-stream"]
    done = lll("profile", *words, "--prompt", "say something", "--max-tokens", TOKENS, "-e", "json", "-o", "one.json")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "one.json").read_text())
    assert record["output_tokens"] == TOKENS
    assert 0 < record["ttfb_ms"] <= record["total_latency_ms"]
    assert record.get("ttft_ms") is None
    assert record.get("tpot_ms") is None


def test_benchmark_measures_every_request_of_a_closed_loop(llama: str, lll, tmp_path) -> None:
    done = lll("benchmark", *ask(llama), "-n", 50, "-c", 4, "--export", "jsonl", "--output", "run.jsonl")
    assert done.returncode == 0, done.stderr
    lines = map(json.loads, (tmp_path / "run.jsonl").read_text().splitlines())
    records = [line for line in lines if "request_id" in line]  # the others are the run's header
    assert sorted(record["index"] for record in records) == list(range(50))
    for record in records:
        assert record["status"] == "Success", record["error"]
        check_against_the_server(record)
        check_tokens(record)
    starts = sorted((r["stamps"]["start"], 1) for r in records)
    ends = sorted((r["stamps"]["end"], -1) for r in records)
    held = most = 0
    for _, step in sorted(starts + ends):
        held += step
        most = max(most, held)
    assert 1 < most <= 4


def test_an_unknown_path_of_a_real_server_is_one_clear_line(llama: str, lll) -> None:
    done = lll("profile", "--provider", "openai", "--base-url", llama + "/nowhere", "--model", "tiny")
    assert done.returncode == 1
    assert "404" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_conversation_finds_its_earlier_turns_in_the_cache(llama: str, lll, tmp_path) -> None:
    sessions, turns = 3, 4
    talks = []
    for k in range(sessions):
        asked = [f"say {k} and {n} " * (40 if n == 0 else 3) for n in range(turns)]
        said = [[{"role": "user", "content": one}, {"role": "assistant", "content": "as you say"}] for one in asked]
        talks.append({"messages": [message for pair in said for message in pair]})
    (tmp_path / "talks.jsonl").write_text("".join(json.dumps(one) + "\n" for one in talks))
    words = ["--provider", "llamacpp", "--base-url", llama, "--model", "tiny", "--max-tokens", 8, "-c", 1, *AGAIN]
    words += ["--sessions", "talks.jsonl", "--history", "live", "-e", "json", "-o", "talks.json"]
    done = lll("benchmark", *words)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "talks.json").read_text())
    assert (found["sessions"]["complete"], found["sessions"]["failed"]) == (sessions, 0)
    rows = {(one["session"]["session_id"], one["session"]["turn"]): one for one in found["requests"]}
    for name in {session for session, _ in rows}:
        cached = [rows[name, turn]["cached_tokens"] for turn in range(turns)]
        assert sorted(set(cached)) == cached, "each turn finds more than the one before"
        prompts = [rows[name, turn]["input_tokens"] for turn in range(turns)]
        assert all(held >= prompt / 2 for held, prompt in zip(cached[1:], prompts, strict=False))
    # The least of each turn is nearest to what the server had to do: 800 tokens, then 110.
    least = [min(one["ttft_ms"] for (_, turn), one in rows.items() if turn == wanted) for wanted in (0, 1)]
    assert least[1] < least[0]
    first, second = found["sessions"]["turns"][:2]
    assert second["cached_share"] > first["cached_share"]
    assert found["sessions"]["misses"] is None


def test_a_live_conversation_finds_its_own_words_in_the_servers_cache(llama: str, lll, tmp_path) -> None:
    words = [f"tell me of number {number} in as many words as you like, and leave nothing out" for number in range(4)]
    (tmp_path / "talk.jsonl").write_text(json.dumps({"session_id": "talk", "turns": [{"text": one} for one in words]}))
    target = ["--provider", "llamacpp", "--base-url", llama, "--model", "tiny", "--max-tokens", TOKENS]
    more = ["--sessions", "talk.jsonl", "--history", "live", "--salt", "run", "--save-text", "-o", "run.jsonl"]
    done = lll("benchmark", *target, *AGAIN, *more)
    assert done.returncode == 0, done.stderr
    lines = map(json.loads, (tmp_path / "run.jsonl").read_text().splitlines())
    records = sorted((line for line in lines if "request_id" in line), key=lambda one: one["session"]["turn"])
    assert [one["status"] for one in records] == ["Success"] * 4
    given = [one["usage"]["input_tokens"] for one in records]
    cached = [one["usage"].get("cache_read_tokens") or 0 for one in records]
    # Each turn sends what the model had said before, as the server counts it, and finds all of that in the cache.
    for before, after in pairwise(given):
        assert after >= before + TOKENS
    assert cached[0] < given[0]
    assert sorted(cached) == cached
    for turn in range(1, 4):
        assert cached[turn] >= given[turn - 1]
