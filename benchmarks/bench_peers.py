"""Claim: at every number of streams a first token is told with a smaller error than any peer tells it, and the
stamps of tokens are at least 100 times closer to the truth than an aiohttp loop's.

Peers read the same script (TTFT 200 ms, a token each 20 ms) from the same kind of simulator, one after another,
each in an environment of its own under build/peers, made on the first run; who cannot be installed here is
left out and named on standard error. Requests begin evenly over one second; one alone is asked a few times, and the
median of what its runs say is taken. The truth is the simulator's log
of its own writes: a client's TTFT is off by what it says (p50) less the time from the read of the whole
request to the write of the first token (p50), a stamp by its distance from the beginning of its write.
CPU a million tokens is that of 16 flooded streams of 10,000 tokens less that of 1,000 tokens, so that no start-up is
in it; CPU of `lll benchmark` is that of the whole command as it is typed, beside the whole command of the Rust client.
Prints one line of JSON a comparison.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

from common import PEERS, claim, last_core
from peers import make_tokenizer
from peers.tools import CLIENTS, TOOLS, Tool, environment

HERE = Path(__file__).resolve().parent
STREAMS = (1, 64, 256, 1000)
LONE_RUNS = 3
STAMP_STREAMS, STAMP_TIMES = 400, 100
FLOOD_STREAMS, FLOOD_TOKENS = 16, (1_000, 10_000)
COMMAND_STREAMS, COMMAND_TOKENS = (64, 256, 1000), 64
TTFT_NS, ITL_NS, TOKENS = 200_000_000, 20_000_000, 50
RUST = "Rust client of sglang"
OURS = "this instrument"


def simulator(tokens: int = TOKENS, *, flood: bool = False):
    from lens.simulator import Script, start

    script = Script(ttft_ns=0 if flood else TTFT_NS, itl_ns=ITL_NS, tokens=tokens, flood=flood)
    return start(script, cpu=last_core())


def tokens_of(entry: dict) -> list[int]:
    """When each token's write began."""
    return [begun for _, begun, _, kind, _ in entry["events"] if kind == "text"]


def writes_of(log: list[dict]) -> dict[str, tuple[int, list[int]]]:
    """{model: (when the whole request was read, when each token's write began)}"""
    return {
        entry["model"]: (entry["request_complete_ns"], [e[1] for e in entry["events"] if e[3] == "text"])
        for entry in log
    }


def true_figures(log: list[dict]) -> tuple[float, float]:
    """(p50 of TTFT, p99 of the gaps between tokens) in ms."""
    asked = [(entry["request_complete_ns"], writes) for entry in log if (writes := tokens_of(entry))]
    gaps = sorted(b - a for _, writes in asked for a, b in pairwise(writes))
    return statistics.median(w[0] - read for read, w in asked) / 1e6, gaps[int(len(gaps) * 0.99)] / 1e6


def client(python: Path | str, script: str, url: str, requests: int) -> dict:
    words = [python, HERE / "peers" / script, url, str(requests)]
    env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, timeout=300, check=True, env=env)
    found = json.loads(done.stdout)
    errors = [one["error"] for one in found["requests"] if "error" in one]
    if errors:
        raise RuntimeError(f"{len(errors)} of {requests} requests failed: {errors[0]}")
    return found


def stamps(python: Path | str, script: str, requests: int) -> dict:
    """What a client said against what was so: TTFT p50 and ITL p99 in ms, stamps in us."""
    with simulator() as server:
        found = client(python, script, server.url, requests)
        log = server.log()
    truth = writes_of(log)
    true_ttft, true_itl = true_figures(log)
    off, gaps = [], []
    for one in found["requests"]:
        writes = truth[one["id"]][1]
        off += [abs(said - was) for said, was in zip(one["tokens"], writes, strict=True)]
        gaps += [b - a for a, b in pairwise(one["tokens"])]
    ttft = statistics.median(one["tokens"][0] - one["start"] for one in found["requests"]) / 1e6
    return {
        "ttft_ms": ttft - true_ttft,
        "itl_ms": sorted(gaps)[int(len(gaps) * 0.99)] / 1e6 - true_itl,
        "stamp_us": statistics.median(off) / 1e3,
    }


def usual(measure, requests: int) -> dict:
    """What is measured; of a lone request the medians of a few runs, since each has one first token."""
    runs = [measure() for _ in range(LONE_RUNS if requests == 1 else 1)]
    return {name: None if runs[0][name] is None else statistics.median(run[name] for run in runs) for name in runs[0]}


def tool_errors(name: str, python: Path, requests: int, folder: Path) -> dict:
    with simulator() as server:
        said = TOOLS[name].run(python, server.url, requests, TOKENS, folder)
        true_ttft, true_itl = true_figures(server.log())
    itl = None if said.itl_p99_ms is None else said.itl_p99_ms - true_itl
    return {"ttft_ms": said.ttft_p50_ms - true_ttft, "itl_ms": itl}


def cpu_s(run, tokens: int, *, flood: bool = False) -> float:
    """CPU seconds of the processes that run(url, tokens) starts and waits for."""
    with simulator(tokens, flood=flood) as server:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run(server.url, tokens)
        # The simulator is a child too, but its CPU is counted only when it has ended.
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def flood_s(run) -> float:
    """CPU seconds a million tokens."""
    few, most = [cpu_s(run, tokens, flood=True) for tokens in FLOOD_TOKENS]
    return (most - few) * 1e6 / (FLOOD_STREAMS * (FLOOD_TOKENS[1] - FLOOD_TOKENS[0]))


