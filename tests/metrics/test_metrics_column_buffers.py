"""Columns on disk: what is put in comes out, whatever widths it has and whether the disk takes it."""

import errno
import tempfile

import numpy as np
import pytest

from lens.metrics import column_buffers
from lens.metrics.buffer import Buffer, UsualBuffer
from lens.metrics.column_buffers import DiskBuffer, buffer_of, forget

SAME, WIDER = ["u1"] * 40, ["u1"] * 20 + ["u2"] * 15 + ["u4"] * 5


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Columns of a thousand bytes go to disk."""
    monkeypatch.setattr(column_buffers, "LEAST_ON_DISK", 1000)
    monkeypatch.setattr(column_buffers, "PIECE_BYTES", 300)


def batches(kinds):
    return [(np.arange(100) * number % 250).astype(kind) for number, kind in enumerate(kinds)]


def filled(kinds):
    made = DiskBuffer()
    for batch in batches(kinds):
        made.append(batch)
    return made.array()


@pytest.mark.parametrize(("kinds", "kind"), [(SAME, "u1"), (WIDER, "u4"), (["u1"] * 3, "u1"), ([], "u1")])
def test_what_is_put_in_comes_out(kinds, kind):
    found = filled(kinds)
    assert found.dtype == kind
    np.testing.assert_array_equal(found, np.concatenate([np.empty(0, kind), *batches(kinds)]))


def test_a_column_that_is_forgotten_is_read_again():
    found = filled(SAME)
    assert not found.flags.writeable, "it lies on disk"
    part = found[150:200]
    forget([found, np.arange(3)])
    np.testing.assert_array_equal(part, np.concatenate(batches(SAME))[150:200])


class _Full:
    """A disk that takes so many writes."""

    def __init__(self, writes):
        self.left, self.opens = writes, tempfile.TemporaryFile

    def __call__(self, **named):
        file = self.opens(**named)
        write = file.write

        def limited(data):
            self.left -= 1
            if self.left < 0:
                raise OSError(errno.ENOSPC, "no space left on device")
            return write(data)

        file.write = limited
        return file


@pytest.mark.parametrize("kinds", [SAME, WIDER])
@pytest.mark.parametrize("writes", [0, 1, 5, 11, 15, 20])
def test_what_a_full_disk_does_not_take_stays_in_memory(monkeypatch, kinds, writes):
    monkeypatch.setattr(column_buffers.tempfile, "TemporaryFile", _Full(writes))
    np.testing.assert_array_equal(filled(kinds), np.concatenate(batches(kinds)))


def test_events_alone_go_to_disk():
    assert isinstance(buffer_of("events.at", on_disk=True), DiskBuffer)
    assert isinstance(buffer_of("events.at", on_disk=False), Buffer)
    assert isinstance(buffer_of("events.sizes", on_disk=True), Buffer)
    assert isinstance(buffer_of("end", on_disk=True), UsualBuffer)


def test_where_a_file_cannot_be_mapped_there_is_no_memory(monkeypatch):
    def refused(*_args, **_more):
        raise OSError(12, "Cannot allocate memory")

    buffer = DiskBuffer()
    monkeypatch.setattr(column_buffers, "LEAST_ON_DISK", 0)
    buffer.append(np.arange(10))
    monkeypatch.setattr(column_buffers.mmap, "mmap", refused)
    with pytest.raises(MemoryError):
        buffer.array()
