"""Where readers are given files: in memory, where a file costs a hundredth of what a disk takes."""

import tempfile
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")


@pytest.fixture
def scratch(tmp_path):
    if not MEMORY.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="lens-fuzz-") as folder:
        yield Path(folder)
