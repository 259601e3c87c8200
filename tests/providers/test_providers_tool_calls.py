"""Tool calls from their fragments: which belong together, and when each came."""

import pytest
from made import streamed

from lens.model import ToolCall
from lens.providers import openai, responses
from lens.providers.registry import get_provider
from lens.providers.tool_calls import ToolCalls, with_times
from lens.wire import Ask, Prompt, Secret


def chunk(**delta):
    return {"choices": [{"index": 0, "delta": delta}]}


def fragment(index, **more):
    return chunk(tool_calls=[{"index": index, **more}])


def read(provider, *events, api=None):
    codec = get_provider(provider)
    request = codec.encode(Prompt(text="hi"), Ask(model="m", api=api), "https://a.example", Secret("k"))
    return codec.decode(request, streamed(request.signals, *events)).tool_calls


def times(calls):
    return [(call.name, call.first_ns, call.last_ns, call.silence_ns) for call in calls]


def test_each_call_has_the_times_of_its_own_fragments():
    calls = read(
        "openai",
        chunk(content="Let me look."),  # event 0, at 0 ns
        chunk(),
        fragment(0, id="a", function={"name": "ls", "arguments": ""}),
        fragment(0, function={"arguments": "{}"}),
        chunk(),
        fragment(1, id="b", function={"name": "cat", "arguments": "{}"}),
        b"[DONE]",
    )
    assert times(calls) == [("ls", 2, 3, 2), ("cat", 5, 5, 2)]


def test_what_the_last_event_repeats_is_no_fragment():
    calls = read(
        "openai",
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "function_call", "name": "f"}},
        {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "{}"},
        {"type": "response.output_item.done", "output_index": 0,
         "item": {"type": "function_call", "name": "f", "arguments": "{}"}},
        api="responses",
    )  # fmt: skip
    assert times(calls) == [("f", 0, 1, None)]


def test_geminis_calls_have_times_too():
    def part(**call):
        return {"candidates": [{"content": {"parts": [{"functionCall": call}]}}]}

    calls = read("google", part(name="a", args={}), part(name="b", willContinue=True), part(partialArgs=[]))
    assert times(calls) == [("a", 0, 0, None), ("b", 1, 2, 1)]


def test_parallel_calls_under_one_index_are_told_apart_by_their_ids():
    calls = ToolCalls()
    for id_, text in (("x", "{"), (None, "}"), ("y", "[]"), ("x", "")):
        calls.extend(calls.locate((0, 0), id_), arguments=text, id_=id_)
    assert [call.arguments for call in calls.in_order()] == ["{}", "[]"]


def test_an_answer_that_came_whole_has_no_times():
    calls = ToolCalls()
    calls.put(0, ToolCall(name="f"))
    assert calls.in_order() == (ToolCall(name="f", valid=True),)
    call = ToolCall(name="f")
    assert with_times(call, [3, 4], streamed(openai.RULES).events) is call
    assert with_times(call, [], streamed(openai.RULES).events) is call


@pytest.mark.parametrize("rules", [openai.RULES, responses.RULES])
def test_the_first_id_and_an_empty_place(rules):
    calls = ToolCalls()
    assert (len(calls), calls.get(1).name) == (0, "")
    calls.extend(1, name="g", id_="i")
    calls.extend(1, id_="j")
    assert calls.get(1).id == "i"
