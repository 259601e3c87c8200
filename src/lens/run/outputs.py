"""The files that a run's exports go to, or standard output; a file gets its name only when it is complete.

Everything is opened before the first request, so that a file that cannot be written, or must not be replaced, is
found out before anything is sent.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from lens.config.settings import OutputConfig, RunConfig
from lens.errors import ConfigError, FileError
from lens.export.formats import Export, Format, format_named, open_export, why_incomplete, write_export
from lens.history.write import NewFile, is_stdout
from lens.model import Record, RunInfo
from lens.orchestrator.collect import without_arguments
from lens.pricing import PriceBook
from lens.run.result import RunResult
from lens.run.sink import Sink
from lens.secrets import clean_json, clean_lines

# Characters of a file name that say what was measured; with time and suffixes file systems take 255.
MOST_NAME = 120
# Formats that hold every record.
RUN_FORMATS = ("jsonl", "msgpack", "json")


class Destination(NamedTuple):
    """Where one format is written to."""

    format: Format
    path: Path | None  # None: standard output
    numbered: bool = False  # the name is ours: take the next one where it is taken


class OpenPlaces:
    """The files of several destinations while they are written; a context manager.

    Each file gets its name by itself, as soon as it is complete. Leaving by an exception keeps what was written of
    the others, as .partial.
    """

    def __init__(self, places: Iterable[Destination], *, force: bool) -> None:
        """force: replace files that exist."""
        self._places, self._force = tuple(places), force
        self._files: list[NewFile | None] = []  # None: standard output
        self._complete: list[bool | None] = []  # None: it is still being written

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

    @property
    def complete(self) -> dict[Path, Format]:
        """The files that are complete, with their formats."""
        files = zip(self._places, self._files, self._complete, strict=True)
        return {file.path: place.format for place, file, complete in files if file and complete}

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
                self._complete.append(None)
            stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stack = ExitStack()
        for file, complete in zip(self._files, self._complete, strict=True):
            if file is not None and complete is None:
                stack.push(file)
        stack.__exit__(kind, error, trace)

    def write_each(self, pieces_of: Callable[[int], Iterable[bytes]]) -> str | None:
        """Write each destination, by its number, and give its file its name; one that fails stops no other.

        Returns why some are not complete, in words; None where all are.
        """
        troubles = [self._write(number, pieces_of) for number in range(len(self._places))]
        return "; ".join(dict.fromkeys([one for one in troubles if one is not None])) or None

    def _write(self, number: int, pieces_of: Callable[[int], Iterable[bytes]]) -> str | None:
        file = self._files[number]
        try:
            for piece in pieces_of(number):
                _write_piece(file, piece, self._places[number].format.name)
            if file is not None:
                file.finish()
        except Exception as error:  # also a lack of memory, and an export of a plugin
            self._complete[number] = False
            if file is not None:
                file.__exit__(type(error), error, error.__traceback__)
            return why_incomplete(error, self._places[number].format.name)
        self._complete[number] = True
        return None


# Formats that hold the text of a server as it came.
_PRINTED = {"csv": clean_lines} | dict.fromkeys(
    ("json", "jsonl", "otlp", "vllm-json", "aiperf-json", "guidellm-json"), clean_json
)


def _write_piece(file: NewFile | None, piece: bytes, format_name: str) -> None:
    """Write to a file, or to standard output at once: there without what steers a terminal or a runner."""
    if file is not None:
        file.write(piece)
        return
    clean = _PRINTED.get(format_name)
    try:
        sys.stdout.buffer.write(piece if clean is None else clean(piece.decode()).encode())
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

    @property
    def complete(self) -> tuple[Path, ...]:
        """The files that are complete."""
        return tuple(self._open.complete)

    @property
    def kept(self) -> Path | None:
        """A complete file that holds every record, so that the run can be read again."""
        return next((path for path, found in self._open.complete.items() if found.name in RUN_FORMATS), None)

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
        """Write the run in every format and complete the files; `trouble` says which are not, and why."""
        if len(self._open):
            self.trouble = self._open.write_each(lambda number: self._pieces(number, result))

    def _pieces(self, number: int, result: RunResult) -> Iterator[bytes]:
        few = self._open.formats[number].of_records
        table, summary = (result.listed, result.warned) if few else (result.table, result.summary)
        if not self._save_text:
            table = table.with_records(without_text)
        return write_export(self._open.formats[number], self._exports[number], table, result.info, summary)


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
    places = [file or one.file for one in output.exports if one.endpoint is None]
    return any(is_stdout(place) if place else output.dir is None for place in places)


def run_name(config: RunConfig, time: str) -> str:
    """Return the name of a run's files, without a suffix: what was measured, and when."""
    target = config.targets[0]
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", f"{target.provider}-{target.model}").strip("-.")
    if len(plain) > MOST_NAME:  # the end of a path says more than its beginning
        plain = f"{plain[: MOST_NAME // 3]}-{plain[-MOST_NAME * 2 // 3 :]}"
    return f"{plain}-{time}"


def without_text(record: Record) -> Record:
    """Return the record without the texts of its answer, as it goes into a file unless texts are asked for."""
    if (record.text, record.reasoning, record.choices, record.tool_calls) == (None, None, None, ()):
        return record
    return msgspec.structs.replace(
        record, text=None, reasoning=None, choices=None, tool_calls=without_arguments(record.tool_calls)
    )


def _path(
    output: OutputConfig, file: str | None, chosen: Format, own: str | None, name: str, *, several: bool
) -> Path | None:
    if is_stdout(file or own):
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
