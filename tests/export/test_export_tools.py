"""The result files of other tools: the keys that people's scripts read, with figures worked out by hand."""

from __future__ import annotations

import json

import pytest
from handmade import INFO, TEXT, events, failed_record, record, stamps

from lens.export.formats import format_named, open_export
from lens.metrics.builder import table_of
from lens.metrics.goodput import parse_slos
from lens.metrics.summarize import summarize
from lens.metrics.tool_definitions import definitions_of, tool_figures
from lens.model import Signal, Usage
from lens.pricing import PriceBook

FINISH = int(Signal.FINISH)
# Head sent 40 ms after the start; a role-only message at 95, three of text, a finish at 140, the end at 150.
ONE = record(
    events=events((95, 0, 0), (100, TEXT, 4), (110, TEXT, 4), (130, TEXT, 4), (140, FINISH, 0)),
    stamps=stamps(send_start=40, send_end=41, first_byte=90, end=150),
    usage=Usage(input_tokens=42, output_tokens=4),
    text="abc",
)
RUN = [ONE, failed_record("no, not now", index=1)]


def exported(name, made=RUN, slos=()):
    export = open_export(format_named(name), INFO, PriceBook())
    table = table_of(made, INFO)
    return json.loads(b"".join(export.write(table, INFO, summarize(table, INFO, slos=slos))))


def test_a_file_of_vllm_bench_serve():
    found = exported("vllm-json")
    assert (found["completed"], found["failed"], found["num_prompts"]) == (1, 1, 2)
    assert (found["model_id"], found["backend"], found["endpoint_type"]) == ("gpt-4", "openai", "openai-chat")
    assert (found["total_input_tokens"], found["total_output_tokens"]) == (42, 4)
    assert found["mean_ttft_ms"] == pytest.approx(95)
    assert found["p99_e2el_ms"] == pytest.approx(140)
    assert found["mean_tpot_ms"] == pytest.approx((140 - 95) / 3)
    assert found["median_itl_ms"] == pytest.approx(10)
    assert found["itls"][0] == pytest.approx([0.005, 0.01, 0.02, 0.01])
    assert found["generated_texts"] == ["abc", ""]
    assert found["errors"] == ["", "HTTP 429: no, not now"]
    assert found["ttfts"] == pytest.approx([0.095, 0])
    assert found["max_concurrent_requests"] == 1
    assert found.keys() >= {
        "date", "tokenizer_id", "request_rate", "burstiness", "max_concurrency", "duration", "request_throughput",
        "output_throughput", "total_token_throughput", "std_ttft_ms", "p99_itl_ms", "input_lens", "output_lens",
    }  # fmt: skip


@pytest.mark.parametrize(("limit", "good"), [("ttft:1000", 1), ("ttft:1", 0)])
def test_goodput_of_vllm_is_that_of_the_slos_which_were_given(limit, good):
    found = exported("vllm-json", slos=parse_slos(limit))
    assert found["request_goodput"] == pytest.approx(good / found["duration"])
    assert exported("vllm-json")["request_goodput"] is None


def test_a_file_of_aiperf():
    found = exported("aiperf-json")
    assert found["time_to_first_token"]["avg"] == pytest.approx(100)
    assert found["request_latency"]["p99"] == pytest.approx(130)
    assert found["inter_token_latency"]["avg"] == pytest.approx(30 / 3)
    assert found["output_token_throughput_per_user"]["avg"] == pytest.approx(100)
    assert found["time_to_second_token"]["avg"] == pytest.approx(10)
    gaps = found["inter_chunk_latency"]
    assert (gaps.pop("unit"), gaps["count"]) == ("ms", 2)
    figures = {"avg": 15, "p1": 10.1, "p50": 15, "p99": 19.9, "min": 10, "max": 20, "std": 5, "sum": 30}
    assert {name: gaps[name] for name in figures} == pytest.approx(figures)
    assert found["request_count"] == {"unit": "requests", "avg": 1}
    assert found["error_request_count"]["avg"] == 1
    assert found["error_summary"] == [
        {"error_details": {"code": 429, "type": "rate_limited", "message": "HTTP 429: no, not now"}, "count": 1}
    ]
    assert found.keys() >= {"request_throughput", "output_token_throughput", "output_sequence_length", "start_time"}


def test_a_file_of_guidellm():
    found = exported("guidellm-json")
    (benchmark,) = found["benchmarks"]
    metrics = benchmark["metrics"]
    assert metrics["request_totals"] == {"successful": 1, "incomplete": 0, "errored": 1, "total": 2}
    assert metrics["time_to_first_token_ms"]["successful"]["mean"] == pytest.approx(60)
    assert metrics["request_latency"]["successful"]["percentiles"]["p99"] == pytest.approx(0.11)
    assert metrics["inter_token_latency_ms"]["successful"]["median"] == pytest.approx(10)
    assert metrics["time_per_output_token_ms"]["successful"]["mean"] == pytest.approx(90 / 4)
    assert metrics["output_token_count"]["successful"]["total_sum"] == 4
    assert metrics["time_to_first_token_ms"]["errored"] is None
    (request,) = benchmark["requests"]["successful"]
    assert (request["prompt_tokens"], request["output_tokens"]) == (42, 4)
    assert request["request_latency"] == pytest.approx(0.11)
    assert len(benchmark["requests"]["errored"]) == 1


def test_guidellm_counts_a_request_as_often_as_it_has_tokens():
    short = record((100, 110), tokens=2)
    long = record((100, 130, 160, 190), tokens=4)
    (benchmark,) = exported("guidellm-json", [short, long])["benchmarks"]
    assert benchmark["metrics"]["inter_token_latency_ms"]["successful"]["mean"] == pytest.approx((10 + 3 * 30) / 4)


def test_each_stage_is_a_benchmark_of_its_own():
    made = [record(stage="10/s"), record(stage="20/s", index=1), record(stage="20/s", index=2)]
    found = exported("guidellm-json", made)["benchmarks"]
    assert [b["metrics"]["request_totals"]["total"] for b in found] == [1, 2]


@pytest.mark.parametrize("name", ["vllm-json", "aiperf-json", "guidellm-json"])
def test_warm_up_is_left_out_and_a_run_of_nothing_is_written(name):
    assert exported(name, []) == exported(name, [record(warmup=True)])


def test_a_file_says_what_the_definitions_say():
    made = [record((100 + i, 110 + i, 135 + 2 * i), index=i) for i in range(20)]
    told = {one.name: one for one in tool_figures(definitions_of("vllm"), table_of(made))}
    found = exported("vllm-json", made)
    for figure, name in (("TTFT", "ttft"), ("TPOT", "tpot"), ("ITL", "itl"), ("E2EL", "e2el")):
        assert found[f"mean_{name}_ms"] == pytest.approx(told[figure].mean)
        assert found[f"p99_{name}_ms"] == pytest.approx(told[figure].percentiles["p99"])
