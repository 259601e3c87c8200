"""What the last self-test found on this machine, kept so that later runs can say it.

A small file in the user's cache. It speaks for a run only while machine, kernel, processors and
Python are still the same; a cache that cannot be read or written is no error, only no memory.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from lens.model import UNREADABLE, Machine, RunInfo

if TYPE_CHECKING:
    from lens.calibration import Calibration

# What must not have changed since; the clock's cost is measured anew each time and may differ.
_SAME = ("hostname", "system", "kernel", "cpus", "python")


def _file() -> Path:
    """After the XDG base directory specification."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "llm-latency-lens" / "selftest.json"


def remember(found: Calibration) -> None:
    """Keep it for later runs, if it measured anything."""
    if not any(case.tokens for case in found.cases):
        return
    path = _file()
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: a user without a home
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_bytes(msgspec.json.encode(found))
        partial.replace(path)


def recall(machine: Machine | None) -> dict[str, Any] | None:
    """What a self-test found here, None when none was kept or something has changed since."""
    try:
        found = msgspec.json.decode(_file().read_bytes(), type=dict[str, Any])
        kept = msgspec.convert(found.get("machine"), Machine)
    except (OSError, RuntimeError, *UNREADABLE):
        return None
    if machine is None or any(getattr(kept, name) != getattr(machine, name) for name in _SAME):
        return None
    return found


def calibrated(info: RunInfo) -> RunInfo:
    """The run's header with the instrument's own error in it, where that is known."""
    known = recall(info.machine) if info.calibration is None else None
    return info if known is None else msgspec.structs.replace(info, calibration=known)
