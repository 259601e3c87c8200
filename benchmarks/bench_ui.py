"""Claim: `lll ui` lists 10,000 runs within 1 s, compares two of 100,000 requests within 3 s, and costs a benchmark 5 %.

The list is asked for as the browser does, of a folder that was never read; its baseline opens the same files and reads
their first lines. A comparison is asked for when its runs were chosen, which is when they are read; its baseline
decodes the same records. The cost of the live view is the CPU of `lll ui` with a browser's stream open while a
benchmark of 1,000 streams writes its journal, against the CPU of that benchmark.

    python benchmarks/bench_ui.py [--runs N] [--records N] [--streams N] [--folder DIR]
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import msgspec
from bench_reading import INFO, LLL, decoding_s, variant, write
from common import claim

LIST_S, COMPARE_S, LIVE_SHARE = 1.0, 3.0, 0.05
FILTER = "contains(file, '7') and model != 'x'"
SCRIPT = "ttft=200ms,itl=20ms,tokens=100"


@contextmanager
def ui(folder: Path):
    """`lll ui` of a folder: what asks it, and its process."""
    process = subprocess.Popen(
        [*map(str, LLL), "ui", str(folder), "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True
    )
    try:
        url = urllib.parse.urlsplit(process.stdout.readline().strip())

        def ask(path: str, *fields: tuple[str, object]):
            query = urllib.parse.urlencode([*fields, *urllib.parse.parse_qsl(url.query)])
            return urllib.request.urlopen(f"http://{url.netloc}{path}?{query}", timeout=300)

        yield ask, process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def took(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def cpu_of(process: subprocess.Popen) -> float:
    """CPU of a process and its threads so far, s."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def claim_list(folder: Path, runs: int) -> None:
    import numpy as np

    one = variant(np.random.default_rng(1), 0, failing=50, slow=0)
    for number in range(runs):
        path = folder / f"{number // 1000:03}" / f"run-{number:05}.jsonl"
        path.parent.mkdir(exist_ok=True)
        info = msgspec.structs.replace(
            INFO, run_id=f"run-{number}", started_at=f"2026-{1 + number % 12:02}-01T00:00:00Z"
        )
        path.write_bytes(
            msgspec.json.encode(info) + b"\n" + msgspec.json.encode({"request_id": one.request_id}) + b"\n"
        )

    def first_lines() -> None:
        for path in folder.rglob("*.jsonl"):
            with path.open("rb") as file:
                file.readline()

    base_s = took(first_lines)
    with ui(folder) as (ask, process):
        ask("/ui.js").read()
        for name, fields in (
            ("never read before", ()), ("again", ()), ("filtered", (("where", FILTER),)),
        ):  # fmt: skip
            found: list[dict] = []
            spent_s = cpu_of(process)
            took_s = took(
                lambda fields=fields, found=found: found.append(msgspec.json.decode(ask("/api/runs", *fields).read()))
            )
            assert found[0]["all"] == runs
            claim(
                f"lll ui lists {runs:,} runs within {LIST_S:g} s, {name}", took_s, "s",
                baseline="their first lines are read", baseline_figure=base_s, ratio=took_s / base_s,
                holds=took_s < LIST_S, also=f"CPU {cpu_of(process) - spent_s:.2f} s",
            )  # fmt: skip


def claim_compare(folder: Path, records: int) -> None:
    paths = [write(folder / name, records, seed=seed) for seed, name in enumerate(("a.jsonl", "b.jsonl"), 1)]
    base_s = decoding_s(*paths)
    runs = [("run", path.name) for path in paths]
    with ui(folder) as (ask, process):
        read_s = took(lambda: [ask("/api/read", run).read() for run in runs])
        spent_s = cpu_of(process)
        took_s = took(lambda: ask("/view", *runs).read())
        spent_s = cpu_of(process) - spent_s
        claim(
            f"lll ui compares two runs of {records:,} requests within {COMPARE_S:g} s of being asked", took_s, "s",
            baseline="msgspec decodes the same files", baseline_figure=base_s, ratio=took_s / base_s,
            holds=took_s < COMPARE_S, also=f"CPU {spent_s:.1f} s; they were read when they were chosen: {read_s:.1f} s",
            read_s=read_s,
        )  # fmt: skip


def claim_live(folder: Path, streams: int) -> None:
    run = folder / "run.jsonl"
    words = [*LLL, "benchmark", "--provider", "simulator", "-c", str(streams), "--duration", "20s", "--ui", "none"]
    with ui(folder) as (ask, process):
        heard: list[bytes] = []
        Thread(target=lambda: heard.extend(iter(ask("/live").readline, b"")), daemon=True).start()
        before_s = cpu_of(process)
        with subprocess.Popen(
            [*map(str, words), "-H", f"x-lens-script: {SCRIPT}", "-o", str(run)], stdout=subprocess.DEVNULL
        ) as asked:
            _, status, used = os.wait4(asked.pid, 0)
            asked.returncode = os.waitstatus_to_exitcode(status)
        spent_s = cpu_of(process) - before_s
    ticks = [msgspec.json.decode(line[6:]) for line in heard if line.startswith(b"data: ")]
    seen = max((one["requests"] for tick in ticks for one in tick["live"]), default=0)
    base_s = used.ru_utime + used.ru_stime
    claim(
        f"lll ui follows a benchmark of {streams:,} streams for at most {LIVE_SHARE:.0%} of its CPU",
        spent_s / base_s * 100, "%", baseline="the benchmark's own", baseline_figure=100, ratio=spent_s / base_s,
        holds=asked.returncode == 0 and seen > 0 and spent_s <= LIVE_SHARE * base_s,
        also=f"{seen:,} requests seen in {len(ticks)} looks; {spent_s:.2f} s of {base_s:.1f} s",
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    for work, number in ((claim_list, asked.runs), (claim_compare, asked.records), (claim_live, asked.streams)):
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            work(Path(folder), number)
    return 0


if __name__ == "__main__":
    sys.exit(main())
