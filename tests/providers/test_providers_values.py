"""Values of JSON that a server may have written as anything."""

import pytest

from lens.providers.answers import increments
from lens.providers.openai import parse_usage
from lens.providers.values import (
    as_count,
    as_name,
    as_number,
    first_at,
    first_count,
    json_text,
    parse_json,
    sum_known,
    text_at,
    values_at,
    without_none,
)


def test_token_counts_are_those_that_were_reported():
    assert parse_usage({"prompt_tokens": None}) is None
    assert parse_usage({"prompt_tokens": True, "completion_tokens": 3}).input_tokens is None
    assert sum_known(None, None) is None
    assert sum_known(1, None, 2) == 3
    assert increments([1, 3, 3]) == (1, 2, 0)
    assert increments([3, 1]) is None


@pytest.mark.parametrize(
    "value", [None, True, -1, 2**40, 1.5, "3.5", "-3", "", "1e3", float("nan"), float("inf"), [], {}]
)
def test_what_is_no_token_count_is_none(value):
    assert as_count(value) is None
    assert first_count(value, 0, 5) == 0


@pytest.mark.parametrize(("value", "count"), [(3, 3), (3.0, 3), ("3", 3), ("3.0", 3), (0, 0), ("0", 0)])
def test_a_token_count_may_be_spelled_as_a_float_or_a_string(value, count):
    assert as_count(value) == count


@pytest.mark.parametrize(
    ("value", "number"), [("2.5", 2.5), (3, 3.0), (True, None), ("nan", None), (-1, None), (1e12, None), ([], None)]
)
def test_a_number_may_be_spelled_but_not_be_out_of_range(value, number):
    assert as_number(value) == number


DATA = {"a": [{"b": "x"}, {"b": None}, {"c": 1}, {"b": "y"}], "d": {"e": 0}, "f": None}


@pytest.mark.parametrize(
    ("path", "values"),
    [("a[].b", ["x", "y"]), ("d.e", [0]), ("d", [{"e": 0}]), ("f", []), ("a.b", []), ("d[].e", []), ("no.where", [])],
)
def test_a_path_finds_each_value_that_is_there(path, values):
    assert values_at(DATA, path) == values
    assert first_at(DATA, path) == (values[0] if values else None)


def test_a_path_may_begin_with_an_array():
    assert text_at([{"t": "a"}, {"t": 1}, {"t": "b"}], "[].t") == "ab"
    assert text_at({"x": "a", "y": "b"}, "y", "x") == "ba"


def test_text_that_is_no_json_is_none_and_depth_is_bounded():
    assert parse_json(b"  ") is None
    assert parse_json(b"[" * 100_000) is None
    assert parse_json(b' {"a": 1}\n') == {"a": 1}
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert json_text(deep) == ""
    while deep:  # freed from outside in, for Python frees deep lists by recursion
        deep = deep[0]


def test_only_what_says_something_is_a_name():
    assert as_name("") is as_name(7) is None
    assert without_none(a=None, b=0) == {"b": 0}
