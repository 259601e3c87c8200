"""Patterns and experiments as typed, against scripts whose truth is known."""

import json

import pytest
from click.testing import CliRunner

from lens.cli.main import lll
from lens.history.read import read_run
from lens.simulator import Script, start_thread

MOST_TIMES = 4  # a busy machine may be slow for once, and a mean of a few requests with it
QUICK = {"tokens": 3, "ttft_ns": 20_000_000, "itl_ns": 1_000_000, "usage": "always"}


@pytest.fixture
def bench(tmp_path):
    def run(*words, tls=False, **script):
        out = tmp_path / "run.json"
        with start_thread(Script(**{**QUICK, **script}), tls=tls) as handle:
            more = ["--cacert", handle.ca_file] if tls else []
            target = ["--provider", "vllm", "--model", "m", "--base-url", f"{handle.url}/v1", *more]
            result = CliRunner().invoke(lll, ["benchmark", *target, "--ui", "none", "-o", str(out), "--force", *words])
        assert result.exception is None, result.exception
        return json.loads(out.read_text()), result.output, read_run(out).records

    return run


def test_a_sweep_over_rates_has_a_row_a_rate(bench):
    told, page, records = bench("--sweep-min", "20", "--sweep-max", "40", "--sweep-step", "20", "-d", "1s")
    assert [row["name"] for row in told["stages"]] == ["20/s", "40/s"]
    assert [row["requests"] for row in told["stages"]] == [20, 40]
    assert told["stages"][1]["asked_per_s"] == pytest.approx(40)
    assert "asked/s" in page or "answered/s" in page
    assert {record.stage for record in records} == {"20/s", "40/s"}


def test_a_sweep_over_requests_at_a_time(bench):
    told, _, _ = bench("--sweep-concurrency", "1,3", "-n", "6")
    assert [(row["name"], row["requests"]) for row in told["stages"]] == [("1 at a time", 6), ("3 at a time", 6)]


def test_a_ramp_and_a_rate_say_what_was_asked_and_sent(bench):
    _, page, records = bench("--rate", "10", "--ramp-to", "30", "-d", "1s")
    assert len(records) == 20
    assert "requests/s asked" in page


def test_a_trace_is_replayed_with_prompts_of_its_lengths(bench, tmp_path):
    trace = tmp_path / "trace.jsonl"
    rows = [{"timestamp": at, "input_length": 7 + at, "output_length": 2, "hash_ids": [1]} for at in (0, 60, 100)]
    trace.write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, _, records = bench("--arrival", "trace", "-f", str(trace), from_request=True)
    starts = [record.stamps.intended - records[0].stamps.intended for record in records]
    assert starts == [0, 60_000_000, 100_000_000]
    assert [record.usage.output_tokens for record in records] == [2, 2, 2]
    assert records[0].usage.input_tokens < records[1].usage.input_tokens < records[2].usage.input_tokens


def test_the_standard_scenario_is_550_in_and_150_out(bench):
    _, _, records = bench("--scenario", "standard", "-n", "2", from_request=True, itl_ns=10_000)
    assert all(record.usage.output_tokens == 150 for record in records)
    assert all(500 <= record.usage.input_tokens <= 700 for record in records)


def test_until_ends_a_run_when_a_figure_is_known(bench):
    told, page, records = bench("--until", "output_tokens_mean 30%", "-c", "4")
    assert 30 <= len(records) < 200
    assert "output_tokens mean: reached" in told["notes"][0]
    assert "reached" in page


def test_a_search_finds_where_an_slo_breaks(bench):
    """More than three at a time are refused by the script: the edge is there."""
    told, _, _ = bench(
        "--search-slo",
        "ttft_p95<30000",
        "--rate",
        "20",
        "--search-max",
        "320",
        "-d",
        "500ms",
        rate_limit=30,
        rate_window_ns=500_000_000,
    )
    assert "met up to" in told["notes"][0] or "still met" in told["notes"][-1]
    highest = float(told["notes"][0].split("met up to ")[1].split()[0])
    assert 20 <= highest <= 160


