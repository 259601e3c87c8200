"""The list of runs: what is a run, what is live, what is meant by a filter, and what the folder keeps."""

from __future__ import annotations

import json
import os
import sys

import msgspec
import pytest
import ui_folder
from report_runs import loaded

from lens.errors import ConfigError, FileError
from lens.history.write import UI_STATE, write_run
from lens.ui.folder import Folder, asks_for_figures, figure_names, filtered, now, row_of


@pytest.fixture
def root(tmp_path):
    return ui_folder.folder(tmp_path)


def rows(folder):
    return [row_of(entry, folder.figures(entry), now()) for entry in folder.scan()]


def test_run_files_are_listed_newest_first_and_nothing_else(root):
    found = rows(Folder(root))
    assert [row["file"] for row in found] == ["nightly/three.jsonl", "nightly/two.msgpack", "one.jsonl"]
    assert [row["model"] for row in found] == ["fast-1", "deep-2", "fast-1"]
    assert found[0]["load"] == "closed loop, 8 at a time, 120 requests"
    assert found[0]["duration_s"] == pytest.approx(60)
    assert not any(row["live"] for row in found)


def test_a_json_export_and_what_is_new_are_found_and_what_is_gone_is_not(root):
    folder = Folder(root)
    folder.scan()
    header = json.loads((root / "one.jsonl").read_text().splitlines()[0])
    (root / "export.json").write_text(json.dumps({"run": header, "requests": []}, indent=1))
    (root / "nightly" / "three.jsonl").unlink()
    assert {row["file"] for row in rows(folder)} == {"export.json", "nightly/two.msgpack", "one.jsonl"}


def test_a_journal_is_live_while_it_is_written_to(root):
    folder, journal = Folder(root), ui_folder.begin_journal(root)
    (live,) = folder.live(now())
    assert live.file == ui_folder.JOURNAL
    assert live.kind == "journal"
    size = live.size
    ui_folder.go_on(journal, loaded(3))
    assert folder.live(now())[0].size > size
    ui_folder.long_ago(journal)
    assert folder.live(now() + 60) == []
    assert not next(row for row in rows(folder) if row["file"] == ui_folder.JOURNAL)["live"]


@pytest.mark.parametrize(
    ("where", "files"),
    [
        ("model == 'deep-2'", ["nightly/two.msgpack"]),
        ("contains(file, 'nightly') and label.region == 'eu'", ["nightly/three.jsonl"]),
        ("region == 'us'", ["nightly/two.msgpack"]),
        ("started < '2026-03-02'", ["one.jsonl"]),
        ("ttft_p50 > 0", []),  # not read yet: unknown, which is neither above nor below
        (
            "size > 10 and kind == 'run' and duration_s >= 60",
            ["nightly/three.jsonl", "nightly/two.msgpack", "one.jsonl"],
        ),
    ],
)
def test_runs_are_filtered_in_the_language_of_where(root, where, files):
    assert [row["file"] for row in filtered(rows(Folder(root)), where)] == files


def test_a_filter_with_an_unknown_name_names_the_nearest(root):
    with pytest.raises(ConfigError, match="did you mean model"):
        filtered(rows(Folder(root)), "modell == 'x'")
    with pytest.raises(ConfigError, match="cannot be read"):
        filtered([], "model ==")
    assert asks_for_figures("ttft_p95 > 5")
    assert not asks_for_figures("model == 'x'")


def test_figures_and_the_baseline_are_kept_in_the_folder_until_the_file_changes(root):
    folder = Folder(root)
    (first, *_) = folder.scan()
    assert folder.figures(first) is None
    folder.keep_figures(first, dict.fromkeys(figure_names(), 1.5))
    folder.star(first.file)
    again = Folder(root)
    assert again.baseline == first.file
    assert again.figures(first) == dict.fromkeys(figure_names(), 1.5)
    assert [row["file"] for row in filtered(rows(again), "ttft_p95 > 1")] == [first.file]
    ui_folder.long_ago(first.path)
    assert again.figures(again.entry(first.file)) is None
    again.star(None)
    assert Folder(root).baseline is None


