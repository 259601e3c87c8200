"""The times of tool calls are those of the events that brought them, however the network cuts the bytes."""

import time
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import streamed
from recorded import exchange_of, raw, reading_of

from lens.model import CONTENT, Signal
from lens.providers.registry import get_provider
from lens.wire import Ask, Prompt, Secret

# Each protocol with tool calls: whole ones (Gemini, Ollama, some compatible servers), and such as come in pieces.
RECORDED = (
    "oai_chat_tools_01", "oai_chat_tools_02", "compat_tool_whole_01", "oai_responses_tool_01", "anthropic_tool_01",
    "anthropic_server_tool_01", "gemini_sse_tool_01", "bedrock_converse_tool_01", "cohere_v2_tool_01",
    "ollama_chat_tool_01",
)  # fmt: skip
MS = 10**6


@cache
def writes_of(name):
    """The answer as its server may have written it: a piece ends where an event is complete."""
    data = raw(name)
    each, _ = exchange_of(name, [data[i : i + 1] for i in range(len(data))], keep_all=False)
    ends = sorted({0, *[at + 1 for at in each.events.arrived_ns], len(data)})
    return [data[start:end] for start, end in pairwise(ends)]


def read(name, pieces, stamps):
    exchange, _ = exchange_of(name, pieces, keep_all=False, stamps=stamps)
    return reading_of(name, exchange).tool_calls, exchange.events


@settings(max_examples=40, deadline=None)
@given(st.data())
@pytest.mark.parametrize("name", RECORDED)
def test_no_cut_of_the_bytes_changes_the_times_of_a_call(name, data):
    writes = writes_of(name)
    stamps = [number * 20 * MS for number in range(len(writes))]
    calls, events = read(name, writes, stamps)
    pieces, at = [], []
    for write, stamp in zip(writes, stamps, strict=True):
        cuts = sorted(data.draw(st.sets(st.integers(1, max(len(write) - 1, 1)), max_size=3)))
        for start, end in pairwise([0, *[cut for cut in cuts if cut < len(write)], len(write)]):
            pieces.append(write[start:end])
            at.append(stamp)
    again, cut_events = read(name, pieces, at)
    assert calls
    assert again == calls
    assert (cut_events.block, cut_events.arrived_ns) == (events.block, events.arrived_ns)


@pytest.mark.parametrize("name", RECORDED)
def test_a_call_is_timed_by_its_own_events_without_any_text_being_kept(name):
    writes = writes_of(name)
    calls, events = read(name, writes, [number * 20 * MS for number in range(len(writes))])
    tool = [at for at, bits in zip(events.arrived_ns, events.signals, strict=True) if bits & Signal.TOOL]
    assert min(call.first_ns for call in calls) == tool[0]
    assert max(call.last_ns for call in calls) == tool[-1]
    for call in calls:
        assert call.valid
        assert call.deltas >= 1
        assert (call.gap_ns is None) == (call.deltas == 1)
        assert call.first_ns <= call.last_ns


@pytest.mark.parametrize("name", ["anthropic_tool_01", "bedrock_converse_tool_01", "oai_responses_tool_01"])
def test_the_tape_knows_the_events_of_each_call(name):
    exchange, _ = exchange_of(name, writes_of(name), keep_all=False)
    events = exchange.events
    by_block = {}
    for at, bits, block in zip(events.arrived_ns, events.signals, events.block, strict=True):
        if bits & Signal.TOOL and bits & CONTENT:
            by_block.setdefault(block, []).append(at)
    calls = reading_of(name, exchange).tool_calls
    assert [(at[0], at[-1], len(at)) for at in by_block.values()] == [
        (call.first_ns, call.last_ns, call.deltas) for call in calls
    ]


def calls_of(provider, *events, api=None):
    codec = get_provider(provider)
    request = codec.encode(Prompt(text="hi"), Ask(model="m", api=api), "https://a.example", Secret("k"))
    return codec.decode(request, streamed(request.signals, *events)).tool_calls


def times(calls):
    return [(call.first_ns, call.last_ns, call.silence_ns, call.deltas, call.gap_ns, call.valid) for call in calls]


def fragment(index, arguments, **more):
    call = {"index": index, "function": {"arguments": arguments}, **more}
    return {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}


def test_parallel_calls_have_their_own_fragments_and_silences():
    calls = calls_of(
        "openai",
        {"choices": [{"index": 0, "delta": {"content": "Now"}}]},
        {"choices": []},
        fragment(0, '{"a":', id="x"),  # event 2
        fragment(1, "{", id="y"),
        fragment(0, "1}"),
        {"choices": []},
        fragment(1, "}"),
        fragment(1, ""),  # empty: not its last
        b"[DONE]",
    )
    assert times(calls) == [(2, 4, 2, 2, 2, True), (3, 6, 1, 2, 3, True)]