def benchmark(url: str, streams: int, folder: Path) -> None:
    """`lll benchmark` as it is typed, with its page and its JSON Lines."""
    words = ["benchmark", "--provider", "simulator", "-m", "m", "--base-url", f"{url}/v1", "--proxy", ""]
    load = ["-n", str(streams), "-r", str(streams), "-e", "jsonl", "-o", str(folder / "lll.jsonl"), "--force"]
    command = [sys.executable, "-m", "lens", *words, *load]
    subprocess.run(command, stdout=subprocess.DEVNULL, timeout=300, check=True)


def many(streams: int) -> str:
    return "1 stream" if streams == 1 else f"{streams:,} streams"


def row(
    said: str, unit: str, ours: float, peer: str, theirs: float, *, most_ratio: float = 1.0, also: str = ""
) -> None:
    ratio, holds = abs(theirs) / max(abs(ours), 1e-6), abs(ours) * most_ratio <= abs(theirs)
    claim(said, ours, unit, baseline=peer, baseline_figure=theirs, ratio=ratio, holds=holds, also=also)


class Field:
    """The peers that could be installed here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clients: dict[str, tuple[Path, str]] = {}
        self.tools: dict[str, Path] = {}
        for name, (script, install) in CLIENTS.items():
            if python := self._made(name, install, ""):
                self.clients[name] = (python, script)
        for name, tool in TOOLS.items():
            if python := self._made(name, tool.install, tool.python):
                self.tools[name] = python

    @staticmethod
    def _made(name: str, install: tuple[str, ...], least: str) -> Path | None:
        try:
            return environment(name, install, least, PEERS)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            print(f"{name}: left out; {error}", file=sys.stderr)
            return None

    def errors(self, requests: int):
        """(name, errors) of each peer."""
        for name, (python, script) in self.clients.items():
            yield from self._tried(name, lambda p=python, s=script: usual(lambda: stamps(p, s, requests), requests))
        for name, python in self.tools.items():
            yield from self._tried(
                name, lambda n=name, p=python: usual(lambda: tool_errors(n, p, requests, self.folder), requests)
            )

    @staticmethod
    def _tried(name: str, measure):
        try:
            yield name, measure()
        except (RuntimeError, OSError, subprocess.SubprocessError, KeyError, ValueError) as error:
            print(f"{name}: failed; {error}", file=sys.stderr)


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_tokenizer.write(folder / "tokenizer")
        field = Field(folder)
        for streams in STREAMS:
            ours = usual(lambda n=streams: stamps(sys.executable, "client_lens.py", n), streams)
            for name, theirs in field.errors(streams):
                row(f"TTFT p50 is off by, at {many(streams)}", "ms", ours["ttft_ms"], name, theirs["ttft_ms"])
                if theirs["itl_ms"] is not None:
                    row(f"ITL p99 is off by, at {many(streams)}", "ms", ours["itl_ms"], name, theirs["itl_ms"])
        ours = stamps(sys.executable, "client_lens.py", STAMP_STREAMS)
        for name, (python, script) in field.clients.items():
            for _, theirs in field._tried(name, lambda p=python, s=script: stamps(p, s, STAMP_STREAMS)):
                said = f"a token's stamp is off by (p50), at {STAMP_STREAMS} streams, {STAMP_TIMES} times less"
                row(said, "us", ours["stamp_us"], name, theirs["stamp_us"], most_ratio=STAMP_TIMES)
        cpu(field, folder)


def cpu(field: Field, folder: Path) -> None:
    said = f"CPU a million tokens, flooded over {FLOOD_STREAMS} streams"
    ours = flood_s(lambda url, _: client(sys.executable, "client_lens.py", url, FLOOD_STREAMS))
    for name, (python, script) in field.clients.items():
        theirs = flood_s(lambda url, _, p=python, s=script: client(p, s, url, FLOOD_STREAMS))
        row(said, "s", ours, name, theirs)
    if RUST in field.tools:
        tool, python = TOOLS[RUST], field.tools[RUST]
        row(said, "s", ours, RUST, flood_s(lambda url, n: tool.run(python, url, FLOOD_STREAMS, n, folder)))
        commands(tool, python, folder)


def commands(tool: Tool, python: Path, folder: Path) -> None:
    """The CPU of both commands, start and end included, at several numbers of streams."""
    used = {
        streams: (
            cpu_s(lambda url, _, n=streams: benchmark(url, n, folder), COMMAND_TOKENS),
            cpu_s(lambda url, tokens, n=streams: tool.run(python, url, n, tokens, folder), COMMAND_TOKENS),
        )
        for streams in COMMAND_STREAMS
    }
    few, most = min(used), max(used)
    ours_ms, theirs_ms = [(b - a) * 1e3 / (most - few) for a, b in zip(used[few], used[most], strict=True)]
    also = f"each stream more costs {ours_ms:.2f} ms, the other's {theirs_ms:.2f} ms; the rest is start and end"
    for streams, (ours, theirs) in used.items():
        said = f"CPU of `lll benchmark`, {many(streams)} of {COMMAND_TOKENS} tokens"
        row(said, "s", ours, RUST, theirs, also=also if streams == most else "")


if __name__ == "__main__":
    main()
