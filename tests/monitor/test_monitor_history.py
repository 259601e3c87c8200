"""The history of a monitor: what of a folder is its own, and what a disk that takes nothing costs."""

import errno
import json
import os
import shutil

import pytest
from handmade import INFO
from msgspec.structs import replace
from probes import answer

from lens.errors import FileError
from lens.history.read import read_run
from lens.history.write import MONITOR_COMMAND, json_line, write_run
from lens.monitor.history import History, is_segment
from lens.pricing import PriceBook

SEGMENT = replace(INFO, command=MONITOR_COMMAND)
OLD_S = 1_000_000_000.0


def history(folder, *, keep_s=3600.0, keep_bytes=10_000_000, now=2_000_000_000.0):
    return History(folder, INFO, PriceBook(), keep_s=keep_s, keep_bytes=keep_bytes, clock=lambda: now)


def aged(path, content):
    path.write_bytes(content)
    os.utime(path, (OLD_S, OLD_S))
    return path


def test_only_old_segments_go_and_other_files_stay(tmp_path):
    header = json_line(SEGMENT)
    gone = [aged(tmp_path / name, header) for name in ("20230101T000000.jsonl", "20230101T000000-1.jsonl")]
    stay = [
        aged(tmp_path / "training-data.jsonl", b'{"precious": 1}\n' * 1000),
        aged(tmp_path / "my-run.jsonl", header),
        aged(tmp_path / "20230102T000000.jsonl", b'{"precious": 1}\n'),
        aged(tmp_path / "20230103T000000.jsonl", json_line(replace(INFO, command="lll benchmark"))),
        aged(tmp_path / "20230104T000000.json", header),
        aged(tmp_path / "20230105T000000.jsonl", b""),
        aged(tmp_path / "20230106T000000.jsonl", b"\xff{"),
    ]
    (tmp_path / "20230107T000000.jsonl").symlink_to(aged(tmp_path / "elsewhere", header))
    before = {path: path.read_bytes() for path in stay}
    kept = history(tmp_path)
    kept.add(answer())
    kept.close()
    assert not any(path.exists() for path in gone)
    assert {path: path.read_bytes() for path in stay} == before
    assert (tmp_path / "20230107T000000.jsonl").is_symlink()
    assert read_run(tmp_path / "20330518T033320.jsonl").records


def test_a_folder_that_another_monitor_writes_to_is_refused(tmp_path):
    first = history(tmp_path)
    with pytest.raises(FileError, match="another monitor writes to it; give each a folder of its own"):
        history(tmp_path)
    first.close()
    history(tmp_path).close()


def removed(folder):
    shutil.rmtree(folder)


def moved(folder):
    folder.rename(folder.with_name("moved"))


def replaced_by_a_link(folder):
    moved(folder)
    (folder.parent / "elsewhere").mkdir()
    folder.symlink_to(folder.parent / "elsewhere")


def emptied(folder):
    for path in folder.glob("*.jsonl"):
        path.unlink()


@pytest.mark.parametrize("change", [removed, moved, replaced_by_a_link, emptied])
def test_where_the_segment_is_gone_a_new_one_is_begun_and_it_is_said(tmp_path, change):
    folder = tmp_path / "history"
    kept = history(folder)
    kept.add(answer(1))
    change(folder)
    kept.add(answer(2))
    assert "it was removed or replaced, with what had been written; a new one was begun" in kept.trouble
    kept.add(answer(3))
    assert kept.trouble is None
    assert kept.lost == 0
    (segment,) = folder.glob("*.jsonl")
    assert [record.request_id for record in read_run(segment).records] == ["2", "3"]
    with pytest.raises(FileError, match="another monitor writes to it"):
        history(folder)
    kept.close()
    history(folder).close()


def test_a_folder_of_another_monitor_in_place_of_ones_own_is_not_written_to(tmp_path):
    folder = tmp_path / "history"
    kept = history(folder)
    kept.add(answer(1))
    moved(folder)
    other = history(folder)
    for number in (2, 3):
        kept.add(answer(number))
        assert kept.trouble.endswith(
            "history: another monitor writes to it; give each a folder of its own with --history; requests lost"
        )
    assert kept.lost == 2
    assert not [*folder.glob("*.jsonl")]
    other.close()
    kept.add(answer(4))
    assert kept.trouble is None
    kept.close()


def test_a_small_bound_keeps_most_of_the_past(tmp_path):
    """A segment is a quarter of what is kept at most, so that a start does not need all the room."""
    for number in range(3):
        kept = history(tmp_path, keep_s=1e10, keep_bytes=100_000, now=2_000_000_000.0 + number)
        kept.add(answer(number))
        kept.close()
    segments = sorted(tmp_path.glob("*.jsonl"))
    assert len(segments) == 3
    assert all(map(is_segment, segments))


class FullDisk:
    """An unbuffered file that takes some bytes of each piece, and then none."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, data):
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken, self.room = min(self.room, len(data)), max(self.room - len(data), 0)
        return self.file.write(data[:taken])

    def fileno(self):
        return self.file.fileno()

    def close(self):
        self.file.close()


def test_a_request_that_the_disk_takes_half_of_leaves_no_half_line(tmp_path):
    kept = history(tmp_path, keep_s=1e10)
    kept.add(answer(1))
    kept._file = FullDisk(kept._file, 100)
    kept.add(answer(2))
    assert kept.trouble == f"history {tmp_path}: no space left on device; requests lost"
    kept.add(answer(3))
    assert (kept.lost, kept.trouble) == (1, None)
    kept.close()
    runs = [read_run(path) for path in sorted(tmp_path.glob("*.jsonl"))]
    assert sorted([record.index for record in run.records] for run in runs) == [[1], [3]]
    assert [run.warnings for run in runs] == [(), ()]


def test_a_full_disk_does_not_fill_with_empty_segments(tmp_path, monkeypatch):
    kept = history(tmp_path)
    create = kept._new
    monkeypatch.setattr(kept, "_new", lambda stem: (lambda file, path: (FullDisk(file, 20), path))(*create(stem)))
    for number in range(3):
        kept.add(answer(number))
    kept.close()
    assert kept.lost == 3
    assert list(tmp_path.glob("*.jsonl")) == []


def test_a_file_that_no_monitor_wrote_is_no_segment(tmp_path):
    path = tmp_path / "20230101T000000.jsonl"
    write_run(path, INFO, [])
    assert not is_segment(path)
    path.write_text(json.dumps({"command": MONITOR_COMMAND}))
    assert not is_segment(path)
