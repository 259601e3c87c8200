"""A monitor's history, as it lies there, given to every command that reads runs: as a folder, a glob, by its lock."""

import json
import os
import sys
import uuid

import pytest
from cli_program import lll
from handmade import INFO, record
from msgspec.structs import replace

from lens.cli.saved_runs import saved_runs
from lens.errors import FileError
from lens.history.read import read_run
from lens.history.write import MONITOR_LOCK, UI_STATE, json_line
from lens.monitor.history import History
from lens.pricing import PriceBook

TWO = ("20330518T033320.jsonl", "20330518T033320-1.jsonl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two segments of a monitor that still writes to the last, its lock, and what else lies about."""
    folder = tmp_path_factory.mktemp("history")
    kept = History(folder, INFO, PriceBook(), keep_s=1e9, keep_bytes=4000, clock=lambda: 2_000_000_000.0)
    for _ in TWO:
        kept.add(replace(record(), request_id=str(uuid.uuid4())))
    assert sorted(path.name for path in folder.iterdir()) == sorted([MONITOR_LOCK, *TWO])
    (folder / UI_STATE).write_text("{}")
    (folder / "run.jsonl.partial").write_bytes(json_line(INFO))
    (folder / "compared.json").write_text('{"sides": []}')
    (folder / "notes.txt").write_text("mine")
    (folder / "below.jsonl").mkdir()
    yield folder
    kept.close()


READERS = [
    ("analyze",), ("report", "-o", "-"), ("compare",), ("optimize",),
    ("analyze", "{first}", "--threshold", "ttft_p95<1000", "--baseline"),
]  # fmt: skip
ONE_FILE = [("explain", "ttft_ms"), ("testbench", "report"), ("recover", "-o", "{out}")]


def words_of(command, folder, tmp_path):
    return [word.format(first=folder / TWO[0], out=tmp_path / "out") for word in command]


@pytest.mark.parametrize("command", READERS, ids=lambda command: f"{command[0]} {command[-1]}")
def test_a_folder_stands_for_the_runs_in_it(folder, tmp_path, command):
    ended = lll(*words_of(command, folder, tmp_path), folder)
    assert "compared.json" in ended.stderr
    assert "not a run" not in ended.stderr
    wanted = {"--baseline": (3,), "optimize": (0, 1, 2)}  # 3: two requests are too few to judge by
    assert ended.returncode in wanted.get(command[-1], (0,)), ended.stderr


@pytest.mark.parametrize("command", READERS, ids=lambda command: f"{command[0]} {command[-1]}")
def test_a_lock_that_a_glob_names_is_left_out_in_one_sentence(folder, tmp_path, command):
    named = [MONITOR_LOCK, *TWO] if command[-1] != "--baseline" else [MONITOR_LOCK]
    ended = lll(*words_of(command, folder, tmp_path), *[folder / name for name in named])
    told = f"{folder / MONITOR_LOCK} is the lock file of a monitor's history, not a run"
    assert [told in line for line in ended.stderr.splitlines()].count(True) == 1
    assert ended.returncode == (2 if command[-1] == "--baseline" else 0) or "optimize" in command, ended.stderr


@pytest.mark.parametrize("command", ONE_FILE, ids=lambda command: command[0])
@pytest.mark.parametrize(
    ("name", "says"), [("", "is a folder; name a run file in it"), (MONITOR_LOCK, "lock file of a monitor's history")]
)
def test_a_command_that_reads_one_run_says_what_it_was_given(folder, tmp_path, command, name, says):
    ended = lll(*words_of(command, folder, tmp_path), folder / name)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert says in ended.stderr


def test_the_requests_of_a_history_are_those_of_its_segments(folder):
    ended = lll("analyze", folder, "--format", "json")
    assert json.loads(ended.stdout)["requests"] == len(TWO)


def test_segments_of_one_monitor_are_not_merged(folder, tmp_path):
    ended = lll("merge", folder, "-o", tmp_path / "all.jsonl")
    assert ended.returncode == 2
    assert "segments of one monitor's history" in ended.stderr


def test_journals_stand_for_runs_that_are_not_complete(tmp_path):
    for name in ("a.jsonl", "a.jsonl.journal.msgpack", "b.json.journal.msgpack"):
        (tmp_path / name).write_bytes(json_line(INFO))
    assert [path.name for path in saved_runs([str(tmp_path)])] == ["a.jsonl", "b.json.journal.msgpack"]


def test_a_run_from_a_pipe_is_refused_in_words(tmp_path):
    pipe = tmp_path / "run.jsonl"
    os.mkfifo(pipe)
    both = os.open(pipe, os.O_RDWR)
    os.write(both, json_line(INFO))
    with pytest.raises(FileError, match="is a pipe"):
        read_run(pipe)
    os.close(both)


def test_a_folder_without_runs_is_refused(tmp_path):
    (tmp_path / UI_STATE).write_text("{}")
    with pytest.raises(FileError, match=r"holds no run file \(.jsonl, .msgpack, .json\)"):
        saved_runs([str(tmp_path)])


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes there")
def test_a_name_that_is_no_text_is_left_out_and_said(tmp_path, capsys):
    for name in (b"run.jsonl", b"\xff\xfe.jsonl"):
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            file.write(json_line(INFO) + json_line(record()))
    assert saved_runs([str(tmp_path)]) == [tmp_path / "run.jsonl"]
    assert "1 left out whose names are no UTF-8 text; rename them" in capsys.readouterr().err
