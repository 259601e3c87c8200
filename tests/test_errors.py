"""Suggestions for misspelt names: one threshold and one wording for options, keys, metrics and providers."""

import errno

import pytest

from lens.errors import NO_MEMORY, causes, did_you_mean, is_out_of_memory, lacking, nearest


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


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), NO_MEMORY),
        (ImportError("libarrow.so: failed to map segment from shared object"), NO_MEMORY),
        (RuntimeError("can't start new thread"), "no thread can be started"),
        (BlockingIOError(errno.EAGAIN, "no thread to read with"), "no thread can be started"),
        (OSError(errno.EMFILE, "too many"), "ulimit -n 4096"),
        (OSError(errno.ENOMEM, "no memory"), "no memory is left on this machine"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_what_a_machine_lacks_is_told_with_what_helps(error, says):
    assert says in lacking(error)


@pytest.mark.parametrize(
    "error", [ImportError("no module"), RuntimeError("else"), OSError(errno.EACCES, "no")], ids=str
)
def test_other_errors_are_no_lack(error):
    assert lacking(error) is None
    assert not is_out_of_memory(error)


def test_memory_that_was_refused_is_found_in_a_group():
    nested = ExceptionGroup("", [ValueError(), ExceptionGroup("", [OSError(errno.ENOMEM, "no memory")])])
    assert is_out_of_memory(nested)
    assert is_out_of_memory(MemoryError())
    assert [type(one) for one in causes(nested)] == [ValueError, OSError]
