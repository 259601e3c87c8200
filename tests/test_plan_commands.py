"""The commands of the plan, with its flags, against a simulator in place of every provider."""

import json
import os
import shlex
import subprocess
import sys

import pytest
from waiting import HANG_S

from lens.simulator import make_script, start

# 60 s of constant rate are 2 s here, and files lie where the test lies; nothing else is changed.
COMMANDS = {
    "6.1.1 profile": 'profile --provider openai --model gpt-4 --prompt "Explain quantum computing"',
    "6.1.1 constant rate": "benchmark --provider anthropic --model claude-4.1-sonnet --prompt-file prompts.txt "
    "--rate 10 --duration 2s --export prometheus --output results.prom",
    "6.1.1 compare": "compare --providers openai,anthropic,google --models gpt-4,claude-4.1-sonnet,gemini-pro "
    '--prompt "Generate a Python function to calculate Fibonacci" --iterations 20 --export json',
    "6.1.4 baseline": "benchmark --provider openai --model gpt-4 --prompt-file prompts.txt --iterations 10 "
    "--export json --output baseline.json",
    "6.1.4 thresholds": "analyze baseline.json --threshold 'ttft_p95<1000' --threshold 'tokens_per_second>15' "
    "--threshold 'cost_per_request<0.05'",
    "5.1 test bench": "profile --provider openai --model gpt-4 --test-file prompts.json --export prometheus "
    "--threshold-ttft 500 --threshold-tps 20",
    "7.1 profile": 'profile --provider openai --model gpt-4 --prompt "Hello"',
    "7.1 benchmark": "benchmark --provider anthropic --model claude-4.1 --iterations 10",
    "7.2 benchmark": "benchmark --config production-baseline.toml --export prometheus --output metrics.prom",
    "7.2 compare": "compare --providers openai,anthropic,google --models gpt-4,claude-4.1,gemini-pro --export csv",
    "7.3 monitor": "monitor --config monitor.yaml --once --listen ''",
    "7.3 analyze": "analyze historical-data.jsonl --sla sla-config.yaml",
    "7.3 optimize": "optimize --recommend-provider --criteria latency,cost",
}
KEYS = {"OPENAI_API_KEY": "sk-none", "ANTHROPIC_API_KEY": "sk-ant-none", "GOOGLE_API_KEY": "none"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the files that the commands name, and a config file that says where the providers are."""
    folder = tmp_path_factory.mktemp("plan")
    (folder / "prompts.txt").write_text("Hello\nHow are you?\n")
    (folder / "prompts.json").write_text(json.dumps([{"id": "a", "prompt": "Hello"}]))
    (folder / "sla-config.yaml").write_text("thresholds: [ttft_p95<1000, success_rate>=99%]\n")
    with start(make_script(ttft="10ms", itl="1ms", tokens=20, usage="always")) as handle:
        rows = [("openai", "gpt-4", "/v1"), ("anthropic", "claude-4.1", "/v1"), ("google", "gemini-pro", "/v1beta")]
        providers = "".join(
            f'[providers.{name}]\nmodel = "{model}"\nbase_url = "{handle.url}{path}"\n' for name, model, path in rows
        )
        (folder / "providers.toml").write_text(providers)
        (folder / "production-baseline.toml").write_text(
            providers + '[test_pattern]\ntype = "constant_rate"\nrequests_per_second = 5.0\nduration_seconds = 2\n'
            'prompts_file = "prompts.txt"\n[thresholds]\nttft_p95_ms = 1000.0\nsuccess_rate_min = 0.99\n'
        )
        (folder / "monitor.yaml").write_text(
            "providers:\n  - name: openai\n    model: gpt-4\n    api_key: ${OPENAI_API_KEY}\n"
            f"    base_url: {handle.url}/v1\n"
            "monitoring:\n  interval: 60s\n  test_prompts: [Hello]\n"
        )
        run(folder, "benchmark --provider openai --model gpt-4 --iterations 20 --concurrent 5 -o historical-data.jsonl")
        yield folder


def run(folder, command):
    env = {**os.environ, **KEYS, "LLL_CONFIG_FILE": str(folder / "providers.toml")}
    words = [sys.executable, "-m", "lens", *shlex.split(command)]
    return subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=HANG_S)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_of_the_plan_does_what_it_says(name, place):
    done = run(place, COMMANDS[name])
    assert done.returncode == 0, f"{done.stdout[-500:]}{done.stderr}"
    if "--export json" in COMMANDS[name] and "--output" not in COMMANDS[name]:
        assert json.loads(done.stdout)["total_requests"] == 60
    if "--export csv" in COMMANDS[name]:
        assert done.stdout.startswith("timestamp,provider,model")
