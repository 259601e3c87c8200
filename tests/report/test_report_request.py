"""The pages for people, as text: golden where the layout matters, else what must be found on them."""

from __future__ import annotations

import io
from itertools import pairwise
from math import ceil

import msgspec
import pytest
from handmade import INFO, MS, START, failed_record, full_record, record, stamps
from hypothesis import given
from hypothesis import strategies as st

from lens.metrics.builder import table_of
from lens.metrics.summarize import summarize
from lens.pricing import PriceBook, parse_price
from lens.report import terminal
from lens.report.page import TextPage
from lens.report.phases import phases
from lens.report.request import print_profile
from lens.report.run import print_report
from lens.report.terminal import bar, clean, dollars, number, sparkline

BOOK = PriceBook([parse_price("in=30,out=60")])


def page(one, width=80, *, encoding="utf-8", color=False):
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding)
    shown = TextPage(out, width)
    shown.styled = color
    table = table_of([one], INFO, BOOK)
    print_profile(shown, table, one, INFO, summarize(table, INFO))
    out.flush()
    return raw.getvalue().decode(encoding)


WATERFALL = """\
openai gpt-4  Success
https://api.example/v1/chat/completions  2025-11-07T18:30:00.000000Z

phase            start       took
DNS              0.000      12.00  ▊
TCP              12.00      8.000  ▌
TLS              20.00      25.00   ██
send             45.10      0.100     ▏
wait             45.20      154.8     █████████▉
first token      200.0      40.00               ██▉
thinking         240.0      60.00                 ███▉
stream           300.0      360.0                     ██████████████████████▋
tail             660.0      5.000                                             ▉
tokens                          6                 █▅  █▅                     ██
"""


def test_the_waterfall_is_drawn_to_scale():
    shown = page(full_record())
    rows = shown.splitlines()
    assert rows[:3] == WATERFALL.splitlines()[:3]
    by_name = {row.split("  ")[0]: row[35:] for row in rows[4:14]}
    axis = 80 - 36
    for name, start, took in (("wait", 45.2, 154.8), ("stream", 300, 360), ("TLS", 20, 25)):
        drawn = by_name[name]
        assert len(drawn) - len(drawn.lstrip()) == int(start / 665 * axis)
        assert len(drawn) in (ceil((start + took) / 665 * axis), int((start + took) / 665 * axis))
    assert [row.split("  ")[0] for row in rows[4:14]] == [r.split("  ")[0] for r in WATERFALL.splitlines()[4:14]]


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("one", [full_record(), failed_record(), record((100,)), failed_record(stamps=stamps())])
def test_no_line_is_wider_than_the_terminal(one, width):
    assert max(len(line) for line in page(one, width).splitlines()) <= width


def test_the_page_says_what_is_known():
    shown = page(full_record())
    for wanted in (
        "TTFT 240.0 ms", "TTFO 300.0 ms", "42 in, 6 out, 2 thinking (counted by the server)", "$0.00162",
        "openai-processing-ms 150.0 ms", "TLSv1.3, TLS_AES_256_GCM_SHA384, ALPN http/1.1, full handshake",
        "round trip 8.300 ms, least 7.900 ms, 1 segments sent again", "499 of 500 left, resets in 0.12 s",
        "1 stall, longest gap 320.0 ms", "finish reason stop",
    ):  # fmt: skip
        assert wanted in shown


def test_a_failure_is_shown_in_words_with_what_the_server_asks():
    shown = page(failed_record("You exceeded\nyour quota \x1b[31m"))
    assert "RateLimited" in shown
    assert "error        rate_limited: HTTP 429: You exceeded your quota  [31m" in shown
    assert "2 s, says the server" in shown
    assert "\x1b" not in shown


def test_without_a_terminal_there_is_no_colour_and_without_unicode_no_block():
    shown = page(full_record(), encoding="ascii")
    assert "\x1b[" not in shown
    assert "#####" in shown


