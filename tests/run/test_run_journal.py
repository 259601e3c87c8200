"""The journal: what a run had measured is on disk before it is over, and a disk that fails ends only the journal."""

import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy
import pytest
from handmade import INFO, failed_record, full_record, record
from waiting import HANG_S

from lens.errors import FileError
from lens.history.read import read_run
from lens.history.write import JOURNAL, RunProgress
from lens.metrics.columns import Codes
from lens.pricing import PriceBook
from lens.run.journal import GATHER_S, LOG, Journal, rescue

RECORDS = [full_record(), failed_record("the peer closed the connection"), record((1, 2, 3), index=2)]


def filled(folder: Path) -> Journal:
    journal = Journal(folder / "run.json")
    for item in (INFO, *RECORDS):
        journal.add(item)
    return journal


def test_what_was_added_can_be_read_when_the_outputs_are_not_complete(tmp_path):
    journal = filled(tmp_path)
    journal.close(complete=False)
    run = read_run(tmp_path / f"run.json{JOURNAL}")
    assert (run.info, run.records) == (INFO, RECORDS)
    assert journal.warning is None


@pytest.mark.parametrize("sizes", [(10,) * 300, (10, 40_000, 10), (2_000_000, 10, 2_000_000), (20_000,) * 3])
def test_records_are_fetched_in_any_order(sizes):
    journal = Journal()
    records = [msgspec.structs.replace(full_record(), index=i, text="x" * n) for i, n in enumerate(sizes)]
    for item in (INFO, *records):
        journal.add(item)
    journal.close(complete=True)
    journal._kept.append(RECORDS[1])
    places = [place for place, _ in journal._messages()]
    order = [*range(len(places)), *reversed(range(len(places))), 0]
    fetched = journal.fetch([~0, *[places[i] for i in order], ~0])
    assert list(fetched) == [RECORDS[1], *[records[i] for i in order], RECORDS[1]]


@pytest.mark.parametrize("short_bytes", [0, 10_000, 1 << 20], ids=["long", "too long in the end", "short"])
def test_records_of_a_short_run_are_those_on_disk(monkeypatch, short_bytes):
    monkeypatch.setattr("lens.run.journal.SHORT_BYTES", short_bytes)
    journal = Journal()
    wanted = [msgspec.structs.replace(full_record(), index=index) for index in range(40)]
    for number, item in enumerate((INFO, RunProgress(elapsed_ns=1, begun=1, done=0), *wanted)):
        journal.add(item)
        if number % 10 == 0:
            time.sleep(2 * GATHER_S)  # written in several pieces
    journal.finish()
    assert bool(journal._in_memory) == (short_bytes == 1 << 20)
    assert not journal._leaving
    table = journal.table(INFO, PriceBook())
    whole = list(table.records())
    assert whole == wanted
    records = table.take(slice(5, 40)).records()
    assert next(records) == wanted[5]
    journal.close(complete=True)
    assert list(records) == wanted[6:], "from disk from then on"
    assert not journal._in_memory
    assert list(table.records()) == wanted
    other = journal.table(INFO, PriceBook())
    for name, kind in table.kinds().items():
        if kind is not Codes:
            assert numpy.array_equal(
                table.column(name), other.column(name), equal_nan=table.column(name).dtype.kind == "f"
            )


def test_a_journal_that_a_killed_run_left_is_told_and_kept(tmp_path, monkeypatch):
    left = tmp_path / f"run.json{JOURNAL}"
    filled(tmp_path).close(complete=False)
    before = left.read_bytes()
    lines = []
    monkeypatch.setattr(LOG, "warning", lambda text, *words: lines.append(text % words))
    living = filled(tmp_path)
    assert len(lines) == 1
    assert f"{left} was left by a run that was killed: `lll recover" in lines[0]
    filled(tmp_path).close(complete=True)
    assert sum(f"{left} was" in line for line in lines) == len(lines) == 2, "the other is of a run that goes on"
    living.close(complete=True)
    assert left.read_bytes() == before


