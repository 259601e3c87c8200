"""Notice another distribution that has the import name `lens` too: of two in one environment one is broken."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from lens.patterns import lazy_pattern

# The folder of metadata that pip leaves beside the package of the distribution "lens".
_OTHER = lazy_pattern(r"lens-[^-]+\.(dist|egg)-info", re.IGNORECASE)


def other_distribution(folder: Path) -> str | None:
    """Return name and version of a distribution `lens` that is installed in this folder of packages, or None."""
    with suppress(OSError):
        for name in os.listdir(folder):
            if _OTHER.fullmatch(name):
                return name.rpartition(".")[0].replace("-", " ")
    return None


def clash_warning(package: str) -> str | None:
    """Return a warning where the package of this file shares its folder with another distribution's; else None."""
    other = other_distribution(Path(package).parent.parent)
    if other is None:
        return None
    return (
        f"the distribution {other} is installed in the same environment and is imported as `lens` too, so files of one "
        "replaced files of the other: uninstall both, and install llm-latency-lens again or in an environment of "
        "its own (pipx install llm-latency-lens, uvx llm-latency-lens)"
    )
