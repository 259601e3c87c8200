"""Run files of any size are read; a record of one is bounded, and so is what is no record."""

import os

import pytest
from handmade import INFO, record

from lens.errors import FileError
from lens.history import framing, read
from lens.history.framing import LENGTH_BYTES, check_regular, split_pieces
from lens.history.read import RunStream
from lens.history.write import MAGIC, json_line, message


@pytest.fixture
def short(monkeypatch):
    """Records of more than 100,000 bytes are too long."""
    for module in (framing, read):
        monkeypatch.setattr(module, "MOST_RECORD", 100_000)


def read_all(path):
    with RunStream(path) as stream:
        return len(list(stream)), stream.warnings


@pytest.mark.parametrize(
    ("tail", "says"),
    [
        (
            b"x" * 200_000 + b"\n" + json_line(record((100,))),
            "line 3 is longer than 0 MB; it and the rest were left out",
        ),
        (b"\0" * 200_000, "line 3 is longer"),
        (b"\n" * 200_000, None),
        (b"\0" * 1000, "line 3 is cut off"),
        (b"y\n" * 5000, "4,900 more lines cannot be read"),
    ],
)
def test_records_before_what_is_no_record_are_kept(tmp_path, short, tail, says):
    path = tmp_path / "run.jsonl"
    path.write_bytes(json_line(INFO) + json_line(record((100,))) + tail)
    found, warnings = read_all(path)
    assert found == 1
    assert len(warnings) <= 101
    assert (says is None and not warnings) or says in warnings[-1]


@pytest.mark.parametrize(
    ("tail", "says"),
    [
        ((200_000).to_bytes(LENGTH_BYTES, "little") + b"\0" * 200_000, "message 3 is longer than 0 MB"),
        (b"\xff\xff\xff\x7f" + b"\0" * 1000, "message 3 is longer"),
        (b"\0" * 1000, "message 3 is cut off"),
        (b"\x01\x00\x00\x00y" * 5000, "4,900 more messages cannot be read"),
    ],
)
def test_messages_before_what_is_no_message_are_kept(tmp_path, short, tail, says):
    path = tmp_path / "run.msgpack"
    path.write_bytes(MAGIC + message(INFO) + message(record((100,))) + tail)
    found, warnings = read_all(path)
    assert found == 1
    assert len(warnings) <= 101
    assert says in warnings[-1]


@pytest.mark.parametrize(
    "data",
    [
        b"y\n" * 50_000,
        b"\0" * 300_000,
        b"\n" * 300_000,
        b"{" * 300_000,
        MAGIC + b"\x01\0\0\0y" * 50_000,
        b"{\n" * 50_000,
    ],
)
def test_what_holds_no_record_is_no_run(tmp_path, short, data):
    path = tmp_path / "run.jsonl"
    path.write_bytes(data)
    with pytest.raises(FileError, match=r"is not a run file: (?!.*was kept)"):
        RunStream(path)


@pytest.mark.parametrize("block", [1, 3, 4, 5, 1000, 100_000])
def test_pieces_are_the_same_however_the_bytes_are_cut(block):
    sizes = [1, 2, 300, 40_000, 5, 90_000, 7]
    data = b"".join([size.to_bytes(LENGTH_BYTES, "little") + bytes([size % 251]) * size for size in sizes])
    blocks = [data[at : at + block] for at in range(0, len(data), block)]
    found = [(place, bytes(piece)) for place, piece, _ in split_pieces(blocks, 10)]
    assert [piece for _, piece in found] == [bytes([size % 251]) * size for size in sizes]
    assert [place for place, _ in found] == [10 + sum(sizes[:n]) + LENGTH_BYTES * n for n in range(len(sizes))]


def test_a_long_message_is_joined_once_however_many_blocks_it_spans():
    """Joining at each block would copy the square of the message: 40,000 blocks of 1 KB would take minutes."""
    size = 40 << 20
    data = memoryview(size.to_bytes(LENGTH_BYTES, "little") + bytes(size))
    blocks = (bytes(data[at : at + 1024]) for at in range(0, len(data), 1024))
    ((_, piece, _),) = split_pieces(blocks, 0)
    assert len(piece) == size


def test_what_is_no_file_is_refused_before_it_is_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileError, match="is a pipe, and a run is read more than once"):
        check_regular(tmp_path / "pipe")
    with pytest.raises(FileError, match="is a device or a socket"):
        check_regular(tmp_path.joinpath("/dev/null"))
    check_regular(tmp_path)
    check_regular(tmp_path / "absent")
