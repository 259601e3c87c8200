"""Load tools of other makers: what to install, how to ask for one run, and where they write what they found.

    found = TOOLS["guidellm"].run(python, url, requests, tokens, folder)

Each is asked for `requests` requests at `requests` a second, so that with answers of more than a second they
are soon open all at once, like the clients beside this file.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
RUN_S = 180


class Said(NamedTuple):
    """Milliseconds; None where a tool does not say it."""

    ttft_p50_ms: float
    itl_p99_ms: float | None = None


class Tool(NamedTuple):
    """One peer: its packages, its command and its figures."""

    install: tuple[str, ...]
    command: Callable[[Path, str, int, int, Path], list[str]]
    read: Callable[[Path], Said]
    python: str = ""  # the oldest version it runs on, where that is newer than ours

    def run(self, python: Path, url: str, requests: int, tokens: int, folder: Path) -> Said:
        """
        Raises:
            RuntimeError: it failed; with the end of what it printed.
        """
        command = self.command(python.parent, url, requests, tokens, folder)
        home = folder / "home"
        home.mkdir(exist_ok=True)
        env = {"PATH": os.environ["PATH"], "HOME": str(home), "NO_PROXY": "*"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S, cwd=folder, env=env, check=False)
        if done.returncode:
            raise RuntimeError(f"exit code {done.returncode}: {(done.stdout + done.stderr)[-400:]}")
        return self.read(folder)


def rust(bin_: Path, url: str, requests: int, tokens: int, folder: Path) -> list[str]:
    return [
        str(bin_ / "python"), str(HERE / "client_rust.py"), "--backend", "sglang-oai-chat", "--base-url", url,
        "--model", "m", "--tokenizer", str(folder / "tokenizer"), "--dataset-name", "sharegpt",
        "--dataset-path", str(folder / "tokenizer" / "sharegpt.json"), "--sharegpt-output-len", str(tokens),
        "--num-prompts", str(requests), "--request-rate", str(requests), "--warmup-requests", "0",
        "--output-file", str(folder / "rust.jsonl"), "--disable-tqdm", "--disable-retokenize",
    ]  # fmt: skip


def read_rust(folder: Path) -> Said:
    found = json.loads((folder / "rust.jsonl").read_text().splitlines()[-1])
    return Said(found["median_ttft_ms"], found["p99_itl_ms"])


def guidellm(bin_: Path, url: str, requests: int, tokens: int, folder: Path) -> list[str]:
    return [
        str(bin_ / "guidellm"), "run", "--backend", f"kind=openai_http,target={url},model=m,validate_backend=false",
        "--tokenizer", f"kind=huggingface_auto,model={folder / 'tokenizer'}",
        "--profile", f"kind=constant,rate={requests}", "--constraint", f"kind=max_requests,count={requests}",
        "--data", f"kind=synthetic_text,prompt_tokens=8,output_tokens={tokens}",
        "--output", f"kind=json,path={folder / 'guidellm.json'}", "--disable-console",
    ]  # fmt: skip


def read_guidellm(folder: Path) -> Said:
    metrics = json.loads((folder / "guidellm.json").read_text())["benchmarks"][0]["metrics"]
    return Said(metrics["time_to_first_token_ms"]["successful"]["median"])


def aiperf(bin_: Path, url: str, requests: int, tokens: int, folder: Path) -> list[str]:
    return [
        str(bin_ / "aiperf"), "profile", "-m", "m", "--url", url, "--endpoint-type", "chat", "--streaming",
        "--request-rate", str(requests), "--request-rate-mode", "constant", "--request-count", str(requests),
        "--isl", "8", "--osl", str(tokens), "--tokenizer", str(folder / "tokenizer"), "--ui", "none",
        "--artifact-dir", str(folder / "aiperf"), "--no-gpu-telemetry", "--no-server-metrics",
    ]  # fmt: skip


def read_aiperf(folder: Path) -> Said:
    return Said(
        json.loads((folder / "aiperf" / "profile_export_aiperf.json").read_text())["time_to_first_token"]["p50"]
    )


def inference_perf(bin_: Path, url: str, requests: int, tokens: int, folder: Path) -> list[str]:
    config = {
        "api": {"type": "chat", "streaming": True},
        "server": {"type": "vllm", "model_name": "m", "base_url": url, "ignore_eos": True},
        "tokenizer": {"pretrained_model_name_or_path": str(folder / "tokenizer")},
        "data": {"type": "mock"},
        "load": {"type": "constant", "num_workers": 1, "stages": [{"rate": requests, "duration": 1}]},
        "report": {"request_lifecycle": {"summary": True, "per_stage": False, "per_request": False}},
        "storage": {"local_storage": {"path": str(folder / "inference-perf")}},
    }
    (folder / "inference-perf.yml").write_text(json.dumps(config))  # JSON is YAML
    return [str(bin_ / "inference-perf"), "-c", str(folder / "inference-perf.yml")]


def read_inference_perf(folder: Path) -> Said:
    found = json.loads((folder / "inference-perf" / "summary_lifecycle_metrics.json").read_text())
    return Said(found["successes"]["latency"]["time_to_first_token"]["median"] * 1000)


TOOLS = {
    "Rust client of sglang": Tool(("--no-deps", "sglang"), rust, read_rust),
    "aiperf": Tool(("aiperf",), aiperf, read_aiperf),
    "guidellm": Tool(("guidellm",), guidellm, read_guidellm),
    "inference-perf": Tool(("inference-perf",), inference_perf, read_inference_perf, python="3.12"),
}
# Clients in this folder: the same words in, stamps out.
CLIENTS = {
    "aiohttp loop": ("client_aiohttp.py", ("aiohttp",)),
    "httpx and httpx-sse": ("client_httpx.py", ("httpx", "httpx-sse")),
    "openai SDK": ("client_openai.py", ("openai",)),
}


def interpreter(least: str) -> str | None:
    """A Python of that version or a newer one; "" is ours."""
    if not least or sys.version_info >= tuple(map(int, least.split("."))):
        return sys.executable
    first = int(least.split(".")[1])
    found = (shutil.which(f"python3.{minor}") for minor in range(first, first + 5))
    # A name on the path may be a shim for a version that is not installed.
    return next(
        (path for path in found if path and not subprocess.run([path, "-V"], capture_output=True).returncode), None
    )


def environment(name: str, install: tuple[str, ...], least: str, under: Path) -> Path:
    """The Python of an environment that has the peer, made when there is none.

    Raises:
        RuntimeError: it cannot be installed here.
    """
    folder = under / name.replace(" ", "-")
    python, done = folder / "bin" / "python", folder / "installed"
    if done.exists():
        return python
    base = interpreter(least)
    if base is None:
        raise RuntimeError(f"it needs Python {least} or newer, and there is none here")
    subprocess.run([base, "-m", "venv", "--clear", folder], check=True)
    pip = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *install],
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    if pip.returncode:
        raise RuntimeError(f"it cannot be installed here: {pip.stderr.strip().splitlines()[-1][:200]}")
    done.touch()
    return python
