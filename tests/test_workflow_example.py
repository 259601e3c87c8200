"""The example of a GitHub workflow: its steps run as printed, by the shell, against a simulator in OpenAI's place."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from waiting import HANG_S

from lens.simulator import make_script, start

WORKFLOW = Path(__file__).parent.parent / "docs" / "examples" / "github-actions" / "performance.yml"
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
    program = tmp_path / "bin" / "llm-latency-lens"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m lens "$@"\n')
    program.chmod(0o755)

    def run(step, url):
        env = {
            **os.environ,
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "OPENAI_API_KEY": "sk-none",
            "OPENAI_BASE_URL": f"{url}/v1",
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        }
        words = ["bash", "-e", "-o", "pipefail", "-c", step]
        return subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=HANG_S)

    return run


def test_every_step_passes_on_an_endpoint_that_is_quick_and_is_as_it_was(shell, tmp_path):
    with start(make_script(ttft="30ms", **QUICK)) as handle:
        for name, step in steps().items():
            if "main/baseline.json" in step:
                (tmp_path / "main").mkdir()
                (tmp_path / "main" / "baseline.json").write_bytes((tmp_path / "baseline.json").read_bytes())
            done = shell(step, handle.url)
            assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
    assert "llm_latency_lens_ttft_ms_bucket" in (tmp_path / "test-cases.prom").read_text()
    assert (tmp_path / "junit.xml").exists()


def test_the_gates_fail_on_a_slow_endpoint(shell):
    with start(make_script(ttft="1050ms", **QUICK)) as handle:
        found = {name: shell(step, handle.url).returncode for name, step in list(steps().items())[:3]}
    assert list(found.values()) == [0, 3, 3]