def test_a_folder_that_cannot_be_written_to_is_reported(root):
    folder = Folder(root)
    (root / UI_STATE).mkdir()
    folder.star("one.jsonl")
    assert folder.baseline == "one.jsonl"
    assert "kept until the end only" in folder.trouble


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes there")
def test_a_name_that_is_no_text_spoils_no_list(root):
    names = [entry.file for entry in Folder(root).scan()]
    content = (root / "one.jsonl").read_bytes()
    folder = os.path.join(os.fsencode(root), b"\xff")
    os.mkdir(folder)
    for place in (b"\xff\xfe.jsonl", b"\xff/run.jsonl"):
        with open(os.path.join(os.fsencode(root), place), "wb") as file:
            file.write(content)
    (root / "\x1b[31m<b>\n::error::x.jsonl").write_bytes(content)
    found = Folder(root)
    assert {entry.file for entry in found.scan()} == {*names, "\x1b[31m<b>\n::error::x.jsonl"}
    assert msgspec.json.encode([row["file"] for row in rows(found)])


@pytest.mark.parametrize("target", ["precious", "/dev/zero", "absent"])
def test_a_link_in_place_of_the_state_is_neither_read_nor_written_through(root, tmp_path_factory, target):
    precious = tmp_path_factory.mktemp("home") / "precious"
    precious.write_text("mine")
    (root / UI_STATE).symlink_to(precious if target == "precious" else target)
    folder = Folder(root)
    folder.star("one.jsonl")
    assert "is a link or no file, and is left alone" in folder.trouble
    assert precious.read_text() == "mine"
    assert (root / UI_STATE).is_symlink()


@pytest.mark.parametrize(
    "name", ["../one.jsonl", "/etc/passwd", "notes.json", "absent.jsonl", "broken.jsonl", "a\0b.jsonl", UI_STATE]
)
def test_only_run_files_of_the_folder_have_an_entry(root, name, tmp_path_factory):
    outside = tmp_path_factory.mktemp("inside") / "runs"
    outside.mkdir()
    (outside.parent / "one.jsonl").write_bytes((root / "one.jsonl").read_bytes())
    for folder in (Folder(root), Folder(outside)):
        with pytest.raises(FileError, match="no run file of this folder"):
            folder.entry(name)


def test_a_link_that_leads_out_of_the_folder_has_no_entry(root, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "link.jsonl").symlink_to(root / "one.jsonl")
    with pytest.raises(FileError):
        Folder(other).entry("link.jsonl")
    assert Folder(other).scan() == []


def test_what_is_no_file_is_not_waited_for(root):
    os.mkfifo(root / "pipe.jsonl")
    folder = Folder(root)
    assert "pipe.jsonl" not in {entry.file for entry in folder.scan()}
    with pytest.raises(FileError):
        folder.entry("pipe.jsonl")


def test_the_newest_segment_of_a_monitor_is_live(root):
    header = msgspec.structs.replace(ui_folder.info("fast-1", 4), ended_ns=None, command="lll monitor")
    path = root / "nightly" / "20260304T100000.jsonl"
    write_run(path, header, loaded(5))
    (live,) = Folder(root).live(now())
    assert (live.kind, live.file) == ("monitor", "nightly/20260304T100000.jsonl")
    ui_folder.long_ago(path)
    assert Folder(root).live(now()) == []


def test_a_journal_whose_run_has_ended_is_the_run(root):
    assert Folder(root).entry("one.jsonl.journal.msgpack").file == "one.jsonl"
    with pytest.raises(FileError, match="absent"):
        Folder(root).entry("absent.jsonl.journal.msgpack")


def test_what_is_no_folder_is_refused(root):
    with pytest.raises(FileError, match="no folder"):
        Folder(root / "one.jsonl")
