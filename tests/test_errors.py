"""Suggestions for misspelt names: one threshold and one wording for options, keys, metrics and providers."""

import pytest

from lens.errors import did_you_mean, nearest


@pytest.mark.parametrize(("name", "near"), [("tfft", "ttft"), ("itll", "itl"), ("nothing alike", None), ("", None)])
def test_only_a_close_name_is_suggested(name, near):
    assert nearest(name, ("ttft", "itl", "duration")) == near


def test_a_suggestion_is_a_question_and_what_else_there_is_follows():
    assert did_you_mean("tfft", ("ttft",)) == "did you mean ttft?"
    assert did_you_mean("tfft", ("ttft",), then="see `lll explain`") == "did you mean ttft? see `lll explain`"
    assert did_you_mean("xyz", ("ttft",), then="see `lll explain`") == "see `lll explain`"
    assert did_you_mean("tfft", ("ttft",), otherwise="there is ttft") == "did you mean ttft?"
    assert did_you_mean("xyz", ("ttft",), otherwise="there is ttft") == "there is ttft"
    assert did_you_mean("xyz", ("ttft",)) == ""
