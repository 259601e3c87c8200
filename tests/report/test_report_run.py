"""A run as text: its pictures add up, fit the line, and stay readable without blocks, colours or data."""

from __future__ import annotations

import io
import random

import msgspec
import pytest
import report_runs as runs
from handmade import INFO, MS, START, failed_record, record, stamps

from lens.metrics.builder import table_of
from lens.metrics.goodput import parse_slos
from lens.metrics.summarize import summarize
from lens.model import Status, Target
from lens.pricing import PriceBook, parse_price
from lens.report import terminal
from lens.report.run import MOST_STAGES, print_report
from lens.report.terminal import console_for

BOOK = PriceBook([parse_price("in=30,out=60")])


def page(records, *, info=INFO, width=80, encoding="utf-8", book=BOOK, slos=()):
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding)
    table = table_of(records, info, book)
    print_report(console_for(out, width), summarize(table, info, slos=slos), info, (), table=table)
    out.flush()
    return raw.getvalue().decode(encoding)


def row(shown, name):
    return next(line for line in shown.splitlines() if line.startswith(name))


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_no_line_is_wider_than_the_terminal(width, encoding):
    shown = page(runs.loaded(60), info=runs.info(), width=width, encoding=encoding)
    assert max(map(len, shown.splitlines())) <= width
    assert "\x1b" not in shown  # no colour into a file


def test_the_mean_request_is_drawn_phase_after_phase():
    shown = page([record((100, 150), stamps=stamps(send_start=0, send_end=20, first_byte=80, end=200))] * 3)
    assert row(shown, "wait").split()[1:3] == ["60.00", "all"]
    assert row(shown, "first").split()[2:4] == ["20.00", "all"]
    assert row(shown, "stream").split()[1:3] == ["50.00", "all"]
    assert row(shown, "tail").split()[1:3] == ["50.00", "all"]


def test_a_phase_that_only_some_requests_had_says_how_many():
    rng = random.Random(1)
    records = [runs.request(rng, i, START + i * 10 * MS, cold=i == 0, tokens=3) for i in range(4)]
    assert row(page(records), "TLS").split()[2] == "1"


def test_the_course_of_a_run_has_its_scale_beside_it():
    one = [record((100, 300), index=i, stamps=stamps(START + i * 500 * MS, first_byte=90, end=500)) for i in range(40)]
    shown = page(one)
    assert row(shown, "open ").split()[1:3] == ["1", "1"]
    assert row(shown, "TTFT ms").split()[2:4] == ["100", "100"]
    assert "20.00 s" in shown
    assert not any(line.startswith("failed") for line in shown.splitlines())


def test_failures_have_a_line_of_their_own():
    good = [record(index=i, stamps=stamps(START + i * 100 * MS, first_byte=90, end=135)) for i in range(20)]
    bad = [failed_record(index=20 + i, stamps=stamps(START + 2_000 * MS, end=10)) for i in range(3)]
    assert row(page([*good, *bad]), "failed").split()[1:3] == ["0", "3"]


def test_ten_requests_that_all_failed_have_no_empty_table():
    shown = page([failed_record(index=i) for i in range(10)])
    assert "10 x" in shown
    assert "no answers" in shown
    assert "p95" not in shown


def test_one_request_has_a_page_without_a_course():
    shown = page(runs.loaded(1, failures=False), info=runs.info())
    assert "1 request in" in shown
    assert "over time" not in shown


def test_answers_in_one_piece_have_no_ttft_and_no_itl():
    whole = [
        msgspec.structs.replace(
            record((), index=i, stamps=stamps(START + i * MS, send_start=1, send_end=1, first_byte=400, end=402)),
            stream=False, status=Status.SUCCESS,
        ) for i in range(5)
    ]  # fmt: skip
    shown = page(whole)
    assert row(shown, "total")
    assert row(shown, "answer").split()[1] == "2.000"
    assert "TTFT" not in shown
    assert "ITL" not in shown


def test_without_token_counts_the_page_says_what_it_took_for_a_token():
    shown = page([msgspec.structs.replace(r, usage=None) for r in runs.loaded(20)])
    assert "no token counts" in " ".join(shown.split())
    assert not any(line.startswith("tokens  ") for line in shown.splitlines())


