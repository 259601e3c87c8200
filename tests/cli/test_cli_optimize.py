"""`lll optimize` in a process of its own: targets of known speed, run files, JSON, exit codes, what cannot be."""

import json
import re

import pytest
from cli_program import lll

from lens.simulator import make_script, start

PRICES = [{"provider": "vllm", "input": "10", "output": "30"}, {"provider": "sglang", "input": "1", "output": "3"}]


@pytest.fixture(scope="module")
def two_speeds(tmp_path_factory):
    """A config with two targets, the second half a second slower to its first token: more than a busy machine adds."""
    path = tmp_path_factory.mktemp("optimize") / "two.toml"
    with (
        start(make_script(ttft="20ms", itl="1ms", tokens=5)) as a,
        start(make_script(ttft="520ms", itl="1ms", tokens=5)) as b,
    ):
        path.write_text(
            "".join(
                f'[[targets]]\nprovider = "{name}"\nmodel = "{model}"\nbase_url = "{one.url}/v1"\n'
                for name, model, one in (("vllm", "quick", a), ("sglang", "slow", b))
            )
        )
        yield path


@pytest.fixture(scope="module")
def run_file(two_speeds):
    path = two_speeds.with_name("run.jsonl")
    ended = lll(
        "optimize", "--config", two_speeds, "-n", 20, "-c", 8, "-o", path, "--ui", "none", "--criteria", "latency"
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "recommended  vllm/quick" in ended.stdout
    return path


@pytest.fixture(scope="module")
def prices(tmp_path_factory):
    path = tmp_path_factory.mktemp("prices") / "prices.json"
    path.write_text(json.dumps(PRICES))
    return path


def test_the_faster_of_two_targets_asked_in_turns_is_recommended(two_speeds):
    ended = lll(
        "optimize", "--config", two_speeds, "--target-spec", "sglang:slow", "--target-spec", "vllm:quick",
        "-n", 20, "-c", 8, "--ui", "none", "--criteria", "latency", "--recommend-provider",
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "recommended  vllm, with vllm/quick" in ended.stdout
    assert re.search(r"confidence   (9[5-9]|100)\.\d%", ended.stdout)
    assert "against sglang/slow (the first; --current names another)" in " ".join(ended.stdout.split())


def test_simulators_need_no_address():
    ended = lll(
        "optimize", "--target-spec", "simulator:a", "--target-spec", "simulator:b", "-n", 1, "-c", 2,
        "--ui", "none", "--criteria", "latency,throughput",
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "too few requests to tell" in ended.stdout


def test_a_run_file_becomes_json_with_savings_and_intervals(run_file, prices):
    ended = lll("optimize", run_file, "--prices", prices, "--export", "json", "--criteria", "latency=1,cost=2")
    assert (ended.returncode, ended.stderr) == (0, "")
    found = json.loads(ended.stdout)
    assert found["recommended"] == "sglang/slow"
    assert found["current_config"]["model"] == "quick"
    assert found["cost_savings_share"] == pytest.approx(0.9)
    low, high = found["latency_interval"]
    assert low <= found["expected_latency_improvement"] <= high < 0, "it is slower, and that is said"
    assert found["confidence"] > 0.95, "of 20 that chance lets resemble their neighbours it may be less than 1"
    assert [one["front"] for one in found["standings"]] == [True, True]
    assert found["in_turns"] is True


def test_a_constraint_excludes_the_slower_one(run_file, prices):
    ended = lll("optimize", run_file, "--prices", prices, "--criteria", "cost", "--constraint", "ttft_p50<500")
    assert ended.returncode == 0
    page = " ".join(ended.stdout.split())
    assert "constraint ttft_ms p50 < 500 excludes sglang/slow" in page
    assert "recommended vllm/quick" in page


def test_when_no_target_meets_the_constraints_the_exit_code_is_3(run_file):
    ended = lll("optimize", run_file, "--constraint", "ttft_p50<1")
    assert ended.returncode == 3
    assert "no recommendation" in ended.stdout
    assert "No target meets the constraints" in " ".join(ended.stdout.split())


def test_unknown_prices_are_told_and_latency_alone_decides(run_file):
    ended = lll("optimize", run_file)
    assert ended.returncode == 0
    assert "Cost is not known of any target and decides nothing" in " ".join(ended.stdout.split())
    only = lll("optimize", run_file, "--criteria", "cost")
    assert only.returncode == 1
    assert "no recommendation" in only.stdout


@pytest.mark.parametrize(
    ("preset", "chosen"),
    [
        ("InteractiveLowLatency", "vllm/quick"),
        ("batch-high-throughput", "vllm/quick"),
        ("CostOptimized", "sglang/slow"),
    ],
)
def test_presets_decide_as_the_plan_says(run_file, prices, preset, chosen):
    ended = lll("optimize", run_file, "--prices", prices, "--preset", preset, "-e", "json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["recommended"] == chosen


def test_the_current_target_is_what_gains_are_counted_from(run_file, prices):
    ended = lll("optimize", run_file, "--prices", prices, "--criteria", "latency", "--current", "sglang:slow")
    page = " ".join(ended.stdout.split())
    assert "against sglang/slow" in page
    assert "--current names another" not in page


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "optimize needs two targets"),
        (("--target-spec", "openai:gpt-4o"), "optimize needs two targets"),
        (("--criteria", "beauty"), "there are latency, cost, throughput, reliability"),
        (("--preset", "fast"), "InteractiveLowLatency, BatchHighThroughput, CostOptimized"),
        (("--preset", "CostOptimized", "--criteria", "cost"), "give that or --criteria"),
        (("--constraint", "ttft_p59x<5"), "no metric"),
        (("none.jsonl",), "none.jsonl"),
        (("none.jsonl", "-o", "run.jsonl"), "leave out --output"),
        (("--target-spec", "simulator:a", "--target-spec", "simulator:b", "--current", "x:y"), "is not among"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_sent(words, says, tmp_path):
    ended = lll("optimize", *words, cwd=tmp_path)
    assert ended.returncode == 2
    assert says in ended.stderr
    assert ended.stderr.count("\n") == 1
