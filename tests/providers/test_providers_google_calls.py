"""Gemini's calls whose arguments come piece by piece: put together they are what was meant, and each piece counts."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens._core.signals import SignalSet
from lens.model import CONTENT, Events, Stamps
from lens.providers import google
from lens.providers.google_calls import FunctionCalls, parse_path
from lens.providers.registry import get_provider
from lens.wire import Ask, Exchange, Frame, Prompt, Secret


def chunk(**call):
    return {"candidates": [{"content": {"role": "model", "parts": [{"functionCall": call}]}}]}


STREAM = [
    chunk(name="book", id="a", willContinue=True),
    chunk(partialArgs=[{"jsonPath": "$.to.city", "stringValue": "Bos", "willContinue": True}], willContinue=True),
    chunk(partialArgs=[{"jsonPath": "$.to.city", "stringValue": "ton \u00e9"}], willContinue=True),
    chunk(
        partialArgs=[
            {"jsonPath": "$.to.days[0]", "numberValue": 3},
            {"jsonPath": "$.to.days[1]", "numberValue": 4.5},
            {"jsonPath": "$['a.b']", "boolValue": True},
        ],
        willContinue=True,
    ),
    chunk(partialArgs=[{"jsonPath": "$.late", "boolValue": False}], willContinue=True),
    chunk(partialArgs=[{"jsonPath": "$.none", "nullValue": "NULL_VALUE"}], willContinue=True),
    chunk(),
    chunk(name="look", args={"at": 1}),
]


def test_the_pieces_become_the_arguments_that_were_meant():
    calls = FunctionCalls()
    for event in STREAM:
        calls.take(event["candidates"][0]["content"]["parts"][0]["functionCall"])
    first, second = calls.in_order()
    assert (first.name, first.id, second.name, second.arguments) == ("book", "a", "look", '{"at":1}')
    assert json.loads(first.arguments) == {
        "to": {"city": "Boston \u00e9", "days": [3, 4.5]},
        "a.b": True,
        "late": False,
        "none": None,
    }


def test_each_piece_is_content_and_the_empty_part_that_ends_a_call_is_not():
    signals = SignalSet(*google.RULES.compiled_form())
    found = [signals.scan(json.dumps(event).encode()) for event in STREAM]
    assert [bool(bits & CONTENT) for bits, _ in found] == [True, True, True, True, True, True, False, True]
    assert [chars for _, chars in found[:3]] == [4, 3, 5]


def test_calls_that_go_on_beside_each_other_are_kept_apart_by_their_ids():
    calls = FunctionCalls()
    calls.take({"name": "a", "id": "1", "willContinue": True})
    calls.take({"name": "b", "id": "2", "willContinue": True})
    for named, said in (("1", "x"), ("2", "y"), ("1", "z")):
        calls.take({"id": named, "partialArgs": [{"jsonPath": "$.k", "stringValue": said}], "willContinue": True})
    assert [call.arguments for call in calls.in_order()] == ['{"k":"xz"}', '{"k":"y"}']


def test_whole_calls_of_the_same_name_stay_two():
    calls = FunctionCalls()
    calls.take({"name": "a", "args": {"k": 1}})
    calls.take({"name": "a", "args": {"k": 2}})
    assert [call.arguments for call in calls.in_order()] == ['{"k":1}', '{"k":2}']


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("$.a.b[0].c", ["a", "b", 0, "c"]),
        ('$[\'a.b\']["c\\"d"]', ["a.b", 'c"d']),
        ("$", None),
        ("a.b", None),
        ("$.a[*]", None),
        ("$..a", None),
        ("$" + ".a" * 65, None),
        (7, None),
    ],
)
def test_a_path_that_names_one_value_has_steps(path, steps):
    assert parse_path(path) == steps


def test_a_place_far_off_makes_no_list_of_that_length():
    calls = FunctionCalls()
    calls.take({"name": "a", "partialArgs": [{"jsonPath": "$.k[999999999]", "numberValue": 1}]})
    assert json.loads(calls.in_order()[0].arguments) == {"k": []}


paths = st.lists(st.sampled_from([".a", ".b", "[0]", "[1]", "['c']"]), max_size=4).map(
    lambda steps: "$" + "".join(steps)
)
values = st.fixed_dictionaries(
    {"jsonPath": paths},
    optional={"stringValue": st.text(max_size=3) | st.none(), "numberValue": st.integers(), "boolValue": st.booleans()},
)


@given(st.lists(values, max_size=12))
def test_pieces_that_contradict_each_other_do_no_harm(pieces):
    calls = FunctionCalls()
    calls.take({"name": "a", "partialArgs": pieces})
    assert isinstance(json.loads(calls.in_order()[0].arguments), dict)


def test_a_stream_of_pieces_is_read_as_one_call():
    codec = get_provider("google")
    request = codec.encode(Prompt(text="x"), Ask(model="m"), "https://g", Secret("k"))
    frames = tuple(Frame(place, "", json.dumps(event).encode()) for place, event in enumerate(STREAM[:7]))
    exchange = Exchange(stamps=Stamps(start=0), status=200, framing="sse", events=Events(), frames=frames, ended=True)
    (call,) = codec.decode(request, exchange).tool_calls
    assert json.loads(call.arguments)["to"]["days"] == [3, 4.5]
