"""Claims: a token of the prompt is priced within 1 %, and the time of a task within 0.1 ms of the server's log.

Synthetic sessions are sent to a simulator with a prefix cache whose prefill takes a known time by cached and uncached
token. TTFT = a + b x uncached + c x cached is fitted to the records; the coefficients of the script are the truth. The
time of a task is compared with the simulator's log: from the last byte of a session's first request to the send of its
last event. Client on the first core, simulator on the last. Prints one line of JSON a claim.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from common import claim, first_core, last_core, percentile

BASE_MS, UNCACHED_US, CACHED_US = 40.0, 100.0, 20.0
SESSIONS, LANES = 60, 2
SCRIPT = {
    "ttft": f"{BASE_MS}ms", "prefill": f"{UNCACHED_US}us", "cached_prefill": f"{CACHED_US}us", "itl": "1ms",
    "tokens": 10, "cache": 10_000_000,
}  # fmt: skip
LOAD = ["--turns", "5", "--turn-tokens", "50-1500", "--output-tokens", "10", "--think", "20ms", "--tools", "0.3:50ms"]


def run(url: str, path: Path) -> None:
    words = ["-m", "lens", "benchmark", "--base-url", f"{url}/v1", "--model", "m", "--session-header", "X-Session-ID"]
    words += ["-n", str(SESSIONS), "-c", str(LANES), *LOAD, "-e", "jsonl", "-o", str(path)]
    subprocess.run(["taskset", "-c", str(first_core()), sys.executable, *words], check=True, capture_output=True)


def logged_ms(entries: list[dict]) -> dict[str, float]:
    """Of each session the time from its first request to its last event."""
    first, last = {}, {}
    for entry in entries:
        if entry["session"] is not None:
            first.setdefault(entry["session"], entry["request_complete_ns"])
            last[entry["session"]] = entry["events"][-1][1]
    return {session: (last[session] - first[session]) / 1e6 for session in first}


def main() -> None:
    from lens.metrics.builder import read_table
    from lens.metrics.summarize import prefill_fit
    from lens.simulator import make_script, start

    with tempfile.TemporaryDirectory() as folder:
        path, log = Path(folder) / "run.jsonl", Path(folder) / "log.jsonl"
        with start(make_script(**SCRIPT), cpu=last_core(), spin_us=200, log_file=str(log)) as server:
            run(server.url, path)
        table, _ = read_table(path)
        truth = logged_ms([json.loads(line) for line in log.read_text().splitlines()])
    found = prefill_fit(table.measured())
    for name, one, true, unit in (
        ("a", found.base_ms, BASE_MS, "ms"), ("b", found.uncached_us, UNCACHED_US, "us"),
        ("c", found.cached_us, CACHED_US, "us"),
    ):  # fmt: skip
        off = abs(one.value / true - 1)
        claim(
            f"of TTFT = a + b x uncached + c x cached, {name} is found within",
            100 * off,
            "%",
            baseline=f"{name} of the script, {unit}",
            baseline_figure=true,
            ratio=one.value / true,
            holds=off <= 0.01,
            also=f"{one.value:.4f} {unit}, 95 % interval {one.low:.4f} to {one.high:.4f}; {found.requests} requests",
        )
    took, sessions = table.metric("task_ms"), table.codes("session_id").listed()
    measured = {session: ms for session, ms in zip(sessions, took.tolist(), strict=True) if ms == ms}
    off_ms = [abs(measured[session] - ms) for session, ms in truth.items() if session in measured]
    claim(
        "the time of a task differs from the server's log by (median)",
        percentile(off_ms, 50),
        "ms",
        baseline="the task, mean",
        baseline_figure=sum(truth.values()) / len(truth),
        ratio=percentile(off_ms, 50) / (sum(truth.values()) / len(truth)),
        holds=percentile(off_ms, 50) <= 0.1 and len(off_ms) == SESSIONS,
        also=f"p95 {percentile(off_ms, 95):.3f} ms; {len(off_ms)} sessions of 5 turns; sending and receiving included",
    )


if __name__ == "__main__":
    main()
