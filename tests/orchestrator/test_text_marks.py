"""When the first sentence, line and code block of a text were whole."""

import time

import pytest
from handmade import MS, REASONING, TEXT, events
from hypothesis import given
from hypothesis import strategies as st
from waiting import HANG_S

from lens.orchestrator.text_marks import TextTimes, code_block_end, line_end, sentence_end, text_marks


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Hello there. More", "Hello there."),
        ("Is it? Yes", "Is it?"),
        ("No end", "No end"),
        ("No end \n", "No end"),
        ("Pi is 3.14 or so. Yes", "Pi is 3.14 or so."),
        ("1. First. Second.", "1. First."),
        ("... so. Then", "... so."),
        ('He said "no." Then', 'He said "no."'),
        ("What?! Really.", "What?!"),
        ("你好。世界。", "你好。"),
        ("「はい。」次", "「はい。」"),
        ("Wait… what", "Wait…"),
        ("12345", "12345"),
    ],
)  # fmt: skip
def test_a_sentence_ends_behind_its_mark(text, first):
    assert text[: sentence_end(text)] == first


@pytest.mark.parametrize(
    ("text", "first"), [("a\nb", "a\n"), ("\n\n  a b\nc", "\n\n  a b\n"), ("abc", "abc"), ("\n \n", "\n \n")]
)
def test_the_first_line_is_the_first_that_is_not_blank(text, first):
    assert text[: line_end(text)] == first


@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("so:\n```py\nx = 1\n```\nthen ```", "so:\n```py\nx = 1\n```"),
        ("````\n```\n````", "````\n```\n````"),
        ("~~~\n```\n~~~ \n", "~~~\n```\n~~~ "),
        ("```\nopen", None),
        ("no ``` fence", None),
        ("```\n``` not closed\n```", "```\n``` not closed\n```"),
    ],
)
def test_a_code_block_ends_with_its_fence(text, block):
    end = code_block_end(text)
    assert (None if end is None else text[:end]) == block


@pytest.mark.parametrize("text", ["." * 200_000, '?"' * 100_000, "`" * 200_000, "a.b" * 60_000, " " * 200_000])
def test_no_text_makes_it_slow(text):
    began = time.monotonic()
    sentence_end(text), line_end(text), code_block_end(text)
    assert time.monotonic() - began < HANG_S


def test_the_event_that_brought_the_last_character_is_the_time():
    came = events((10, REASONING, 3), (20, TEXT, 5), (30, TEXT, 3), (40, TEXT, 4), (50, 0, 0))
    marks = text_marks("Well. ok\nend", came)
    assert (marks.sentence_ns, marks.line_ns, marks.code_block_ns) == (20 * MS, 40 * MS, None)


def test_nothing_is_said_where_the_counts_do_not_add_up_to_the_text():
    came = events((20, TEXT, 5))
    assert text_marks("another text", came) is None
    assert text_marks("", events()) is None
    assert text_marks("  \n  ", came) is None


@given(st.lists(st.integers(1, 6), min_size=1, max_size=12), st.data())
def test_a_place_of_the_text_has_the_time_of_its_event(sizes, data):
    came = events(*[(10 * i, TEXT, n) for i, n in enumerate(sizes)])
    end = data.draw(st.integers(1, sum(sizes)))
    owner = next(i for i in range(len(sizes)) if sum(sizes[: i + 1]) >= end)
    times = TextTimes("x" * sum(sizes), came)
    assert times.at(end) == 10 * owner * MS
    assert times.at(0) is None
    assert times.at(sum(sizes) + 1) is None
