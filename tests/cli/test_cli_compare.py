"""`lll compare` in a process of its own: targets of known speed in turns, run files, and what cannot be compared."""

import csv
import json
from xml.etree import ElementTree

import pytest
from cli_program import lll, scripted
from handmade import INFO, record
from msgspec.structs import replace

from lens.history.read import read_run
from lens.history.write import write_run
from lens.simulator import make_script, start

# Requests of each with which a median is compared also where chance lets neighbours resemble each other.
ENOUGH = 60


def verdicts(page):
    """{row: verdict} of the tables on a page."""
    return {
        " ".join(words[:2]): words[-1]
        for line in page.splitlines()
        if (words := line.split()) and words[-1] in ("same", "better", "worse")
    }


@pytest.fixture(scope="module")
def two_speeds(tmp_path_factory):
    """A config with two targets, the second slower to its first token by more than a busy machine."""
    path = tmp_path_factory.mktemp("compare") / "two.toml"
    with (
        start(make_script(ttft="20ms", itl="1ms", tokens=5)) as a,
        start(make_script(ttft="65ms", itl="1ms", tokens=5)) as b,
    ):
        path.write_text(
            "".join(
                f'[[targets]]\nprovider = "{name}"\nmodel = "{model}"\nbase_url = "{one.url}/v1"\n'
                for name, model, one in (("vllm", "quick", a), ("sglang", "slow", b))
            )
        )
        yield path


def test_targets_are_asked_in_turns_and_the_slower_one_is_found(two_speeds, tmp_path):
    out = tmp_path / "run.jsonl"
    ended = lll("compare", "--config", two_speeds, "-n", ENOUGH, "-o", out, "--ui", "none")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "slow against " in ended.stdout
    assert "asked in turns" in ended.stdout
    assert verdicts(ended.stdout)["ttft_ms p50"] == "worse"
    asked = [record.target_index for record in read_run(out).records]
    assert len(asked) == 2 * ENOUGH
    assert all(set(asked[i : i + 2]) == {0, 1} for i in range(0, 2 * ENOUGH, 2)), "each block asks each target once"
    assert len({tuple(asked[i : i + 2]) for i in range(0, 2 * ENOUGH, 2)}) == 2, "in an order that changes"


@pytest.fixture(scope="module")
def named_run(tmp_path_factory):
    """A run of two endpoints with one model, the second slower by more than a busy machine, and the page of it."""
    out = tmp_path_factory.mktemp("named") / "run.json"
    with (
        start(make_script(ttft="20ms", itl="1ms", tokens=5)) as a,
        start(make_script(ttft="65ms", itl="1ms", tokens=5)) as b,
    ):
        ended = lll(
            "compare", "--target", f"near=vllm:m@{a.url}/v1 region=eu", "--target", f"far=vllm:m@{b.url}/v1",
            "-n", ENOUGH, "--threshold", "ttft_p50<42", "-e", "json,csv,junit,jsonl", "-o", out, "--ui", "none",
        )  # fmt: skip
    return ended, out


def test_two_endpoints_of_one_model_are_judged_each_for_itself(named_run):
    ended, _ = named_run
    assert (ended.returncode, ended.stderr) == (3, "")
    assert ended.stdout.startswith("verdict      far against near: worse in ttft_ms")
    page = " ".join(ended.stdout.split())
    assert "ok near: ttft_ms p50 < 42" in page
    assert "FAIL far: ttft_ms p50 < 42" in page
    assert "requests, " not in ended.stdout.split("far against near, asked in turns")[0], "no summary of both together"


def test_its_outputs_hold_the_comparison_target_by_target(named_run):
    _, out = named_run
    found = json.loads(out.read_text())
    assert [(one["name"], one["labels"], one["baseline"]) for one in found["targets"]] == [
        ("near", {"region": "eu"}, True), ("far", {}, False),
    ]  # fmt: skip
    (comparison,) = found["comparisons"]
    shift = next(one for one in comparison["shifts"] if (one["metric"], one["statistic"]) == ("ttft_ms", "p50"))
    assert shift["verdict"] == "worse"
    assert shift["low"] < shift["difference"] < shift["high"]
    assert [(one["target"], one["kept"]) for one in found["thresholds"]] == [("near", True), ("far", False)]
    assert {one["target"] for one in found["requests"]} == {"near", "far"}
    rows = list(csv.DictReader(out.with_suffix(".csv").read_text().splitlines()))
    assert (
        next(r for r in rows if (r["target"], r["metric"], r["statistic"]) == ("far", "ttft_ms", "p50"))["baseline"]
        == "near"
    )
    suites = {one.get("name"): one for one in ElementTree.parse(out.with_suffix(".xml")).getroot()}
    assert suites["thresholds"].get("failures") == "1"
    assert {one.target for one in read_run(out.with_suffix(".jsonl")).records} == {"near", "far"}


