"""What stands on the page: figures that can be worked out by hand, text that stays text, a size that stays bounded."""

from __future__ import annotations

import random
import re
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest
import report_runs as runs
from handmade import INFO, MS, START, failed_record, record, stamps
from hypothesis import given
from hypothesis import strategies as st

from lens.metrics import columns
from lens.metrics.builder import table_of
from lens.metrics.goodput import parse_slos
from lens.metrics.summarize import summarize
from lens.pricing import PriceBook, parse_price
from lens.report.html.document import HtmlPage, page_json, report_page
from lens.report.html.load_curve import Point, by_load, knee
from lens.report.html.plots import evenly, histograms, over_time, slice_s, steps
from lens.report.html.requests import sample
from lens.report.html.series import Series, Source, split

BOOK = PriceBook([parse_price("in=30,out=60")])


def source(name, records, info=INFO, book=BOOK):
    return Source(name, table_of(records, info, book), info)


def page(records, info=INFO, book=BOOK, **more):
    return report_page([source("run.jsonl", records, info, book)], **more)


def data(records, **more):
    return page_json(page(records, **more))


class Outline(HTMLParser):
    """The elements of a page, as a browser's parser would see them, and the text of its scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.outside = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.outside += [value for name, value in attrs if name in ("src", "href")]


@given(st.text(max_size=60))
def test_no_text_of_a_server_becomes_markup(text):
    evil = f"</script><img src=x onerror=alert(1)>{text}<!--<script>"
    bad = failed_record(message=evil)
    shown = page([record(model=evil), bad], title=evil).decode()
    found = Outline(shown)
    assert found.tags.count("script") == 2
    assert "img" not in found.tags
    assert found.outside == []


def test_the_page_names_no_address_to_load_from():
    text = page(runs.loaded(20), runs.info()).decode()
    outside = set(re.findall(r"https?://[\w./-]+", text))
    assert outside == {"https://api.example/v1/chat/completions", "http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in text or "default-src &#x27;none&#x27;" in text


def test_figures_on_the_page_are_those_of_the_summary():
    records = runs.loaded(60)
    found, summary = data(records), summarize(records, None, BOOK)
    tiles = found["series"][0]["tiles"]
    assert tiles["requests"] == 60
    assert tiles["failed"] == 60 - summary.successes
    assert tiles["ttft"] == summary.distributions["ttft_ms"].median
    assert tiles["tokens_per_second"] == summary.output_tokens_per_second
    row = next(r for r in found["table"] if r["metric"] == "itl_ms")
    assert row["series"][0]["percentiles"]["p95"] == summary.distributions["itl_ms"].percentiles["p95"]


def test_gaps_of_0_ms_do_not_stretch_the_axis():
    # A twentieth of the tokens came in one read with the token before it.
    def one(index):
        at = [100 + i * 20 + (index * 7 + i) % 5 for i in range(40)]
        return record(tuple(sorted([*at, at[10], at[20]])), index=index, stamps=stamps(first_byte=90, end=1000))

    drawn = data([one(i) for i in range(30)])["histograms"]["itl_ms"]
    assert drawn["counts"][0][0] >= 60
    assert not drawn["log"] or drawn["edges"][-1] / drawn["edges"][0] < 100


def test_a_logarithmic_axis_is_there_where_values_are():
    rng = np.random.default_rng(1)
    wide = np.sort(np.concatenate((np.zeros(40), rng.lognormal(3, 1.5, 960))))
    drawn = histograms([{"ttft_ms": wide, "itl_ms": np.zeros(0), "total_latency_ms": np.zeros(9)}])
    assert drawn["ttft_ms"]["log"]
    assert np.median(wide) / 51 < drawn["ttft_ms"]["edges"][0] < np.median(wide)
    assert sum(drawn["total_latency_ms"]["counts"][0]) == 9


def test_every_value_is_in_one_bin():
    found = data(runs.loaded(60))
    for metric, drawn in found["histograms"].items():
        row = next(r for r in found["table"] if r["metric"] == metric)
        assert sum(drawn["counts"][0]) == row["series"][0]["n"]
        assert drawn["edges"] == sorted(drawn["edges"])


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=2000))
def test_the_drawn_distribution_is_the_measured_one(values):
    ordered = np.sort(np.asarray(values))
    drawn = steps(ordered)
    assert drawn[-1][1] == 1
    for value, share in drawn:
        # Six digits are drawn.
        assert ordered[round(share * len(ordered)) - 1] == pytest.approx(value, rel=1e-5)


def test_a_page_stays_small_however_large_the_run_is():
    rng = random.Random(5)
    one = runs.request(rng, 0, START, tokens=400)
    few, many = [one] * 300, [one] * 6_000
    small, large = len(page(few)), len(page(many))
    assert large < 700_000
    assert large < small * 1.6


def test_open_requests_and_rates_add_up():
    # Two requests of 1 s each, the second starting half a second after the first; 4 tokens each.
    def one(start_ms, index):
        return record((100, 200, 300, 900), index=index, stamps=stamps(START + start_ms * MS, first_byte=90, end=1000))

    series = split([source("r", [one(0, 0), one(500, 1)])])[0]
    drawn = over_time(series, 0.5)
    assert drawn["open"] == pytest.approx([1, 2, 1], abs=1e-3)
    assert sum(drawn["requests"]) * 0.5 == pytest.approx(2)
    assert drawn["tokens"] == pytest.approx([6, 8, 2])


def test_a_slice_of_time_is_a_round_number():
    for span_s in (0.01, 1, 7, 60, 3601):
        series = Series("s", 0, table_of([record(stamps=stamps(end=span_s * 1000))]), START)
        mantissa = float(f"{slice_s([series]):e}".split("e")[0])
        assert mantissa in (1, 2, 5)


def test_runs_and_targets_become_series_with_names_that_differ():
    same = [source(name, [record()]) for name in ("a.jsonl", "b.jsonl", "b.jsonl")]
    names = [s.name for s in split(same)]
    assert names == ["openai gpt-4 (a.jsonl)", "openai gpt-4 (b.jsonl)", "openai gpt-4 (b.jsonl) #2"]
    two = [record(), record(target_index=1, model="gpt-5")]
    assert [s.name for s in split([source("r", two)])] == ["openai gpt-4", "openai gpt-5"]


def test_what_was_sent_to_warm_up_is_on_no_part_of_the_page():
    found = data([record(index=77, warmup=True), record(index=1)])
    assert found["series"][0]["tiles"]["requests"] == 1
    assert [row["index"] for row in found["requests"][0]["rows"]] == [1]


def test_the_sample_has_the_slowest_and_some_that_failed():
    records = runs.loaded(400)
    chosen = [records[row] for row in sample(table_of(records), 40)]
    assert len(chosen) == 40
    slowest = max(records, key=lambda r: r.stamps.end - r.stamps.start)
    assert slowest in chosen
    assert 1 <= sum(r.category != "success" for r in chosen) <= 10


@given(st.integers(0, 500), st.integers(0, 50))
def test_an_even_pick_is_no_longer_than_asked_and_keeps_both_ends(n, most):
    picked = evenly(np.arange(n), most).tolist()
    assert len(picked) == min(n, most)
    assert picked == sorted(set(picked))
    if n and most >= 2:
        assert (picked[0], picked[-1]) == (0, n - 1)


def curve(*rows):
    nothing = dict.fromkeys(Point._fields)
    return by_load(
        [
            Point(**nothing | {"name": str(o), "requests": 10, "failed": 0, "open": o, "requests_per_second": r,
                               "total_p50_ms": t}) for o, r, t in rows
        ]
    )  # fmt: skip


def test_the_knee_is_where_more_load_stops_paying():
    assert knee(curve((1, 1, 1000), (2, 2, 1000), (4, 4, 1010), (8, 5, 1600), (16, 5, 3200))) == 2
    # It lies beyond what was tried, or too little was tried to tell.
    assert knee(curve((1, 1, 1000), (2, 2, 1000), (4, 4, 1000))) is None
    assert knee(curve((1, 1, 1000), (2, 1, 2000))) is None
    # Nothing succeeded any more.
    assert knee(curve((1, 1, 1000), (2, 2, 1000), (4, 0, None))) == 1


def test_stages_are_drawn_in_the_order_of_the_load_they_made():
    found = data(runs.swept(per_stage=20))["series"][0]
    assert [s["name"] for s in found["stages"]] == [f"concurrency {n}" for n in (1, 2, 4, 8, 16, 32)]
    assert found["stages"][found["knee"]]["name"] == "concurrency 8"
    assert not data(runs.loaded(20))["series"][0]["stages"]


def test_cold_and_warm_are_compared_only_where_both_were_measured():
    both = data(runs.loaded(40, failures=False))["series"][0]["connections"]
    assert both["new"]["n"] + both["reused"]["n"] == 40
    assert "connect_ms" not in both["reused"]["medians"]
    assert data([record()])["series"][0]["connections"] is None


def test_money_is_exact_and_a_missing_price_is_said():
    cost = data([record(), record(index=1)])["series"][0]["cost"]
    assert cost["total"] == "$0.003"  # 2 x (42 x 30 + 4 x 60) / 1,000,000
    assert [part[:2] for part in cost["parts"]] == [["input", "$0.00252"], ["output", "$0.00048"]]
    unknown = data([record()], book=PriceBook())["series"][0]["cost"]
    assert "no price" in unknown["reason"]
    assert "total" not in unknown
    assert unknown["unpriced"] == 1  # never 0 where no price is known


def test_the_instruments_own_error_stands_on_the_page():
    run = data(runs.loaded(3), info=runs.info())["runs"][0]
    assert "p99 15.2 us" in run["error_says"]
    assert [row[0] for row in run["error_rows"]] == ["HTTP, 1 stream", "TLS, 200 streams"]
    assert "lll selftest" in data([record()])["runs"][0]["error_says"]


def test_token_marks_are_where_tokens_came():
    row = data([record((100, 110, 130, 900))])["requests"][0]["rows"][0]
    assert row["first_us"] == 100_000
    assert row["gaps_us"] == [10_000, 20_000, 770_000]
    assert row["stalls"] == 1
    assert row["stall_us"] == 200_000


def test_a_long_answer_keeps_its_stalls_when_its_marks_are_thinned():
    at = [100 + i * 0.1 for i in range(60_000)]
    at = [*at[:30_001], *(t + 5_000 for t in at[30_001:])]
    row = data([record(tuple(at))])["requests"][0]["rows"][0]
    assert len(row["gaps_us"]) <= 40_001
    assert max(row["gaps_us"]) == pytest.approx(5_000_100, abs=200)


def test_an_export_gives_the_same_page_as_the_report_of_its_records():
    export = HtmlPage(INFO, BOOK)
    records = runs.loaded(10)
    table = table_of(records, INFO, BOOK)
    written = b"".join(export.write(table, INFO, summarize(table, INFO)))
    assert page_json(written)["series"] == data(records)["series"]


def test_a_run_that_measured_nothing_is_a_page_that_says_so():
    found = data([])
    assert found["series"] == []
    assert found["runs"][0]["facts"][0] == ["file", "run.jsonl"]
    headless = page_json(report_page([source("x", [record()], info=None)]))
    assert "no header" in headless["runs"][0]["error_says"]


def test_slices_of_requests_change_nothing(monkeypatch):
    records = [msgspec.structs.replace(one, target_index=one.index % 2) for one in runs.loaded(60, thinking=True)]
    whole = data(records)
    monkeypatch.setattr(columns, "SLICE", 7)
    sliced = data(records)
    assert sliced["histograms"] == whole["histograms"]
    assert sliced["requests"] == whole["requests"]
    for one, other in zip(sliced["series"], whole["series"], strict=True):
        assert one["time"] == other["time"]
        assert [row["n"] for row in one["phases"]] == [row["n"] for row in other["phases"]]


def test_of_very_many_gaps_an_even_part_is_drawn(monkeypatch):
    table = table_of(runs.loaded(60, failures=False))
    every = split([Source("r", table, INFO)])[0].drawn_values("itl_ms")
    monkeypatch.setattr(columns, "SLICE", 7)
    monkeypatch.setattr("lens.report.html.series.MOST_VALUES", 1000)
    some = split([Source("r", table, INFO)])[0].drawn_values("itl_ms")
    assert 500 <= len(some) <= 1000
    assert set(some) <= set(every)
    assert np.median(some) == pytest.approx(np.median(every), rel=0.05)


def test_the_page_of_a_run_that_was_summed_up_has_its_goodput():
    table = table_of([record((50 if i % 2 else 300,), index=i) for i in range(10)], INFO, BOOK)
    summary = summarize(table, INFO, slos=parse_slos("ttft:200"))
    tiles = page_json(b"".join(HtmlPage(INFO, BOOK).write(table, INFO, summary)))["series"][0]["tiles"]
    assert (tiles["good"], tiles["slos"]) == (5, ["ttft_ms <= 200"])
