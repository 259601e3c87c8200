"""Which files of a folder are runs.

A folder stands for the run files in it, not for those below it. What begins with a dot, what is not complete and what
is no run is passed over there; a file that is named is never passed over in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from lens.errors import FileError
from lens.history.read import read_header
from lens.history.write import JOURNAL, own_file

SUFFIXES = (".jsonl", ".msgpack", ".json")
MOST_NAMED = 3  # names of what was left out


def run_files(names: Iterable[str]) -> tuple[list[Path], list[str]]:
    """Return the run files that are named, those of a folder by their names, and in words what was left out.

    A file of this program's own that holds no run is left out where others are named.

    Raises:
        FileError: a folder cannot be read, or holds no run file.
    """
    found: list[Path] = []
    own: list[Path] = []
    notes: list[str] = []
    for path in map(Path, names):
        if path.is_dir():
            found += _of_folder(path, notes)
        else:
            (found if own_file(path) is None else own).append(path)
    if not found:
        return own, notes  # and who reads it says what it is
    return found, [*[f"{path} is {own_file(path)}, not a run: left out" for path in own], *notes]


def _of_folder(folder: Path, notes: list[str]) -> list[Path]:
    """Return the run files of a folder; what has their ending and is none is noted."""
    try:
        named = sorted(_named_like_runs(folder))
    except OSError as error:
        raise FileError(f"cannot read {folder}: {error.strerror}") from error
    found: list[Path] = []
    others: list[Path] = []
    unnamed = sum(not is_text(path.name) for path in named)
    for path in named:
        if is_text(path.name):
            (found if _may_be_run(path) else others).append(path)
    if unnamed:
        notes.append(f"{folder}: {unnamed} left out whose names are no UTF-8 text; rename them")
    if not found:
        raise FileError(f"{folder} holds no run file ({', '.join(SUFFIXES)}); --export jsonl or msgpack writes them")
    if others:
        shown = ", ".join(path.name for path in others[:MOST_NAMED])
        more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
        notes.append(f"{folder}: no run, left out: {shown}{more}")
    return found


def is_text(name: str) -> bool:
    """Return whether a file's name is UTF-8, which pages, exports and messages can hold."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _named_like_runs(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder that are named like runs, without journals of runs that are complete."""
    for path in folder.iterdir():
        if path.name.startswith(".") or not path.name.endswith(SUFFIXES) or not path.is_file():
            continue
        if path.name.endswith(JOURNAL) and path.with_name(path.name.removesuffix(JOURNAL)).exists():
            continue
        yield path


def _may_be_run(path: Path) -> bool:
    """Return whether a file has the header of a run; one that cannot be read is told by who reads it."""
    with suppress(OSError):
        return read_header(path) is not None
    return True
