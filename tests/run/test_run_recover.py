"""A journal that a killed run left behind becomes the run that it was."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from handmade import INFO, failed_record, record
from msgspec.structs import replace

from lens.analysis.explore.findings import run_warnings
from lens.cli.main import lll
from lens.errors import FileError
from lens.history.read import read_run
from lens.history.write import JOURNAL, NOT_ENDED, RunProgress, write_run
from lens.metrics.builder import read_table
from lens.metrics.summarize import summarize
from lens.pricing import PriceBook
from lens.run.expectations import judge_of
from lens.run.journal import Journal
from lens.run.recover import ENDED, name_of_run, recover, write_recovered

RECORDS = [replace(record((10, 20, 30), index=index), text="Hello") for index in (2, 0)] + [failed_record("no")]


def journal(folder, info=INFO):
    spool = Journal(folder / "run.json")
    for item in (replace(info, ended_at=None, ended_ns=None), *RECORDS):
        spool.add(item)
    spool.close(complete=False)
    return spool.path


def written_to(run, path):
    path.write_bytes(b"".join(write_recovered(run, path, PriceBook())))
    return path


def written(run, path):
    return read_run(written_to(run, path))


@pytest.mark.parametrize("name", ["run.json", "run.jsonl", "run.msgpack"])
def test_every_request_of_a_journal_is_in_the_run_in_its_order(tmp_path, name):
    run = recover(journal(tmp_path), PriceBook())
    found = written(run, tmp_path / name)
    assert run.warnings == ()
    assert [one.request_id for one in found.records] == [
        one.request_id for one in sorted(RECORDS, key=lambda one: one.index)
    ]
    assert found.info.warnings[0] == f"{ENDED}; requests that were under way are not in it"
    assert found.info.ended_ns == max(one.stamps.end for one in RECORDS if one.stamps.end)
    assert found.info.ended_at == "2025-11-07T18:30:00.055000Z"


@pytest.mark.parametrize("noted", [{"at_ns": INFO.started_ns + 4_000_000_000}, {}])
def test_a_run_that_was_killed_lasted_until_it_was_last_seen(tmp_path, noted):
    spool = Journal(tmp_path / "run.json")
    note = RunProgress(elapsed_ns=4_000_000_000, begun=4, done=3, **noted)
    for item in (replace(INFO, ended_at=None, ended_ns=None), *RECORDS, note):
        spool.add(item)
    spool.close(complete=False)
    table, _ = read_table(spool.path)
    assert table.info.stopped_by == NOT_ENDED
    run = recover(spool.path, PriceBook())
    assert (run.info.ended_at, run.info.stopped_by) == ("2025-11-07T18:30:04.000000Z", "killed")
    found = read_table(written_to(run, tmp_path / "run.json"))[0]
    assert [summarize(one).requests_per_second for one in (table, run.table, found)] == [0.5, 0.5, 0.5]
    assert run_warnings(found)[0] == f"{ENDED}; at least 1 request that was under way is not in it"
    assert run_warnings(table)[0] == f"{NOT_ENDED}; at least 1 request that was under way is not in it"
    assert not any(NOT_ENDED in says for says in run_warnings(found)), "once, and as it is"
    assert [one.info.unrecorded for one in (table, run.table, found)] == [1, 1, 1]
    assert [summarize(one).concurrency_mean for one in (table, run.table, found)] == [None] * 3, "not known"


@pytest.mark.parametrize(
    ("note", "load", "still_open"),
    [
        (RunProgress(elapsed_ns=1, begun=44, done=0), {}, 41),
        (RunProgress(elapsed_ns=1, begun=104, done=99), {}, 2),  # of a search, whose tries begin to count anew
        (RunProgress(elapsed_ns=1, begun=2, done=0), {}, 0),  # more ended since than were open
        (RunProgress(elapsed_ns=1, begun=44, done=20, warmup_done=20), {"warmup": "20"}, 0),
        (RunProgress(elapsed_ns=1, begun=64, done=20, warmup_done=20), {}, 41),
    ],
)
def test_requests_that_ended_after_the_last_note_were_not_lost(tmp_path, note, load, still_open):
    spool = Journal(tmp_path / "run.json")
    for item in (replace(INFO, ended_at=None, ended_ns=None, config={"load": load}), note, *RECORDS):
        spool.add(item)
    spool.close(complete=False)
    assert read_table(spool.path)[0].info.unrecorded == still_open


def test_a_killed_run_says_so_above_its_figures(tmp_path):
    spool = Journal(tmp_path / "run.json")
    for item in (replace(INFO, ended_at=None, ended_ns=None), *RECORDS, RunProgress(elapsed_ns=1, begun=7, done=3)):
        spool.add(item)
    spool.close(complete=False)
    found = written_to(recover(spool.path, PriceBook()), tmp_path / "run.json")
    for path, says in ((spool.path, NOT_ENDED), (found, ENDED)):
        page = CliRunner().invoke(lll, ["analyze", str(path)]).output
        told = " ".join(page.split())
        assert f"{says}; at least 4 requests that were under way are not in it" in told
        assert told.index(says) < told.index("throughput")
        assert told.count(says) == 1


@pytest.mark.parametrize("saves", [True, False])
def test_texts_are_in_it_only_where_the_run_was_to_save_them(tmp_path, saves):
    info = replace(INFO, config={"output": {"save_text": True}} if saves else {})
    found = written(recover(journal(tmp_path, info), PriceBook()), tmp_path / "run.jsonl")
    assert {one.text for one in found.records if one.failure is None} == {"Hello" if saves else None}


def test_what_expect_said_of_an_answer_is_kept_without_its_text(tmp_path):
    spool = Journal(tmp_path / "run.json")
    for item in (INFO, judge_of(["regex:Hello"])(RECORDS[0]), judge_of(["json"])(RECORDS[1])):
        spool.add(item)
    spool.close(complete=False)
    run = recover(spool.path, PriceBook())
    assert summarize(run.table).valid_rate == 0.5
    found = written(run, tmp_path / "run.jsonl")
    assert [(one.judged.valid, one.text) for one in found.records] == [(False, None), (True, None)]


def test_cool_down_is_marked_as_the_run_would_have_done(tmp_path):
    info = replace(INFO, config={"load": {"cooldown": "1"}})
    run = recover(journal(tmp_path, info), PriceBook())
    assert int(run.table.column("warmup").sum()) == 1
    broken = replace(INFO, config={"load": {"cooldown": 7}})
    assert len(recover(journal(tmp_path, broken), PriceBook()).table) == 3


def test_a_journal_that_was_cut_keeps_what_was_whole(tmp_path):
    path = journal(tmp_path)
    path.write_bytes(path.read_bytes()[:-5])
    run = recover(path, PriceBook())
    assert (len(run.table), len(run.warnings)) == (2, 1)


@pytest.mark.parametrize(
    ("name", "of"),
    [
        (f"run.json{JOURNAL}", "run.json"),
        (f"run.json.2{JOURNAL}", "run.json"),
        (f"a.b.csv{JOURNAL}", "a.b.csv"),
        ("run.jsonl.partial", "run.jsonl"),
    ],
)
def test_the_name_of_a_journal_says_what_it_was_to_become(name, of):
    assert name_of_run(Path("folder", name)) == Path("folder", of)
    with pytest.raises(FileError, match="say with --output"):
        name_of_run(Path("run.json"))


def test_what_holds_no_run_is_refused(tmp_path):
    (tmp_path / f"x{JOURNAL}").write_text("nothing")
    with pytest.raises(FileError, match="not a run file"):
        recover(tmp_path / f"x{JOURNAL}", PriceBook())
    write_run(tmp_path / "empty.msgpack", INFO, [])
    assert len(recover(tmp_path / "empty.msgpack", PriceBook()).table) == 0