def test_fresh_connections_cost_what_the_script_says_and_nothing_elsewhere(bench):
    """A busy machine adds to every phase, and to each less than the script adds to one."""
    for _ in range(MOST_TIMES):
        told, page, _ = bench("--connection", "both", "-n", "24", tls=True, tls_delay_ns=300_000_000)
        found = {row["phase"]: row["mean_ms"] for row in told["cold_start"]["penalties"]}
        handshake = found.get("TLS", 0) + found.get("resumed TLS", 0)
        if handshake < 600 and max(found["TCP"], abs(found["first token after the send"])) < 100:
            break
    assert 300 <= handshake < 600
    assert found["DNS"] == 0
    assert found["TCP"] < 100
    assert abs(found["first token after the send"]) < 100
    assert "over a fresh connection" in page.replace("\n", " ")


def test_the_idle_ladder_finds_when_the_endpoint_goes_cold(bench):
    script = {"ttft_ns": 150_000_000, "cold_start_ns": 600_000_000, "idle_ns": 1_200_000_000}
    for _ in range(MOST_TIMES):
        told, _, _ = bench("--idle-gaps", "10ms,1500ms", "-n", "10", **script)
        gap = told["cold_start"]["gaps"][-1]
        if told["cold_start"]["cold_after"] == "1.50 s" and gap["over_warm_ms"] < 900:
            break
    assert told["cold_start"]["cold_after"] == "1.50 s"
    assert gap["over_warm_ms"] == pytest.approx(600, rel=0.5)


def test_a_warm_up_is_found_and_a_cool_down_is_cut(bench):
    told, _, records = bench("--warmup", "auto", "--cooldown", "5", "-n", "60", "-c", "4")
    assert told["notes"][0].startswith("warm-up: the first")
    assert told["notes"][1] == "cool-down: the last 5 requests are left out of the figures"
    assert sum(record.warmup for record in records) >= 5
    assert told["total_requests"] == 60 - sum(record.warmup for record in records)


def test_an_adaptive_run_holds_back_under_a_limit(bench):
    told, _, records = bench("-n", "12", "-c", "2", "--adaptive", rate_limit=5, rate_window_ns=200_000_000)
    refused = sum(record.status == "RateLimited" for record in records)
    assert refused < 6
    assert any("held back" in warning for warning in told["warnings"]) or refused == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--until", "ttft"), "ttft_p95 5%"),
        (("--until", "total_cost 5%"), "of a request's metric"),
        (("--search-slo", "success_rate>0.9"), "statistic of a request"),
        (("--arrival", "trace"), "give --trace FILE"),
        (("--sweep-concurrency", "1,x"), "1,2,4,8"),
        (("--cooldown", "soon"), "--cooldown 'soon'"),
        (("--idle-gaps", "1x"), "1x"),
    ],
)
def test_what_cannot_be_is_one_clear_line(words, says):
    with start_thread(Script(**QUICK)) as handle:
        target = ["benchmark", "--provider", "vllm", "--model", "m", "--base-url", f"{handle.url}/v1", "--ui", "none"]
        result = CliRunner().invoke(lll, [*target, "-n", "2", *words])
    assert says in str(result.exception) + result.output


def test_a_server_of_ones_own_is_priced_by_its_hour(bench):
    told, page, records = bench("-n", "6", "-c", "2", "--gpu-hour", "3.6x2")
    starts = [record.stamps.start for record in records]
    window_s = (max(record.stamps.end for record in records) - min(starts)) / 1e9
    assert told["gpu_cost"]["usd"] == pytest.approx(window_s * 0.002)
    assert told["gpu_cost"]["usd_per_million_output_tokens"] == pytest.approx(window_s * 0.002 / 18 * 1e6)
    assert "GPU cost" in page


def test_an_address_alone_is_measured_as_a_compatible_server():
    with start_thread(Script(**QUICK)) as handle:
        words = ["benchmark", "--base-url", f"{handle.url}/v1", "--model", "m", "-n", "2", "--ui", "none"]
        result = CliRunner().invoke(lll, words)
    assert result.exception is None
    assert "openai-compatible" in result.output
