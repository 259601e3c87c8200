"""The JSON of a run has what its page shows: intervals, goodput, open requests, and how targets compare."""

import json
from decimal import Decimal

import msgspec
import numpy as np
from handmade import INFO, record

from lens.export.document import document_pieces, summary_fields
from lens.export.formats import format_named, open_export
from lens.metrics.builder import table_of
from lens.metrics.goodput import parse_slos
from lens.metrics.summarize import summarize
from lens.model import Usage
from lens.pricing import PriceBook, parse_price

BOOK = PriceBook([parse_price("in=30,out=60")])


def test_a_document_has_a_field_a_line_and_its_requests():
    assert json.loads(b"".join(document_pieces({"a": 1, "b": None}, None))) == {"a": 1, "b": None}
    assert json.loads(b"".join(document_pieces({"a": 1}, iter([b"{}", b"{}"])))) == {"a": 1, "requests": [{}, {}]}


def test_without_slos_there_is_no_goodput_and_without_values_no_statistics():
    found = summary_fields(summarize(table_of([], INFO, BOOK)))
    assert (found["goodput"], found["ttft_stats"], found["window_s"]) == (None, None, None)


def test_a_run_has_what_its_page_shows():
    extra = [float(i % 7) for i in np.random.default_rng(1).permutation(60)]
    records = [record((100 + more, 120 + more), index=i, request_id=f"r{i}") for i, more in enumerate(extra)]
    table = table_of(records, INFO, BOOK)
    found = summarize(table, INFO, slos=parse_slos("ttft:103"))
    document = json.loads(b"".join(open_export(format_named("json"), INFO, BOOK).write(table, INFO, found)))
    shown = document["ttft_stats"]
    assert shown["intervals"]["mean"].keys() == {"low", "high", "level", "batch"}
    assert shown["intervals"]["mean"]["low"] < shown["mean"] < shown["intervals"]["mean"]["high"]
    assert document["stats"]["ttft_ms"]["no_interval"] == {"p90": "needs 100 values", "p95": "needs 200 values"}
    goodput = {"slos": ["ttft_ms <= 103"], "good_requests": 36, "share": 0.6}
    assert document["goodput"] == {**goodput, "requests_per_second": found.goodput_rps}
    assert document["window_s"] == found.window_s
    assert (document["retries"], document["interrupted_requests"]) == (0, 0)
    assert document["concurrency_mean"] == found.concurrency_mean
    assert "comparisons" not in document


def test_a_run_of_several_loads_has_each_with_its_figures_and_says_that_its_own_pool_them():
    records = [record((100.0 * (1 + i // 40), 520.0), index=i, stage=f"{i // 40}/s") for i in range(80)]
    table = table_of(records, INFO, BOOK)
    export = open_export(format_named("json"), INFO, BOOK)
    document = json.loads(b"".join(export.write(table, INFO, summarize(table, INFO))))
    assert document["pooled_stages"] == ["0/s", "1/s"]
    assert list(document).index("pooled_stages") < list(document).index("ttft_stats")
    assert document["ttft_stats"]["mean"] == 150
    stages = [(one["name"], one["requests"], one["stats"]["ttft_ms"]["mean"]) for one in document["stages"]]
    assert stages == [("0/s", 40, 100), ("1/s", 40, 200)]
    assert document["stages"][1]["stats"]["ttft_ms"]["intervals"]["mean"]["low"] == 200
    alone = table.take(np.arange(40))
    document = json.loads(b"".join(export.write(alone, INFO, summarize(alone, INFO))))
    assert document["pooled_stages"] is None


def test_a_run_of_several_targets_has_each_with_its_figures_and_how_they_compare():
    two = msgspec.structs.replace(INFO, targets=INFO.targets[:1] * 2)
    records = [
        record((100.0 + 100 * (i % 2), 320.0), index=i, target_index=i % 2, target="ab"[i % 2], request_id=f"r{i}")
        for i in range(100)
    ]
    table = table_of(records, two, BOOK)
    export = open_export(format_named("json"), two, BOOK)
    document = json.loads(b"".join(export.write(table, two, summarize(table, two))))
    assert [(one["name"], one["ttft_stats"]["mean"]) for one in document["targets"]] == [("a", 100), ("b", 200)]
    assert document["comparisons"][0]["verdict"].startswith("b against a: worse in ttft_ms")


def test_a_cost_per_request_has_no_more_digits_than_it_tells():
    third = PriceBook([parse_price("in=1,out=1")])
    made = [record(usage=Usage(input_tokens=n, output_tokens=0), request_id=str(n)) for n in (1, 0, 0)]
    assert summarize(table_of(made, INFO, third)).cost_per_request == Decimal("3.33333333333E-7")
