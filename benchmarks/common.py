"""What the benchmarks share: the line each claim prints, processes held to a core, and runs of this instrument."""

import json
import os
import platform
import resource
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import trio

from lens.config.settings import LoadConfig, RunConfig, TargetConfig
from lens.orchestrator.engine import run_plan
from lens.orchestrator.plan import make_plan

# Environments of other makers' clients, made on the first run.
PEERS = Path(__file__).resolve().parent.parent / "build" / "peers"
MACHINE = {"cpus": os.cpu_count(), "python": platform.python_version(), "kernel": platform.release()}


def claim(
    said: str,
    figure: float,
    unit: str,
    *,
    baseline: str,
    baseline_figure: float,
    ratio: float,
    holds: bool,
    also: str = "",
    **more: Any,
) -> None:
    """Prints one line of JSON; `also` is shown under the claim, `more` only kept."""
    row = {
        "claim": said,
        "figure": round(figure, 4),
        "unit": unit,
        "baseline": baseline,
        "baseline_figure": round(baseline_figure, 4),
        "ratio": round(ratio, 2),
        "holds": holds,
        "also": also,
        **more,
        "machine": MACHINE,
    }
    print(json.dumps(row), flush=True)


def first_core() -> int:
    """Where clients run; servers run on the last."""
    return min(os.sched_getaffinity(0))


def last_core() -> int:
    return max(os.sched_getaffinity(0))


def pinned(command: Sequence[Any]) -> dict:
    """The JSON that a command prints, run on the first core."""
    done = subprocess.run(
        [str(word) for word in command],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=300,
        preexec_fn=lambda: os.sched_setaffinity(0, {first_core()}),
    )
    return json.loads(done.stdout)


def cpu_s() -> float:
    """Of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measured_run(
    url: str,
    ca_file: str | None = None,
    *,
    on_planned: Callable[[], object] | None = None,
    on_first: Callable[[], object] | None = None,
    **load: Any,
) -> list:
    """Records of a run of this instrument, in this process; `load` as the config file's section.

    on_planned: called when all is loaded and planned, before the first connect; on_first: at the first record.
    """
    target = TargetConfig(provider="simulator", model="bench", base_url=f"{url}/v1", cacert=ca_file, proxy="")
    plan = make_plan(RunConfig(targets=(target,), load=LoadConfig(**load)), {})
    records: list = []

    def keep(record: Any) -> None:
        if not records and on_first is not None:
            on_first()
        records.append(record)

    if on_planned is not None:
        on_planned()
    trio.run(lambda: run_plan(plan, on_record=keep))
    return records


def percentile(values: Sequence[float], p: float) -> float:
    """The value that p % do not pass."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * p / 100), len(ordered) - 1)]
