"""Where results go: files that appear when they are complete, or standard output.

Everything is opened before the first request, so that a file which cannot be written, or
must not be replaced, is found out before anything was sent.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from lens.cli.settings import Settings
from lens.errors import ConfigError, FileError
from lens.export.formats import Export, Format, format_named, open_export
from lens.history.write import NewFile
from lens.model import RunInfo

if TYPE_CHECKING:
    from lens.metrics.summary import Summary
    from lens.metrics.table import Table


class _Wanted(NamedTuple):
    format: Format
    path: Path | None  # None: standard output


class Results:
    """All outputs of one run; a context manager. Leaving by an exception keeps what was written."""

    def __init__(self, settings: Settings, name: str, *, single: bool = False) -> None:
        """
        name: of files in --output-dir, without a suffix.

        Raises:
            ConfigError: two formats want standard output, or one is not known.
            FileError: a file exists, or cannot be written.
        """
        self._settings, self._single = settings, single
        self._wanted = _wanted(settings, name)
        self._stack = ExitStack()
        self._files: list[NewFile | None] = []
        self._exports: list[Export] = []

    @property
    def on_stdout(self) -> bool:
        """Whether standard output belongs to an export, so that the page for people must go elsewhere."""
        return self._settings.config.output.real_time or any(w.path is None for w in self._wanted)

    @property
    def paths(self) -> list[Path]:
        return [w.path for w in self._wanted if w.path]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for wanted in self._wanted:
                if wanted.path is None:
                    self._files.append(None)
                else:
                    self._files.append(stack.enter_context(NewFile(wanted.path, force=self._settings.force)))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def begin(self, info: RunInfo) -> None:
        """Load the formats, now that the run's header is known."""
        book = self._settings.book
        self._exports = [open_export(w.format, info, book, single=self._single) for w in self._wanted]

    def write(self, table: Table, info: RunInfo, summary: Summary) -> None:
        """Write the run in every format."""
        for file, export in zip(self._files, self._exports, strict=True):
            for piece in export.write(table, info, summary):
                if file is not None:
                    file.write(piece)
                else:
                    sys.stdout.buffer.write(piece)
                    sys.stdout.buffer.flush()


def _wanted(settings: Settings, name: str) -> list[_Wanted]:
    """A place for each format: its own file, --output, a file in --output-dir, standard output."""
    formats = [(format_named(e.format), e.file) for e in settings.exports if e.endpoint is None]
    several = len(formats) > 1
    found = [_Wanted(chosen, _path(settings, chosen, file, name, several=several)) for chosen, file in formats]
    if sum(w.path is None for w in found) > 1:
        raise ConfigError("several formats cannot share standard output; give --output FILE or --output-dir DIR")
    paths = [w.path for w in found if w.path]
    if len(set(paths)) < len(paths):
        raise ConfigError(f"two outputs are to be written to {paths[0]}; name each format once")
    return found


def _path(settings: Settings, chosen: Format, file: str | None, name: str, *, several: bool) -> Path | None:
    if settings.output == "-":
        return None
    if settings.output:
        path = Path(settings.output)
        return path.with_name(path.stem + chosen.suffix) if several else path
    if file:
        return Path(file)
    if settings.config.output.dir is None:
        return None
    folder = Path(settings.config.output.dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"--output-dir {folder}: cannot be made: {error.strerror}") from error
    return folder / f"{name}{chosen.suffix}"
