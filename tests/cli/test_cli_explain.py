"""`lll explain`: every metric is explained, and a figure is led back to its events."""

from __future__ import annotations

import json

import pytest
from cli_program import lll
from handmade import INFO, MS, START, full_record, record, stamps

from lens.history.write import write_run
from lens.metrics.definitions import METRICS
from lens.model import Billing, ToolFee, Usage


@pytest.fixture
def run_file(tmp_path):
    """Forty requests; number i has its first token at 100 + i ms, so the p50 is of number 19 and the p95 of 37."""
    path = tmp_path / "run.jsonl"
    many = [
        record((100 + i, 110 + i), index=i, stamps=stamps(START + i * MS, send_start=1, send_end=2, end=200))
        for i in range(40)
    ]
    write_run(path, INFO, many)
    return path


def test_without_a_metric_all_are_listed():
    ended = lll("explain")
    assert ended.returncode == 0
    assert [line.split()[0] for line in ended.stdout.splitlines()] == list(METRICS)
    assert json.loads(lll("explain", "--json").stdout)[0]["name"] == next(iter(METRICS))


@pytest.mark.parametrize("typed", ["tpot_ms", "tpot", "tpot_p95"])
def test_a_metric_is_explained_by_any_of_its_names(typed):
    ended = lll("explain", typed)
    assert ended.stdout.startswith("tpot_ms\n")
    assert "(last_token - first_token) / (output_tokens - tokens of the first event)" in ended.stdout
    assert "ms; lower is better" in ended.stdout


def test_a_percentile_is_led_back_to_its_request_and_event(run_file):
    told = lll("explain", "ttft", run_file).stdout
    assert "40 of 40 requests" in told
    assert "p50          119 ms, of request 19" in told
    assert "p95          137 ms, of request 37" in told
    lines = [line.strip() for line in told.splitlines()]
    assert "start                0.000000 ms after the start" in lines
    assert "event 1              137.000000 ms after the start, text, 4 characters, read 1" in lines


def test_a_tail_that_few_values_cannot_tell_is_not_shown(tmp_path):
    write_run(tmp_path / "run.jsonl", INFO, [record()])
    assert "not estimable, needs n >= 20" in lll("explain", "ttft", tmp_path / "run.jsonl").stdout


def test_a_figure_of_a_run_is_led_back_to_its_parts(run_file):
    told = lll("explain", "goodput_rps", run_file, "--goodput", "ttft:119").stdout
    assert "20 met ttft_ms <= 119" in told
    assert "0.239000 s, from the first start to the last end" in told


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ttfp"], "lll: no metric 'ttfp'"),
        (["thinking_ms", "run.jsonl"], "none of 40 requests has it"),
        (["goodput_rps", "run.jsonl"], "--goodput ttft:200"),
        (["ttft", "absent.jsonl"], "cannot read"),
    ],
)
def test_what_cannot_be_explained_is_reported(run_file, arguments, says):
    ended = lll("explain", *[run_file.parent / a if a.endswith(".jsonl") else a for a in arguments])
    assert ended.returncode == 2
    assert says in ended.stderr


def test_a_full_record_explains_every_metric_of_a_request(tmp_path):
    from lens.analysis.evidence import examples
    from lens.metrics.builder import table_of

    table = table_of([full_record()])
    for metric in METRICS.values():
        if metric.kind != "run":
            for example in examples(metric, table, [50.0])[1]:
                assert example.used, metric.name


def test_a_cost_is_led_back_to_the_lines_of_its_bill(tmp_path):
    told = {"provider": "anthropic", "model": "claude-opus-5-5", "timestamp": "2026-11-28T12:00:00.000000Z"}
    fees = (ToolFee(tool="mind_reading", count=2), ToolFee(tool="web_search", count=3))
    usage = Usage(input_tokens=100, output_tokens=50)
    many = [record(usage=usage, **told), record(usage=usage, billing=Billing(speed="fast", fees=fees), **told)]
    write_run(tmp_path / "run.jsonl", INFO, [*many, record(usage=usage, token_source="estimated:x", **told)])
    shown = " ".join(lll("explain", "total_cost", tmp_path / "run.jsonl").stdout.split())
    assert "bill anthropic/claude-opus-5-5 (genai-prices" in shown
    assert "input 200 at $4 per million tokens = $0.0008" in shown
    assert "bill anthropic/claude-opus-5-5 at fast (genai-prices" in shown
    assert "web search 3 at $10 per thousand = $0.03" in shown
    assert "total $0.0356" in shown
    assert "lacks 2 mind readings not counted: no price is known" in shown
    assert "estimate a tokenizer counted tokens that the server did not, of 1 of the requests" in shown


def test_a_cost_that_nobody_knows_says_why(tmp_path):
    write_run(tmp_path / "run.jsonl", INFO, [record(model="gpt-99")])
    ended = lll("explain", "total_cost", tmp_path / "run.jsonl")
    assert ended.returncode == 2
    assert "no price for openai/gpt-99: the model is newer than the book of" in ended.stderr
