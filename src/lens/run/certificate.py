"""Keep the certificate of the last self-test on this machine, so that later runs carry the instrument's own error.

A small file in the user's cache. It counts for a run only while machine, kernel, processors and Python are the same;
a cache that cannot be read or written is no error: then runs carry no certificate.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import msgspec

from lens.clocks import Machine
from lens.columns import UNREADABLE
from lens.errors import FileError
from lens.history.write import NewFile
from lens.model import RunInfo

# What must not have changed since; the clock's cost is measured anew each time and may differ.
_SAME = ("hostname", "system", "kernel", "cpus", "python")


def _file() -> Path:
    """After the XDG base directory specification."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "llm-latency-lens" / "selftest.json"


def remember(certificate: Any) -> None:
    """Keep the certificate of a self-test (a Calibration) for later runs, if it measured the instrument.

    Errors that a busy machine made are not the instrument's: of such a self-test nothing is kept.
    """
    if certificate.disturbed or not any(case.tokens for case in certificate.cases):
        return
    path = _file()
    with contextlib.suppress(OSError, FileError, RuntimeError):  # RuntimeError: a user without a home
        path.parent.mkdir(parents=True, exist_ok=True)
        with NewFile(path, force=True) as file:
            file.write(msgspec.json.encode(certificate))


def recall(machine: Machine | None) -> dict[str, Any] | None:
    """Return the certificate that was kept; None if there is none, or something has changed since."""
    try:
        found = msgspec.json.decode(_file().read_bytes(), type=dict[str, Any])
        kept = msgspec.convert(found.get("machine"), Machine)
    except (OSError, RuntimeError, *UNREADABLE):
        return None
    if machine is None or any(getattr(kept, name) != getattr(machine, name) for name in _SAME):
        return None
    return found


def calibrated(info: RunInfo) -> RunInfo:
    """Return the header with the instrument's own error in it, where a self-test found it."""
    known = recall(info.machine) if info.calibration is None else None
    return info if known is None else msgspec.structs.replace(info, calibration=known)
