"""Read a file of prompts, sessions or times as a whole."""

from __future__ import annotations

from pathlib import Path

from lens.errors import FileError
from lens.parsing import decode_text, read_data


def read_text(path: Path, what: str) -> str:
    """Return the text of a file; `what` names it in the error, as in "prompt file".

    Raises:
        FileError: it cannot be read, is too large, or is no text.
    """
    try:
        return decode_text(read_data(path))
    except OSError as error:
        raise FileError(f"{what} {path}: cannot read: {error.strerror}") from error
    except ValueError as error:
        raise FileError(f"{what} {path}: {error}") from error