def test_phases_follow_one_another():
    shown = list(phases(table_of([full_record()])))
    assert [p.name for p in shown] == [
        "DNS", "TCP", "TLS", "send", "wait", "first token", "thinking", "stream", "tail",
    ]  # fmt: skip
    assert all(p.start_ns <= p.end_ns for p in shown)
    assert all(a.start_ns <= b.start_ns for a, b in pairwise(shown))


def test_an_answer_that_overtakes_the_end_of_sending_makes_no_negative_phase():
    quick = record((100, 110), stamps=stamps(send_start=1, send_end=2, first_byte=1.5, end=120))
    assert all(p.end_ns >= p.start_ns for p in phases(table_of([quick])))
    assert "-0." not in page(quick)


def test_waiting_in_the_queue_is_shown_when_there_was_a_queue():
    queued = record((100, 110), stamps=stamps(START, intended=-30, send_start=1, send_end=2, first_byte=90, end=120))
    assert phases(table_of([queued]))[0].name == "queue"
    assert "queue" in page(queued)


def report(records, width=80):
    out = io.StringIO()
    print_report(terminal.console_for(out, width), summarize(records, INFO, BOOK), INFO, ())
    return out.getvalue()


def test_the_report_counts_failures_with_an_example():
    good = [record(stamps=stamps(START + i * MS, end=200)) for i in range(4)]
    shown = report([*good, *[failed_record("slow down")] * 2])
    assert "6 requests in" in shown
    assert "4 succeeded, 2 failed" in shown
    assert "2 x          rate_limited: slow down" in shown


def test_the_report_tells_how_many_requests_a_percentile_needs():
    shown = report([record()] * 12)
    row = next(line for line in shown.splitlines() if line.startswith("TTFT"))
    assert row.split() == ["TTFT", "100.0", "100.0", "100.0", "-", "-", "100.0", "100.0", "12"]
    assert "p95 needs at least 20 requests, p99 needs at least 100 requests" in shown


def test_the_report_of_failures_only_is_a_report():
    assert "0 succeeded, 3 failed" in report([failed_record()] * 3)


def test_the_histogram_shows_every_request():
    records = [record((100 + i, 200), index=i) for i in range(50)]
    shown = report(records)
    rows = shown[shown.index("TTFT, ms") :].splitlines()[1:10]
    assert sum(int(row.split()[-1]) for row in rows if "█" in row or "▏" in row) == 50


def test_warnings_are_on_the_page():
    info = msgspec.structs.replace(INFO, warnings=("the clock was set",))
    out = io.StringIO()
    print_report(terminal.console_for(out, 80), summarize([record()], info, BOOK), info, ())
    assert "the clock was set" in out.getvalue()


@given(st.floats(0, 1), st.floats(0, 1), st.integers(10, 100), st.booleans())
def test_a_bar_stays_in_its_row_and_is_never_invisible(a, b, width, fine):
    drawn = bar(min(a, b), max(a, b), width, fine=fine)
    assert len(drawn) <= width
    assert drawn.strip()


def test_a_sparkline_is_empty_where_nothing_was():
    assert sparkline([0, 1, 8], fine=True) == " ▁█" or sparkline([0, 1, 8], fine=True) == " ▂█"


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0834, "0.083"), (12.314, "12.31"), (342.71, "342.7"), (28471.3, "28471"), (None, "-")]
)
def test_a_number_has_the_digits_that_matter(value, shown):
    assert number(value) == shown


def test_money_is_exact():
    assert dollars(parse_price("in=0.0000081,out=1").input) == "$0.0000081"
    assert dollars(parse_price("in=3.10,out=1").input) == "$3.10"


def test_text_of_a_server_cannot_steer_the_terminal():
    assert clean("a\x1b]0;title\x07b\r\nc") == "a ]0;title b c"
    assert len(clean("x" * 1000)) == 400