def test_it_goes_when_the_outputs_are_complete(tmp_path):
    filled(tmp_path).close(complete=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("outputs", [True, False], ids=["beside the outputs", "without outputs"])
def test_records_are_read_back_in_the_order_in_which_they_ended(tmp_path, monkeypatch, outputs):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    journal = filled(tmp_path) if outputs else Journal()
    for item in () if outputs else (INFO, *RECORDS):
        journal.add(item)
    journal.close(complete=True)
    assert list(journal.records()) == RECORDS == list(journal.records())
    assert list(tmp_path.iterdir()) == []


def test_more_than_a_block_is_read_back(monkeypatch):
    monkeypatch.setattr("lens.run.journal.BLOCK_BYTES", 700)
    journal = Journal()
    wanted = [full_record(), *[record((1, 2, 3), index=index) for index in range(40)]]
    for item in (INFO, *wanted):
        journal.add(item)
    journal.finish()
    assert list(journal.records()) == wanted


def test_a_folder_that_cannot_be_written_is_told_at_once(tmp_path):
    with pytest.raises(FileError, match=r"cannot write .*none/run\.json\.journal\.msgpack: No such file"):
        Journal(tmp_path / "none" / "run.json")


def run_apart(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The script in a process of its own, with the folder as its argument and for temporary files."""
    path = os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path, "TMPDIR": str(folder)}
    words = [sys.executable, "-c", script, folder]
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=HANG_S, check=False)


KILLED = """
import os, signal, sys, time
from pathlib import Path
from handmade import INFO, record
from lens.errors import FileError
from lens.history.read import read_run
from lens.history.write import JOURNAL
from lens.run.journal import Journal
journal = Journal(Path(sys.argv[1], "run.json"))
journal.add(INFO)
for index in range(50):
    journal.add(record(index=index))
def on_disk():
    try:
        return len(read_run(Path(sys.argv[1], "run.json" + JOURNAL)).records)
    except FileError:  # nothing yet
        return 0
while on_disk() < 50:
    time.sleep(0.01)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_that_is_killed_leaves_all_that_had_ended(tmp_path):
    assert run_apart(KILLED, tmp_path).returncode == -9
    run = read_run(tmp_path / f"run.json{JOURNAL}")
    assert [one.index for one in run.records] == list(range(50))


# Files of this process may have 3,000 bytes, as on a disk that is full then.
SMALL_DISK = """
import resource, signal, sys
from pathlib import Path
from handmade import INFO, record
from lens.run.journal import Journal, rescue
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
records = [record(index=index) for index in range(50)]
"""
FILLED = """
journal = Journal(Path(sys.argv[1], "run.json"))
for item in (INFO, *records):
    journal.add(item)
journal.close(complete=False)
print(journal.warning)
print([one.index for one in journal.records()] == list(range(50)))
"""


def test_a_disk_that_is_full_ends_the_journal_and_says_so(tmp_path):
    said = run_apart(SMALL_DISK + FILLED, tmp_path).stdout
    assert "stopped: File too large; records are kept in memory" in said
    assert said.endswith("True\n"), "all records can be read back"
    run = read_run(tmp_path / f"run.json{JOURNAL}")
    assert 0 < len(run.records) < 50
    assert "cut off" in run.warnings[0]


def test_a_rescue_onto_a_disk_that_is_full_says_so_and_leaves_nothing(tmp_path):
    assert run_apart(SMALL_DISK + "print(rescue(INFO, records))", tmp_path).stdout == "None\n"
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_rescued_into_the_folder_for_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = rescue(INFO, RECORDS)
    assert path.parent == tmp_path
    assert read_run(path).records == RECORDS


class Unwritable:
    """What no file can hold."""


def test_a_record_that_cannot_be_encoded_is_kept_and_the_others_are_written(tmp_path):
    """As where the memory for it is lacking: the thread that writes goes on."""
    odd = msgspec.structs.replace(RECORDS[0], labels={"a": Unwritable()})
    journal = Journal(tmp_path / "run.json")
    for item in (INFO, RECORDS[0], odd, RECORDS[1]):
        journal.add(item)
    journal.close(complete=False)
    assert list(journal.records()) == [RECORDS[0], RECORDS[1], odd]
    assert read_run(tmp_path / f"run.json{JOURNAL}").records == RECORDS[:2]
    assert journal.warning is None


def test_where_there_is_no_memory_to_write_together_each_is_written_alone(tmp_path, monkeypatch):
    write = Journal._write

    def refuses_much(journal, data):
        if len(data) > 6000:
            raise MemoryError
        return write(journal, data)

    monkeypatch.setattr(Journal, "_write", refuses_much)
    journal = Journal(tmp_path / "run.json")
    for item in (INFO, *RECORDS * 3):
        journal.add(item)
    journal.finish()
    assert list(journal.records()) == RECORDS * 3
    assert not journal._kept


def test_a_journal_without_a_name_is_copied_to_where_it_can_be_found(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    journal = Journal()
    for item in (INFO, *RECORDS):
        journal.add(item)
    journal.finish()
    path = journal.rescue()
    assert path.parent == tmp_path
    assert (read_run(path).info, read_run(path).records) == (INFO, RECORDS)
    named = filled(tmp_path)
    named.finish()
    assert named.rescue() == named.path
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    assert journal.rescue() is None


def test_a_journal_that_was_replaced_is_copied_and_what_took_its_place_stays(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    journal = filled(tmp_path)
    journal.finish()
    journal.path.unlink()
    journal.path.write_text("somebody's")
    journal.close(complete=True)
    assert journal.path.read_text() == "somebody's"
    assert read_run(journal.rescue()).records == RECORDS
