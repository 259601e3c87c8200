"""Which statements of a counted copy of the package ran (tools/count_lines.py): a byte each, a file for each test file.

All processes of a test file map its file: what ran is there at once, also in a process that is killed. Beside
the standard library this imports nothing, for it comes into every process.
"""

import mmap
import os
import sys
from pathlib import Path

# More than the package has statements; count_lines.py says when that is no longer so.
SIZE = 1 << 17
FOLDER = Path(__file__).parent.parent / "ran"
# The test file whose processes these are; those that it starts inherit it.
VARIABLE = "LENS_RAN_LINES_FOR"


def open_bytes(name: str) -> "mmap.mmap | bytearray":
    """Return the bytes of a test file, shared by all its processes; bytes of its own where no file can be opened."""
    try:
        descriptor = os.open(FOLDER / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            os.ftruncate(descriptor, SIZE)
            return mmap.mmap(descriptor, SIZE)
        finally:
            os.close(descriptor)
    except OSError:
        return bytearray(SIZE)


ran = open_bytes(os.environ.get(VARIABLE) or "nobody")


def count_for(name: str) -> None:
    """Count what runs from now on for this test file, also in processes that are started."""
    global ran
    os.environ[VARIABLE] = name
    ran = open_bytes(name)
    for module in list(sys.modules.values()):
        if "__ran__" in getattr(module, "__dict__", ()):
            module.__ran__ = ran
