"""The run files that a command was given, by name or as a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lens.cli.echo import echo


def saved_runs(names: Sequence[str]) -> list[Path]:
    """Return the run files that are named, those of a folder too; what is left out is said on standard error.

    Raises:
        FileError: a folder holds none.
    """
    from lens.history.files import run_files

    paths, notes = run_files(names)
    for note in notes:
        echo(f"lll: {note}", err=True)
    return paths
