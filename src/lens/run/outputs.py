"""The files that a run's exports go to, or standard output; a file gets its name only when it is complete.

Everything is opened before the first request, so that a file that cannot be written, or must not be replaced, is
found out before anything is sent.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from lens.config.settings import OutputConfig, RunConfig
from lens.errors import ConfigError, FileError, LensError
from lens.export.formats import Export, Format, format_named, open_export
from lens.history.write import NewFile
from lens.model import Record, RunInfo
from lens.orchestrator.collect import without_arguments
from lens.pricing import PriceBook
from lens.run.result import RunResult
from lens.run.sink import Sink

# Characters of a file name that say what was measured; with time and suffixes file systems take 255.
MOST_NAME = 120


class Destination(NamedTuple):
    """Where one format is written to."""

    format: Format
    path: Path | None  # None: standard output
    numbered: bool = False  # the name is ours: take the next one where it is taken


class OpenPlaces:
    """The files of several destinations while they are written; a context manager.

    Leaving by an exception keeps what was written, as .partial.
    """

    def __init__(self, places: Iterable[Destination], *, force: bool) -> None:
        """force: replace files that exist."""
        self._places, self._force = tuple(places), force
        self._stack = ExitStack()
        self._files: list[NewFile | None] = []

    def __iter__(self) -> Iterator[tuple[Destination, NewFile | None]]:
        """Return each destination with its open file; None: standard output."""
        return zip(self._places, self._files, strict=True)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def formats(self) -> tuple[Format, ...]:
        """The formats that are written."""
        return tuple([place.format for place in self._places])

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, complete or not."""
        if self._files:
            return tuple([file.path for file in self._files if file])
        return tuple([place.path for place in self._places if place.path])

    def __enter__(self) -> Self:
        """
        Raises:
            FileError: a file exists, or cannot be written.
        """
        with ExitStack() as stack:
            for place in self._places:
                path, numbered = place.path, place.numbered
                file = NewFile(path, force=self._force, numbered=numbered) if path else None
                self._files.append(stack.enter_context(file) if file else None)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def close(self) -> None:
        """Give the files their names: they are complete."""
        self._stack.close()


def write_piece(file: NewFile | None, piece: bytes) -> None:
    """Write to a file, or to standard output at once."""
    if file is not None:
        file.write(piece)
        return
    try:
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    except OSError as error:
        raise FileError(f"cannot write to standard output: {error.strerror}") from error


class Outputs(Sink):
    """All export files of one run; a context manager. Leaving by an exception keeps what was written, as .partial."""

    def __init__(
        self, places: Iterable[Destination], book: PriceBook, *, force: bool, single: bool, save_text: bool
    ) -> None:
        """
        force: replace files that exist.
        single: the run is one request, and a format may show it without a list around it.
        save_text: write the texts of answers too.
        """
        self._open = OpenPlaces(places, force=force)
        self._book, self._single, self._save_text = book, single, save_text
        self._exports: list[Export] = []
        self.trouble: str | None = None  # why the outputs are not complete

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, complete or not."""
        return self._open.paths

    def __enter__(self) -> Self:
        """
        Raises:
            FileError: a file exists, or cannot be written.
        """
        self._open.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def on_start(self, info: RunInfo) -> None:
        """Load each format.

        Raises:
            ConfigError: a format's library is missing.
        """
        self._exports = [open_export(one, info, self._book, single=self._single) for one in self._open.formats]

    def on_end(self, result: RunResult) -> None:
        """Write the run in every format and complete the files, or say in `trouble` why that failed."""
        if not len(self._open):
            return
        try:
            for (place, file), export in zip(self._open, self._exports, strict=True):
                few = place.format.of_records
                table, summary = (result.listed, result.warned) if few else (result.table, result.summary)
                if not self._save_text:
                    table = table.with_records(without_text)
                for piece in export.write(table, result.info, summary):
                    write_piece(file, piece)
            self._open.close()
        except Exception as error:  # also a lack of memory, and an export of a plugin: what was measured is rescued
            self._open.__exit__(type(error), error, error.__traceback__)
            self.trouble = _trouble_of(error)


def _trouble_of(error: Exception) -> str:
    """Return why an output is not complete, in words."""
    if isinstance(error, LensError):
        return str(error)
    if isinstance(error, MemoryError):
        return "no memory is left to make the outputs; lll recover or lll report can make them where there is more"
    return f"an output cannot be made: {type(error).__name__}: {error}"


def destinations(
    config: RunConfig, file: str | None = None, *, own: Mapping[str, Format] | None = None
) -> list[Destination]:
    """Return a place for each export: `file`, its own file, a file in the output folder, standard output.

    file: the one output of a command; "-" is standard output. own: formats that the command writes itself.

    Raises:
        ConfigError: a format is unknown, two want standard output, or two want the same file.
        FileError: the output folder cannot be made.
    """
    output = config.output
    known = own or {}
    formats = [(known.get(e.format) or format_named(e.format), e.file) for e in output.exports if e.endpoint is None]
    several = len(formats) > 1
    name = run_name(config, f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    found = [
        Destination(chosen, _path(output, file, chosen, own, name, several=several), numbered=not (file or own))
        for chosen, own in formats
    ]
    if sum(place.path is None for place in found) > 1:
        raise ConfigError("several formats cannot share standard output; give --output FILE or --output-dir DIR")
    paths = [place.path for place in found if place.path]
    if len(set(paths)) < len(paths):
        raise ConfigError(f"two outputs are to be written to {paths[0]}; name each format once")
    return found


def uses_stdout(output: OutputConfig, file: str | None = None) -> bool:
    """Return whether standard output belongs to an export or to the real-time lines."""
    return output.real_time or exports_to_stdout(output, file)


def exports_to_stdout(output: OutputConfig, file: str | None = None) -> bool:
    """Return whether standard output belongs to an export."""
    to_files = file not in (None, "-") or output.dir is not None
    return any(e.endpoint is None and (file == "-" or not (to_files or e.file)) for e in output.exports)


def run_name(config: RunConfig, time: str) -> str:
    """Return the name of a run's files, without a suffix: what was measured, and when."""
    target = config.targets[0]
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", f"{target.provider}-{target.model}").strip("-.")
    if len(plain) > MOST_NAME:  # the end of a path says more than its beginning
        plain = f"{plain[: MOST_NAME // 3]}-{plain[-MOST_NAME * 2 // 3 :]}"
    return f"{plain}-{time}"


def without_text(record: Record) -> Record:
    """Return the record without the texts of its answer, as it goes into a file unless texts are asked for."""
    return msgspec.structs.replace(
        record, text=None, reasoning=None, choices=None, tool_calls=without_arguments(record.tool_calls)
    )


def _path(
    output: OutputConfig, file: str | None, chosen: Format, own: str | None, name: str, *, several: bool
) -> Path | None:
    if file == "-":
        return None
    if file:
        path = Path(file)
        return path.with_name(path.stem + chosen.suffix) if several else path
    if own:
        return Path(own)
    if output.dir is None:
        return None
    folder = Path(output.dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise FileError(f"--output-dir {folder}: cannot be made: {getattr(error, 'strerror', error)}") from error
    return folder / f"{name}{chosen.suffix}"