def test_a_run_of_several_targets_is_compared_within_itself_and_with_another(named_run):
    _, out = named_run
    alone = lll("compare", out, "--threshold", "ttft_p50<1000")
    assert (alone.returncode, alone.stderr) == (0, "")
    assert "far against near, asked in turns" in alone.stdout
    twice = lll("compare", out, out.with_suffix(".jsonl"))
    assert twice.returncode == 0, twice.stderr
    assert "run.jsonl: far against run.json: far" in twice.stdout
    assert "run.jsonl: near against run.json: near" in twice.stdout


def test_a_comparison_on_standard_output_is_alone_there(named_run):
    _, out = named_run
    ended = lll("compare", out, "-e", "json")
    assert json.loads(ended.stdout)["failed"] is False
    assert ended.stderr.startswith("verdict")


def test_the_choice_of_two_endpoints_of_one_model_is_between_two(named_run):
    _, out = named_run
    ended = lll("optimize", out, "--criteria", "latency", "--current", "far")
    assert "recommended  near" in ended.stdout, ended.stderr
    assert "(the first" not in ended.stdout


def test_flags_name_pairs_and_the_file_says_where_they_are(two_speeds):
    ended = lll("compare", "--config", two_speeds, "--providers", "sglang,vllm", "--models", "slow,quick", "-n", ENOUGH)
    assert ended.returncode == 0, ended.stderr
    assert verdicts(ended.stdout)["ttft_ms p50"] == "better"


def test_a_file_without_a_request_is_named_and_no_comparison(tmp_path):
    empty, full = tmp_path / "empty.jsonl", tmp_path / "full.jsonl"
    write_run(empty, INFO, [])
    write_run(full, replace(INFO, run_id="another"), [record(index=n) for n in range(3)])
    for files in ((full, empty), (empty, full)):
        ended = lll("compare", *files, "--threshold", "ttft_p95<1000")
        assert ended.returncode == 1, ended.stdout
        assert "lll: empty.jsonl holds no request: it is compared with nothing" in ended.stderr


def test_run_files_are_compared_with_the_first(tmp_path):
    files = [tmp_path / f"{name}.jsonl" for name in "abc"]
    for path, ttft in zip(files, ("20ms", "20ms", "65ms"), strict=True):
        assert scripted("benchmark", "-n", ENOUGH, "-o", path, ttft=ttft, itl="1ms", tokens=4).returncode == 0
    ended = lll("compare", *files)
    assert (ended.returncode, ended.stderr) == (0, "")
    first, second = ended.stdout.split("c.jsonl against a.jsonl, not interleaved")
    assert "b.jsonl against a.jsonl, not interleaved" in first
    assert verdicts(second)["ttft_ms p50"] == "worse"


@pytest.mark.parametrize(("words", "requests"), [((), 100), (("-n", "4"), 8)])
def test_without_a_number_each_target_is_asked_as_often_as_a_comparison_needs(words, requests):
    ended = lll("compare", "--target", "a=simulator:m", "--target", "b=simulator:m", "--dry-run", *words)
    assert json.loads(ended.stdout)["requests"] == requests, ended.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "compare needs two targets"),
        (("--providers", "openai,anthropic,groq", "--models", "a,b"), "--providers names 3 (openai, anthropic, groq)"),
        (("--target-spec", "openai"), "write NAME=provider:model@URL"),
        (("--providers", "openai,anthropic"), "give both"),
        (("one.jsonl",), "one.jsonl"),
        (("a.jsonl", "b.jsonl", "--rate", "3", "--label", "a=b"), "leave out --rate, --label, or the files"),
        (("a.jsonl", "b.jsonl", "-e", "parquet"), "a comparison of run files is written as json, csv, junit"),
        (("--target", "a=openai:x", "--target", "a=openai:y"), "two targets are called 'a'"),
        (("--base-url", "http://a", "--base-url", "http://b"), "--base-url was given 2 times"),
        (("--target", "http://a", "--target", "http://b"), "two addresses need names"),
        (("none.jsonl", "neither.jsonl"), "none.jsonl"),
        (("--providers", "ollama,anthropc", "--models", "a,b"), "anthropic"),
    ],
)
def test_what_cannot_be_compared_is_reported(words, says, tmp_path):
    ended = lll("compare", *words, cwd=tmp_path)
    assert ended.returncode == 2
    assert says in ended.stderr
    assert ended.stderr.count("\n") == 1
