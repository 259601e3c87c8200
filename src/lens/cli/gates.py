"""Gates: --threshold, --threshold-ttft, --threshold-tps and --sla, read before measuring, evaluated after it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lens.cli.command import Option
from lens.cli.options import NUMBER
from lens.errors import ConfigError, FileError, did_you_mean

if TYPE_CHECKING:
    from lens.analysis.gates.sla import Gate

_gate = partial(Option, group="Gates")
GATES = (
    _gate("--threshold", multiple=True, metavar="'M<X'",
        help="Threshold, repeatable; exit code 3 if it is not met: 'ttft_p95<1000' (in quotes), or ttft_p95:1000. "
        "Followed by abort=30s, the run stops when it is not met after 30 s."),
    _gate("--threshold-ttft", type=NUMBER, metavar="MS", help="Threshold of the mean TTFT, in ms."),
    _gate("--threshold-tps", type=NUMBER, metavar="N",
        help="Threshold of the tokens per second of a request, at least."),
    _gate("--sla", metavar="FILE|NAME",
        help="SLA: thresholds from a file (YAML, TOML or JSON), for all targets or per target; or by name: "
        "interactive, chat, batch, mlperf-interactive, mlperf-server."),
)  # fmt: skip


def gates_said(ctx: click.Context, also: Sequence[str] = (), *, saved: bool = False) -> tuple[Gate, ...]:
    """Return the gates of the flags and of `also`, from the config file. saved: the run is over and cannot be ended.

    Raises:
        ConfigError: one is none, or would end a run that is over. FileError: the SLA file cannot be read.
    """
    said = ctx.params
    texts = [*also, *said.get("threshold", ())]
    if said.get("threshold_ttft") is not None:
        texts.append(f"ttft<={said['threshold_ttft']!r}")
    if said.get("threshold_tps") is not None:
        texts.append(f"tokens_per_second>={said['threshold_tps']!r}")
    file = said.get("sla")
    if not texts and not file:
        return ()
    from lens.analysis.gates.sla import Gate
    from lens.analysis.gates.thresholds import parse_threshold

    gates = [Gate(threshold=parse_threshold(text)) for text in texts]
    if saved and (aborting := [gate for gate in gates[len(also) :] if gate.threshold.abort_ns is not None]):
        raise ConfigError(f"--threshold '{aborting[0].threshold}' abort: a saved run is over; leave out abort")
    return (*gates, *(_of_sla(file) if file else ()))


def _of_sla(said: str) -> tuple[Gate, ...]:
    """Return the gates of a built-in SLA, or of a file."""
    from lens.analysis.gates.presets import SLAS, sla_named

    if said in SLAS:
        return sla_named(said).gates()
    path = Path(said)
    if not path.suffix and not path.exists():
        hint = did_you_mean(said, SLAS, otherwise=f"built in are {', '.join(SLAS)}")
        raise ConfigError(f"--sla {said}: there is no such file, and no SLA of that name; {hint}")
    return _of_file(path)


def configured_thresholds(ctx: click.Context) -> tuple[str, ...]:
    """Return the thresholds of the config file, which is where a run's own gates stand too.

    Raises:
        ConfigError: the file has an unknown key; FileError: it cannot be read.
    """
    file = ctx.params["config"] or (ctx.obj or {}).get("config") or os.environ.get("LLL_CONFIG_FILE")
    if not file:
        return ()
    from lens.config.file import read_tree

    return tuple(str(text) for text in read_tree(Path(file), os.environ).get("thresholds", ()))


def _of_file(path: Path) -> tuple[Gate, ...]:
    from lens.analysis.gates.sla import gates_of
    from lens.config.file import parsed

    try:
        return gates_of(parsed(path))
    except FileError as error:
        raise FileError(str(error).replace("config file", "--sla", 1)) from None
    except ConfigError as error:
        raise ConfigError(f"--sla {path}: {str(error).removeprefix(f'config file {path}: ')}") from None


def worse(measured: int, gate: int) -> int:
    """Return one exit code: that nothing was measured, or the run was broken off, says more than a gate that failed."""
    return measured or gate
