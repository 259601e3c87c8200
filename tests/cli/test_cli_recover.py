"""`lll recover` as people type it."""

from click.testing import CliRunner
from handmade import INFO, record

from lens.cli.main import lll
from lens.history.read import read_run
from lens.history.write import JOURNAL, write_run


def recovered(*words):
    return CliRunner().invoke(lll, ["recover", *map(str, words)], standalone_mode=False)


def test_the_run_gets_the_name_that_it_was_to_have_and_the_journal_stays(tmp_path):
    journal = tmp_path / f"run.jsonl{JOURNAL}"
    write_run(journal, INFO, [record((10, 20), index=index) for index in range(3)])
    ended = recovered(journal)
    assert (ended.return_value, ended.output) == (0, f"recovered    3 requests in {tmp_path / 'run.jsonl'}\n")
    assert len(read_run(tmp_path / "run.jsonl").records) == 3
    assert journal.exists()
    assert str(tmp_path / "run-2.jsonl") in recovered(journal).output, "the next run has taken the name"
    assert recovered(journal, "-o", tmp_path / "run.html").return_value == 0
    assert (tmp_path / "run.html").read_bytes().startswith(b"<!doctype html>")
    assert "exists" in str(recovered(journal, "-o", tmp_path / "run.html").exception)


def test_a_journal_without_a_request_measured_nothing(tmp_path):
    write_run(tmp_path / f"run.json{JOURNAL}", INFO, [])
    assert recovered(tmp_path / f"run.json{JOURNAL}").return_value == 1
