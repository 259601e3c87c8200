"""The example of a GitHub workflow and the action: steps run as written, by the shell, against a simulator in OpenAI's
place."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from waiting import HANG_S

from lens.errors import ExitCode
from lens.simulator import make_script, start

ACTION = Path(__file__).parent.parent / "action.yml"
WORKFLOW = Path(__file__).parent.parent / "docs" / "examples" / "github-actions" / "performance.yml"
MOST_TIMES = (
    3  # a busy machine may be slow for the one request that a gate of the example sees, or too noisy for another
)
QUICK = {"itl": "2ms", "tokens": 20, "usage": "always"}


def steps():
    (job,) = yaml.safe_load(WORKFLOW.read_text())["jobs"].values()
    return {step["name"]: step["run"] for step in job["steps"] if "run" in step and "pip install" not in step["run"]}


@pytest.fixture
def shell(tmp_path):
    """Run a step in a checkout that has the files it names."""
    (tmp_path / ".github").mkdir()
    (tmp_path / ".github" / "test-prompts.txt").write_text("Hello\nHow are you?\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "prompts.json").write_text(json.dumps([{"id": "greet", "prompt": "Hello"}]))
    (tmp_path / "bin").mkdir()
    for name, words in (("llm-latency-lens", "-m lens"), ("lll", "-m lens"), ("python", "")):
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
        program.chmod(0o755)

    def run(step, url, **more):
        env = {
            **os.environ,
            **more,
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "OPENAI_API_KEY": "sk-none",
            "OPENAI_BASE_URL": f"{url}/v1",
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
            "GITHUB_OUTPUT": str(tmp_path / "output.txt"),
        }
        words = ["bash", "-e", "-o", "pipefail", "-c", step]
        return subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=HANG_S)

    return run


def test_every_step_passes_on_an_endpoint_that_is_quick_and_is_as_it_was(shell, tmp_path):
    files = ("baseline.json", "test-cases.prom", "junit.xml")
    (tmp_path / "main").mkdir()
    with start(make_script(ttft="30ms", **QUICK)) as handle:
        for _ in range(MOST_TIMES):
            for step in steps().values():
                if "main/baseline.json" in step:
                    shutil.copy(tmp_path / "baseline.json", tmp_path / "main")
                done = shell(step, handle.url)
                if done.returncode:
                    break
            if done.returncode != ExitCode.THRESHOLD:
                break
            for file in files:
                (tmp_path / file).unlink(missing_ok=True)
    assert done.returncode == 0, f"{step}: {done.stdout}{done.stderr}"
    assert "llm_latency_lens_ttft_ms_bucket" in (tmp_path / "test-cases.prom").read_text()
    assert (tmp_path / "junit.xml").exists()


def test_the_gates_fail_on_a_slow_endpoint(shell):
    with start(make_script(ttft="1050ms", **QUICK)) as handle:
        found = {name: shell(step, handle.url).returncode for name, step in list(steps().items())[:3]}
    assert list(found.values()) == [0, 3, 3]


def act(shell, url, **inputs):
    """Run the measuring step of the action with these inputs, the others being their defaults."""
    action = yaml.safe_load(ACTION.read_text())
    step = next(one for one in action["runs"]["steps"] if one.get("id") == "measure")
    values = {name: one["default"] for name, one in action["inputs"].items()} | inputs
    env = {name: values[said.split("inputs.")[1].split()[0]] for name, said in step["env"].items()}
    assert "${{" not in step["run"], "an input would be read as a part of the script"
    return shell(step["run"], url, **env)


def test_the_action_measures_judges_and_writes_the_summary(shell, tmp_path):
    common = {"provider": "openai", "model": "gpt-6-luna", "args": "-n 6 -c 3 -p 'How are you?'"}
    with start(make_script(ttft="30ms", **QUICK)) as handle:
        done = act(shell, handle.url, thresholds="\nttft_p50<60000\nerror_rate<1%\n", **common)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (tmp_path / "output.txt").read_text().split() == [
            "run=llm-latency-lens/run.jsonl", "report=llm-latency-lens/report.html",
        ]  # fmt: skip
        assert all(
            (tmp_path / "llm-latency-lens" / name).is_file() for name in ("run.jsonl", "report.html", "junit.xml")
        )
        assert "ttft" in (tmp_path / "summary.md").read_text()
        failed = act(shell, handle.url, thresholds="ttft_p50<1", **common)
        assert failed.returncode == 3
        assert "::error" in failed.stdout


def test_an_input_of_the_action_is_never_run(shell, tmp_path):
    with start(make_script(ttft="5ms", **QUICK)) as handle:
        done = act(shell, handle.url, provider="openai", model='m"; touch pwned; "', args="-n 1 -p '$(touch pwned)'")
        assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "pwned").exists()
