"""Notes in a journal: there while the run goes on, and nothing to whoever reads the run."""

import msgspec
import pytest
from handmade import INFO, failed_record, full_record, record

from lens.history.framing import split_pieces
from lens.history.read import read_run
from lens.history.write import MAGIC, RunProgress
from lens.orchestrator.run_state import RunState
from lens.orchestrator.schedule import Stage
from lens.pricing import PriceBook
from lens.run.journal import Journal
from lens.run.notes import ProgressNotes
from lens.units import NS_PER_S

RECORDS = [full_record(), failed_record("the peer closed the connection"), record((1, 2, 3), index=2)]


def noted(journal):
    pieces = split_pieces([journal.path.read_bytes()[len(MAGIC) :]], len(MAGIC))
    return [msgspec.msgpack.decode(piece, type=RunProgress) for _, piece, is_note in pieces if is_note]


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "run.json")
    journal.add(INFO)
    yield journal
    journal.close(complete=True)
    assert list(tmp_path.iterdir()) == []


def test_whoever_reads_the_run_passes_over_notes(journal, monkeypatch):
    monkeypatch.setattr("lens.run.notes.EVERY_NS", 0)
    notes, state = ProgressNotes(journal), RunState(7)
    for item in RECORDS:
        notes.on_progress(state)
        journal.add(item)
        state.begun += 2
    notes.on_progress(state)
    journal.finish()
    assert [one.begun for one in noted(journal)] == [0, 2, 4, 6]
    assert list(journal.records()) == RECORDS
    assert len(journal.table(INFO, PriceBook())) == len(RECORDS)
    run = read_run(journal.path)
    assert (run.info, run.records, run.warnings) == (INFO, RECORDS, ())


def test_there_is_one_a_second_also_of_a_search_whose_states_follow_each_other(journal):
    notes = ProgressNotes(journal, duration_ns=5, staged=True)
    for begins_s in (100, 200):
        state = RunState(9)
        state.started_ns -= begins_s * NS_PER_S
        state.stage = Stage(name="4 at a time", concurrency=4)
        notes.on_progress(state)
        notes.on_progress(state)
    journal.finish()
    (note,) = noted(journal)
    assert (note.total, note.duration_ns, note.stage) == (9, 5, "4 at a time")
