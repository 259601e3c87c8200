"""Make the header of a run (RunInfo): settings, machine, clock, version.

Nothing secret gets in: keys are
left out, header values that may be keys are hidden, a proxy loses its credentials.
"""

from __future__ import annotations

import os
import platform
import uuid
from typing import Any

import msgspec

from lens._core.clock import cost_ns, now_ns, resolution_ns
from lens.clocks import Machine
from lens.config.secret_settings import without_secrets
from lens.config.settings import RunConfig, TargetConfig
from lens.model import SCHEMA, RunInfo
from lens.orchestrator.collect import timestamp_of
from lens.orchestrator.plan import Plan
from lens.orchestrator.wall_clock import read_wall_clock, with_moved
from lens.secrets import MASK
from lens.wire import Secret


def run_info(
    plan: Plan, *, command: str = "", started_ns: int | None = None, prices: dict[str, Any] | None = None
) -> RunInfo:
    """Return the header of a run that is about to start; `command` must hold no secret.

    prices: those that were given for the run, as pricing.run_prices packs them.
    """
    return msgspec.structs.replace(
        new_run_info(started_ns),
        targets=tuple([target.info for target in plan.targets]),
        command=command,
        config=settings_of(plan.config),
        labels=plan.config.labels,
        wall_clock=read_wall_clock(),
        prices=prices or {},
    )


def new_run_info(started_ns: int | None = None) -> RunInfo:
    """Return a header without targets: this program on this machine, from a time of the monotonic clock on (now)."""
    from lens._version import __version__

    at_ns = started_ns if started_ns is not None else now_ns()
    return RunInfo(
        schema=SCHEMA,
        version=__version__,
        run_id=str(uuid.uuid4()),
        started_at=timestamp_of(at_ns),
        started_ns=at_ns,
        targets=(),
        machine=machine(),
    )


def with_end(info: RunInfo, *, started_ns: int, ended_ns: int, warnings: tuple[str, ...] = ()) -> RunInfo:
    """Return the header with the run's start and end (monotonic clock, ns) and its warnings."""
    return msgspec.structs.replace(
        info,
        started_at=timestamp_of(started_ns),
        started_ns=started_ns,
        ended_at=timestamp_of(ended_ns),
        ended_ns=ended_ns,
        warnings=(*info.warnings, *warnings),
        wall_clock=with_moved(info.wall_clock) if info.wall_clock is not None else None,
    )


def machine() -> Machine:
    """Return where this runs, and what its clock can do."""
    system = platform.uname()
    return Machine(
        hostname=system.node,
        system=system.system,
        kernel=system.release,
        cpus=usable_cpus(),
        python=platform.python_version(),
        clock_resolution_ns=resolution_ns(),
        clock_cost_ns=round(cost_ns()),
    )


def usable_cpus() -> int:
    """Processors that this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def settings_of(config: RunConfig) -> dict[str, Any]:
    """Return the settings as plain data without secrets; what was left at its default is left out."""
    plain = msgspec.to_builtins(config, enc_hook=_hide)
    bare = msgspec.to_builtins(RunConfig(), enc_hook=_hide)
    kept = {k: v for k, v in plain.items() if v != bare[k]}
    for section in ("load", "prompts", "output"):
        if section in kept:
            kept[section] = {k: v for k, v in kept[section].items() if v != bare[section][k]}
    kept["targets"] = [_bare_target(target) for target in plain["targets"]]
    found: dict[str, Any] = without_secrets(kept)
    return found


def _hide(value: object) -> str:
    if isinstance(value, Secret):
        return MASK
    raise TypeError(f"cannot encode {type(value).__name__}")


def _bare_target(target: dict[str, Any]) -> dict[str, Any]:
    default = msgspec.to_builtins(TargetConfig(provider=""))
    return {k: v for k, v in target.items() if k not in ("api_key", "api_key_command") and v != default[k]}