def test_an_unknown_price_is_said_and_is_not_zero():
    shown = page([record()], book=PriceBook())
    assert "not known: no price for openai/gpt-4" in shown
    assert "$0" not in shown


def test_a_figure_says_how_sure_it_is():
    rng = random.Random(7)
    records = [
        record((rng.gauss(100, 10), 200), index=i, stamps=stamps(START + i * MS, first_byte=50, end=300))
        for i in range(400)
    ]
    lines = page(records).splitlines()
    under = lines[next(i for i, line in enumerate(lines) if line.startswith("TTFT")) + 1]
    assert under.strip().startswith("± 95 %")
    # The mean of 400 values of sd 10 is sure to +-1.
    assert float(under.split()[-1]) == pytest.approx(1.0, abs=0.4)


def test_promises_that_were_kept_are_counted():
    shown = page([record((50 if i % 2 else 300,), index=i) for i in range(10)], slos=parse_slos("ttft:200"))
    assert "50.0% of all" in shown


def test_the_instruments_own_error_is_on_the_page():
    assert "p99 15.2 us" in page(runs.loaded(2), info=runs.info())
    assert "`lll selftest`" in page([record()])


def test_ends_before_the_start_have_a_page_that_warns():
    shown = page([record((), index=i, stamps=stamps(START + i * MS, end=-0.001)) for i in range(3)])
    assert "earlier than the start of their request" in " ".join(shown.split())
    assert "least total -0.001 ms" in " ".join(shown.split())


def test_a_large_run_is_drawn_from_all_its_requests():
    one = record()
    records = [
        msgspec.structs.replace(one, index=i, stamps=stamps(START + i * MS, first_byte=90, end=100))
        for i in range(50_000)
    ]
    out = io.StringIO()
    print_report(console_for(out, 80), summarize(records[:10]), INFO, (), table=table_of(records))
    most = float(row(out.getvalue(), "answers/s").split()[2])
    assert most == pytest.approx(1000, rel=0.1)


def test_a_server_cannot_steer_the_terminal():
    shown = page([failed_record(message="\x1b[2J\x1b]0;gone\x07 nothing left")])
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert terminal.clean("\x1b[2J") == " [2J"


def test_several_targets_have_a_row_each_under_their_names():
    targets = [Target(provider="vllm", model="m", url=f"http://{n}", name=n, named=True) for n in ("near", "far")]
    info = msgspec.structs.replace(INFO, targets=tuple(targets))
    shown = page([record(target="near"), record((200, 210), target="far", target_index=1)], info=info)
    assert shown.splitlines()[0] == "near, far"
    assert row(shown, "near  ").split()[2:5] == row(shown, "far  ").split()[2:5] == ["0", "of", "1"]


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (44, "answered/s failed"),
        (60, "answered/s TTFT p95 ITL p95 failed"),
        (80, "answered/s TTFT p50 TTFT p95 ITL p50 ITL p95 failed"),
        (120, "asked/s answered/s open TTFT p50 TTFT p95 ITL p50 ITL p95 tokens/s n failed"),
    ],
)
def test_each_stage_has_a_row_whose_columns_are_whole(width, columns):
    shown = page(runs.swept(), info=runs.info(), width=width)
    assert " ".join(row(shown, "stage  ").split()[1:]) == columns
    assert row(shown, "concurrency 32").split()[-1] == "0"
    assert "…" not in shown


def test_of_very_many_stages_the_first_have_rows_and_the_others_are_counted():
    most = MOST_STAGES + 7
    shown = page([record(index=n, stage=f"load {n}", stamps=stamps(START + n * MS, end=135)) for n in range(most)])
    assert sum(line.startswith("load ") for line in shown.splitlines()) == MOST_STAGES
    assert " ".join(row(shown, "more").split()) == "more 7 stages; `lll analyze --by stage --format csv` has all"


def test_a_stage_of_few_requests_has_dashes():
    records = [record((100, 110, 121), index=i, stage="b" if i else "a") for i in range(30)]
    shown = page(records, width=60)
    assert row(shown, "stage  ").split()[1:] == ["answered/s", "TTFT", "p50", "TTFT", "p95", "ITL", "p95", "failed"]
    assert [row(shown, name).split()[3:] for name in ("a  ", "b  ")] == [["-", "-", "0"], ["100.0", "11.00", "0"]]
