"""Claim: a command that reads a run file costs at most 3.5 x the CPU of decoding its records with msgspec.

The commands are run as a user types them, from the file to the page, as processes of their own; the baseline
decodes the same file's records and does nothing else, in a process of the same moment. The records are like
those of a run against a chat endpoint: kept connections, some failures, thinking, cached prompts, gaps with a
tail, tokens that come in pairs, prices from the book that ships. That the cost is linear is shown by files of
four times the size, with many outliers, and with many failures in many groups; that memory is bounded, by
--records requests (1,000,000). The end of `benchmark` is what follows the last request, from the spool to the page
and the files, held to the same baseline.

    python benchmarks/bench_reading.py [--records N] [--small N] [--folder DIR]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import uuid
from array import array
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from common import claim

from lens.export.formats import format_named, open_export
from lens.history.read import RunStream
from lens.history.write import MAGIC, json_line, message
from lens.metrics.builder import table_of
from lens.metrics.summarize import summarize
from lens.model import Connection, Events, Failure, Record, RunInfo, Signal, Stamps, Status, Target, TcpInfo, Usage
from lens.pricing import standard_book

ONE_FILE, JSONL = 3.5, 6.0  # times decoding
MOST_BYTES = 3 << 29  # 1.5 GiB
TWO_FILES_BYTES = 5 << 29  # 2.5 GiB
EVENTS = 20
VARIANTS = 2000  # different records; each is written many times, with stamps of its own
MS = 1_000_000
BEGAN = datetime(2025, 11, 7, 18, 30, tzinfo=UTC)
TEXT, REASONING, LAST = int(Signal.TEXT), int(Signal.REASONING), int(Signal.FINISH | Signal.USAGE)
INFO = RunInfo(
    schema=2, version="0", run_id="bench", started_at="2025-11-07T18:30:00Z", started_ns=0,
    targets=(Target(provider="openai", model="gpt-4o-mini", url="https://api.example/v1"),),
)  # fmt: skip


def variant(chance: np.random.Generator, number: int, *, failing: int, slow: int) -> Record:
    """One answer: first token after some 300 ms, then a token or two about every 15 ms."""
    gaps = chance.lognormal(np.log(15 * MS), 0.4, EVENTS + 1)
    gaps[0] = chance.lognormal(np.log(300 * MS), 0.3)
    at = np.cumsum(gaps).astype(np.int64)
    thinks = number % 5 == 0
    kinds = [REASONING if thinks and i < 6 else TEXT for i in range(EVENTS)] + [LAST]
    fails = number % failing == 0
    if slow and number % slow == 0:
        at += 20_000 * MS
    return Record(
        request_id=str(uuid.UUID(int=number)),
        index=number,
        provider="openai",
        stage=f"stage {number % 40}" if slow else None,
        model="gpt-4o-mini",
        timestamp="2025-11-07T18:30:00.000000Z",
        stamps=Stamps(
            start=0, intended=-int(chance.integers(0, 90_000)), send_start=40_000, send_end=60_000,
            first_byte=int(at[0]) - 100_000, head_end=int(at[0]) - 90_000, end=int(at[-1]),
        ),
        status=Status.NETWORK_ERROR if fails else Status.SUCCESS,
        category="truncated" if fails else "success",
        failure=Failure(message="the connection ended inside the stream") if fails else None,
        events=Events(
            arrived_ns=array("q", at.tolist()),
            lag_ns=array("q", chance.integers(5_000, 60_000, EVENTS + 1).tolist()),
            signals=array("H", kinds),
            chars=array("I", [*chance.integers(1, 9, EVENTS).tolist(), 0]),
            read=array("I", range(EVENTS + 1)),
        ),
        connection=Connection(
            reused=number % 100 != 1, peer="192.0.2.1:443", family="ipv4", tls_version="TLSv1.3",
            tls_cipher="TLS_AES_256_GCM_SHA384", alpn="http/1.1", verified=True,
            tcp_at_send=TcpInfo(rtt_us=8300, min_rtt_us=7900), tcp_at_end=TcpInfo(rtt_us=8400, min_rtt_us=7900),
        ),
        http_status=200,
        usage=None if fails else Usage(
            input_tokens=int(chance.integers(50, 4000)), output_tokens=EVENTS * (2 if number % 2 else 1),
            cache_read_tokens=40 if number % 3 else 0, reasoning_tokens=6 if thinks else 0,
        ),
        token_source="usage",
        finish_reason="stop",
        served_model="gpt-4o-mini-2024-07-18",
        stamp_kind="kernel",
        wire_bytes=6000,
        headers={"content-type": "text/event-stream", "server": "cloudflare"},
        provider_request_id="req_0123456789abcdef",
    )  # fmt: skip


def write(path: Path, records: int, *, seed: int = 1, failing: int = 50, slow: int = 0) -> Path:
    """A run at 200 requests a second, as `-e jsonl` or `-e msgpack` writes it.

    Every `failing`-th request fails; every `slow`-th takes 20 s longer, and the run has 40 stages.
    """
    chance = np.random.default_rng(seed)
    variants = [variant(chance, number, failing=failing, slow=slow) for number in range(VARIANTS)]
    packed = path.suffix == ".msgpack"
    lines: list[dict] = []
    if not packed:
        table = table_of(variants, INFO, standard_book())
        export = open_export(format_named("jsonl"), INFO, standard_book())
        text = b"".join(export.write(table, INFO, summarize(table))).splitlines()[1:-1]
        lines = [msgspec.json.decode(line) for line in text]
    with path.open("wb") as out:
        out.write(MAGIC + message(INFO) if packed else json_line(INFO))
        for number in range(records):
            place = number * 7919 % VARIANTS
            start = number * 5 * MS
            moved = {
                name: start + at
                for name, at in msgspec.structs.asdict(variants[place].stamps).items()
                if at is not None
            }
            own = {
                "request_id": str(uuid.UUID(int=seed << 64 | number)),
                "index": number,
                "timestamp": f"{BEGAN + timedelta(milliseconds=5 * number):%Y-%m-%dT%H:%M:%S.%fZ}",
            }
            if packed:
                out.write(message(msgspec.structs.replace(variants[place], stamps=Stamps(**moved), **own)))
            else:
                out.write(json_line({**lines[place], "stamps": moved, **own}))
    return path


def decode(paths: Sequence[Path]) -> None:
    """In a process of its own: decode the records of these files, and say what CPU that took."""
    began = time.process_time()
    for path in paths:
        with RunStream(path) as stream:
            for _ in stream:
                pass
    print(time.process_time() - began)


class Cost(NamedTuple):
    """What a process took."""

    cpu_s: float
    peak_bytes: int


def cost_of(*words: object) -> Cost:
    """Run a command to its end, its page thrown away."""
    command = [str(word) for word in words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        said = process.stderr.read() if process.stderr else b""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 3):  # 3: a gate failed, which is a verdict
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {said.decode()[-800:]}")
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


def decoding_s(*paths: Path) -> float:
    done = subprocess.run(
        [sys.executable, __file__, "--decode", *paths], stdout=subprocess.PIPE, text=True, check=True, timeout=900
    )
    return float(done.stdout)


LLL = (sys.executable, "-m", "lens")


def commands(run: Path, other: Path, folder: Path) -> dict[str, tuple[tuple[Path, ...], tuple[object, ...]]]:
    """What users type, by how it is shown: the files it reads, and its words."""
    return {
        "analyze RUN": ((run,), ("analyze", run)),
        "analyze RUN --by stage": ((run,), ("analyze", run, "--by", "stage")),
        "analyze RUN --where": ((run,), ("analyze", run, "--where", "ttft_ms > 300 and status == 'Success'")),
        "report RUN": ((run,), ("report", run, "-o", folder / "page.html", "--force")),
        "explain ttft_ms RUN": ((run,), ("explain", "ttft_ms", run)),
        "compare RUN RUN": ((run, other), ("compare", run, other)),
        "analyze RUN --baseline RUN": ((run, other), ("analyze", run, "--baseline", other)),
    }


def claim_costs(run: Path, other: Path, folder: Path, kind: str) -> None:
    for shown, (paths, words) in commands(run, other, folder).items():
        base_s = decoding_s(*paths)
        found = cost_of(*LLL, *words)
        ratio = found.cpu_s / base_s
        claim(
            f"lll {shown}, {kind}: CPU at most {ONE_FILE} x decoding the records", found.cpu_s, "s",
            baseline="msgspec decodes the same files", baseline_figure=base_s, ratio=ratio, holds=ratio <= ONE_FILE,
            also=f"peak {found.peak_bytes / (1 << 20):.0f} MiB", peak_bytes=found.peak_bytes,
        )  # fmt: skip


ENDS = {None: ONE_FILE, "csv": ONE_FILE, "parquet": ONE_FILE, "prometheus": ONE_FILE, "html": ONE_FILE, "jsonl": JSONL}


def finish(run: Path, name: str | None) -> None:
    """In a process of its own: what `benchmark` does when its last request has ended, and what CPU that took."""
    import io

    from rich.console import Console

    from lens.config.settings import LoadConfig
    from lens.orchestrator.run_state import Outcome
    from lens.report.run import print_report
    from lens.run.journal import Journal
    from lens.run.outputs import Destination, Outputs
    from lens.run.result import Judging, RunResult

    journal, book = Journal(), standard_book()
    journal.add(INFO)
    with RunStream(run) as stream:
        for record in stream:
            journal.add(record)
    journal.finish()
    with tempfile.TemporaryDirectory(dir=run.parent) as folder:
        formats = [] if name is None else [format_named(name)]
        places = [Destination(one, Path(folder) / f"out{one.suffix}") for one in formats]
        with Outputs(places, book, force=False, single=False, save_text=False) as outputs:
            began = time.process_time()
            outputs.on_start(INFO)
            outcome = Outcome(started_ns=0, ended_ns=1, requests=1)
            result = RunResult(INFO, outcome, journal, load=LoadConfig(), judging=Judging(book))
            outputs.on_end(result)
            print_report(Console(file=io.StringIO(), width=100), result.summary, INFO, [], table=result.table)
            took_s = time.process_time() - began
    print(took_s)


def claim_end(packed: Path, run: Path, records: int) -> None:
    base_s = decoding_s(run)
    for name, most in ENDS.items():
        words = [sys.executable, __file__, "--finish", packed, *([name] if name else [])]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, timeout=900)
        took_s = float(done.stdout)
        claim(
            f"the end of lll benchmark{f' -e {name}' if name else ''}, {records:,} requests: CPU at most {most} x "
            "decoding the records", took_s, "s", baseline="msgspec decodes the same requests", baseline_figure=base_s,
            ratio=took_s / base_s, holds=took_s <= most * base_s,
        )  # fmt: skip


def claim_memory(run: Path, other: Path, folder: Path, records: int) -> None:
    for shown, (paths, words) in commands(run, other, folder).items():
        base_s = decoding_s(*paths)
        most = MOST_BYTES if len(paths) == 1 else TWO_FILES_BYTES
        found = cost_of(*LLL, *words)
        claim(
            f"lll {shown} of {records:,} requests needs less than {most / (1 << 30)} GiB", found.peak_bytes / (1 << 20),
            "MiB", baseline="the claim", baseline_figure=most / (1 << 20), ratio=found.peak_bytes / most,
            holds=found.peak_bytes < most,
            also=f"CPU {found.cpu_s:.1f} s, {found.cpu_s / base_s:.2f} x decoding ({base_s:.1f} s)",
        )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=1_000_000, help="of the run whose memory counts; 0: none")
    parser.add_argument("--small", type=int, default=25_000, help="of the smallest run")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--decode", type=Path, nargs="+")
    parser.add_argument("--finish", nargs="+", metavar="RUN [FORMAT]")
    asked = parser.parse_args()
    if asked.finish:
        finish(Path(asked.finish[0]), asked.finish[1] if len(asked.finish) > 1 else None)
        return 0
    if asked.decode:
        decode(asked.decode)
        return 0
    small, large = asked.small, asked.small * 4
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        for kind, number, how in (
            (f"{small:,} requests", small, {}),
            (f"{large:,} requests", large, {}),
            (f"{large:,} requests, 5 % of them outliers, 40 stages", large, {"slow": 20}),
            (f"{large:,} requests, half of them failed", large, {"failing": 2}),
        ):
            run = write(folder / "run.jsonl", number, **how)
            other = write(folder / "other.jsonl", number, seed=2, **how)
            claim_costs(run, other, folder, kind)
        run = write(folder / "run.jsonl", large)
        claim_end(write(folder / "run.msgpack", large), run, large)
        if asked.records:
            run, other = (write(folder / f"{n}.msgpack", asked.records, seed=n) for n in (1, 2))
            claim_memory(run, other, folder, asked.records)
    return 0


if __name__ == "__main__":
    sys.exit(main())
