"""`lll compare` in a process of its own: targets of known speed in turns, run files, and what cannot be compared."""

import pytest
from cli_program import lll, scripted

from lens.history.read import read_run
from lens.simulator import make_script, start


def verdicts(page):
    """{row: verdict} of the tables on a page."""
    return {
        " ".join(words[:2]): words[-1]
        for line in page.splitlines()
        if (words := line.split()) and words[-1] in ("same", "better", "worse")
    }


@pytest.fixture(scope="module")
def two_speeds(tmp_path_factory):
    """A config with two targets, the second 15 ms slower to its first token."""
    path = tmp_path_factory.mktemp("compare") / "two.toml"
    with (
        start(make_script(ttft="20ms", itl="1ms", tokens=5)) as a,
        start(make_script(ttft="35ms", itl="1ms", tokens=5)) as b,
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
    ended = lll("compare", "--config", two_speeds, "-n", 30, "-o", out, "--ui", "none")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "slow against " in ended.stdout
    assert "asked in turns" in ended.stdout
    assert verdicts(ended.stdout)["ttft_ms p50"] == "worse"
    asked = [record.target for record in read_run(out).records]
    assert len(asked) == 60
    assert all(set(asked[i : i + 2]) == {0, 1} for i in range(0, 60, 2)), "each block asks each target once"
    assert len({tuple(asked[i : i + 2]) for i in range(0, 60, 2)}) == 2, "in an order that changes"


def test_flags_name_pairs_and_the_file_says_where_they_are(two_speeds):
    ended = lll("compare", "--config", two_speeds, "--providers", "sglang,vllm", "--models", "slow,quick", "-n", 20)
    assert ended.returncode == 0, ended.stderr
    assert verdicts(ended.stdout)["ttft_ms p50"] == "better"


def test_run_files_are_compared_with_the_first(tmp_path):
    files = [tmp_path / f"{name}.jsonl" for name in "abc"]
    for path, ttft in zip(files, ("20ms", "20ms", "40ms"), strict=True):
        assert scripted("benchmark", "-n", 30, "-o", path, ttft=ttft, itl="1ms", tokens=4).returncode == 0
    ended = lll("compare", *files)
    assert (ended.returncode, ended.stderr) == (0, "")
    first, second = ended.stdout.split("c.jsonl against a.jsonl")
    assert "b.jsonl against a.jsonl, not interleaved" in first
    assert verdicts(second)["ttft_ms p50"] == "worse"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "compare what?"),
        (("--providers", "openai,anthropic,groq", "--models", "a,b"), "--providers names 3 (openai, anthropic, groq)"),
        (("--target-spec", "openai"), "write provider:model"),
        (("--providers", "openai,anthropic"), "give both"),
        (("one.jsonl",), "two run files or more"),
        (("none.jsonl", "neither.jsonl"), "none.jsonl"),
        (("--providers", "ollama,anthropc", "--models", "a,b"), "anthropic"),
    ],
)
def test_what_cannot_be_compared_is_told(words, says, tmp_path):
    ended = lll("compare", *words, cwd=tmp_path)
    assert ended.returncode == 2
    assert says in ended.stderr
    assert ended.stderr.count("\n") == 1