def test_anthropics_empty_first_fragment_is_no_delta():
    delta = {"type": "content_block_delta", "index": 1}
    calls = calls_of(
        "anthropic",
        {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "t", "name": "f"}},
        {**delta, "delta": {"type": "input_json_delta", "partial_json": ""}},
        {**delta, "delta": {"type": "input_json_delta", "partial_json": '{"a"'}},
        {**delta, "delta": {"type": "input_json_delta", "partial_json": ": 1}"}},
        {"type": "content_block_stop", "index": 1},
    )
    assert times(calls) == [(0, 3, None, 3, 2, True)]


def test_arguments_that_were_cut_off_are_not_valid():
    calls = calls_of("openai", fragment(0, '{"a": "b', id="x"), b"[DONE]")
    assert times(calls) == [(0, 0, None, 1, None, False)]


def test_a_tool_that_takes_a_text_is_not_held_to_json():
    custom = {"index": 0, "id": "x", "custom": {"name": "sql", "input": "select 1"}}
    calls = calls_of("openai", {"choices": [{"index": 0, "delta": {"tool_calls": [custom]}}]}, b"[DONE]")
    assert [(call.arguments, call.valid) for call in calls] == [("select 1", None)]


def test_arguments_that_come_only_at_the_end_of_an_item_are_its_second_fragment():
    item = {"type": "function_call", "name": "f", "call_id": "c"}
    calls = calls_of(
        "openai",
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "arguments": ""}},
        {"type": "response.in_progress"},
        {"type": "response.output_item.done", "output_index": 0, "item": {**item, "arguments": "{}"}},
        api="responses",
    )
    assert times(calls) == [(0, 2, None, 2, 2, True)]


def test_reasoning_of_the_responses_api_has_a_duration_where_its_text_is_not_sent():
    codec = get_provider("openai")
    request = codec.encode(Prompt(text="hi"), Ask(model="m", api="responses"), "https://a.example", Secret("k"))
    item = {"type": "reasoning", "id": "r"}
    events = (
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.in_progress"},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.output_text.delta", "output_index": 1, "delta": "hi"},
    )
    assert codec.decode(request, streamed(request.signals, *events)).hidden_thinking_ns == 2


def many_fragments(n):
    return [fragment(0, "x", id="a"), *[fragment(0, "x")] * n]


def many_ids(n):
    return [fragment(0, "{}", id=f"call-{i}") for i in range(n)]


def many_at_once(n):
    call = {"function": {"name": "f", "arguments": "{}"}}
    calls = [{**call, "index": i, "id": f"c{i}"} for i in range(n)]
    return [*[{"choices": []}] * n, {"choices": [{"index": 0, "delta": {"tool_calls": calls}}]}]


def gemini_pieces(n):
    def part(**call):
        return {"candidates": [{"content": {"parts": [{"functionCall": call}]}}]}

    piece = part(partialArgs=[{"jsonPath": "$.t", "stringValue": "x"}], willContinue=True)
    return [part(name="f", id="a", willContinue=True), *[piece] * n]


def gemini_calls(n):
    def part(**call):
        return {"candidates": [{"content": {"parts": [{"functionCall": call}]}}]}

    return [part(name="f", id=f"c{i}", args={}) for i in range(n)]


@pytest.mark.parametrize(
    ("provider", "made"),
    [
        ("openai", many_fragments), ("openai", many_ids), ("openai", many_at_once), ("google", gemini_pieces),
        ("google", gemini_calls),
    ],
)  # fmt: skip
def test_ten_times_the_fragments_do_not_take_a_hundred_times_as_long(provider, made):
    codec = get_provider(provider)
    request = codec.encode(Prompt(text="hi"), Ask(model="m"), "https://a.example", Secret("k"))

    def took_s(n):
        answer = streamed(request.signals, *made(n))
        return min(_timed(lambda: codec.decode(request, answer)) for _ in range(2))

    assert took_s(3_000) < 50 * max(took_s(300), 1e-3)


def _timed(work):
    began = time.process_time()
    work()
    return time.process_time() - began


def test_a_gemini_string_that_comes_in_pieces_is_whole():
    calls = calls_of("google", *gemini_pieces(3))
    assert (calls[0].arguments, calls[0].valid) == ('{"t":"xxx"}', False)
