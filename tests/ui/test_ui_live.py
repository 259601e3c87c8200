"""A growing file is followed: however it is cut while it is written, the sums are those of its records."""

from __future__ import annotations

import statistics

import msgspec
import pytest
import ui_folder
from report_runs import START, loaded, write

from lens.history.write import MAGIC, NOTE, json_line, message
from lens.ui import live
from lens.ui.folder import Folder
from lens.ui.live import LiveRun

S = 1_000_000_000


@pytest.fixture
def root(tmp_path):
    return tmp_path


def followed(root, file=ui_folder.JOURNAL):
    return LiveRun(Folder(root).entry(file))


def test_the_sums_are_those_of_the_records(root):
    ui_folder.go_on(ui_folder.begin_journal(root), records := loaded(60))
    run = followed(root)
    assert run.update()
    assert not run.update()
    state = run.state(whole=True)
    assert (state["requests"], state["failed"]) == (60, sum(one.category != "success" for one in records))
    assert state["categories"]["success"] == 60 - state["failed"]
    slices = state["slices"]
    assert sum(row["requests"] for row in slices.values()) == pytest.approx(60)
    assert sum(row["failed"] for row in slices.values()) == state["failed"]
    tokens = sum(one.usage.output_tokens for one in records if one.usage)
    assert sum(row["tokens"] for row in slices.values()) == pytest.approx(tokens, rel=1e-3)
    for number, row in slices.items():
        ended = [one for one in records if (one.stamps.end - START) // S == number]
        assert row["requests"] == len(ended)
        assert row["tokens"] == sum(one.usage.output_tokens for one in ended if one.usage)
        values = [one.stamps.start for one in ended if one.category == "success"]
        assert (row["ttft_p50_ms"] is None) == (not values)


@pytest.mark.parametrize("size", [1, 700, 5000])
def test_a_file_that_is_cut_anywhere_is_read_to_the_same_sums(root, size):
    ui_folder.go_on(ui_folder.begin_journal(root), loaded(12))
    path = root / ui_folder.JOURNAL
    data, head = path.read_bytes(), path.stat().st_size
    whole = followed(root)
    whole.update()
    run = followed(root)
    path.write_bytes(b"")
    for at in range(0, len(data), size if size > 1 else 997):
        with path.open("ab") as file:
            file.write(data[at : at + (size if size > 1 else 997)])
        run.update()
    assert path.stat().st_size == head
    assert run.state(whole=True)["slices"] == whole.state(whole=True)["slices"]


def test_lines_of_a_monitor_are_followed_too(root):
    header = ui_folder.info("fast-1", 5)
    records = loaded(10)
    path = root / "20260305T100000.jsonl"
    path.write_bytes(json_line(header) + b"".join(map(json_line, records[:5])) + json_line(records[5])[:50])
    run = followed(root, path.name)
    run.update()
    assert run.state(whole=True)["requests"] == 5
    with path.open("ab") as file:
        file.write(json_line(records[5])[50:] + b"not a record\n")
    run.update()
    assert run.state(whole=True)["requests"] == 6


def test_only_slices_that_changed_are_told_again(root):
    journal = ui_folder.begin_journal(root)
    records = sorted(loaded(60), key=lambda one: one.stamps.end)
    ui_folder.go_on(journal, records[:50])
    run = followed(root)
    run.update()
    every = run.state(whole=True)["slices"]
    assert run.state(whole=False)["slices"] == {}
    ui_folder.go_on(journal, records[50:])
    run.update()
    told = run.state(whole=False)["slices"]
    assert 0 < len(told) < len(every)
    assert {(one.stamps.end - START) // S for one in records[50:]} <= set(told)


def test_memory_does_not_grow_with_the_run(root, monkeypatch):
    monkeypatch.setattr(live, "SLICES", 5)
    monkeypatch.setattr(live, "MOST_VALUES", 40)
    ui_folder.go_on(ui_folder.begin_journal(root), records := loaded(60))
    run = followed(root)
    run.update()
    state = run.state(whole=True)
    assert len(state["slices"]) == 5
    assert state["requests"] == 60
    kept = [len(values) for one in run._slices.values() for values in one.values.values()]
    assert max(kept) <= 80
    gaps = [b - a for one in records for a, b in zip(one.events.arrived_ns, one.events.arrived_ns[1:], strict=False)]
    last = max(state["slices"])
    assert state["slices"][last - 1]["itl_p50_ms"] == pytest.approx(statistics.median(gaps) / 1e6, rel=0.3)


def test_a_large_file_is_read_a_part_at_a_time(root, monkeypatch):
    monkeypatch.setattr(live, "MOST_BYTES", 20_000)
    ui_folder.go_on(ui_folder.begin_journal(root), loaded(60))
    run = followed(root)
    run.update()
    assert run.behind
    while run.behind:
        run.update()
    assert run.state(whole=True)["requests"] == 60


def test_a_warm_up_is_in_no_figure(root):
    warm = [msgspec.structs.replace(one, warmup=True) for one in loaded(5)]
    ui_folder.go_on(ui_folder.begin_journal(root), warm)
    run = followed(root)
    run.update()
    assert run.state(whole=True)["requests"] == 0


def test_a_file_of_another_kind_gives_nothing(root):
    write(root, "run.msgpack", ui_folder.info("fast-1", 1), [])
    (root / "run.msgpack").write_bytes(MAGIC + message(ui_folder.info("fast-1", 1)) + message({"no": "record"}))
    run = followed(root, "run.msgpack")
    assert not run.update()


def test_what_the_run_notes_of_itself_is_told(root):
    journal = ui_folder.begin_journal(root)
    run = followed(root)
    run.update()
    assert run.state(whole=True)["progress"] is None
    ui_folder.go_on(journal, [ui_folder.NOTE, *loaded(12), msgspec.structs.replace(ui_folder.NOTE, begun=70)])
    assert run.update()
    assert not run.update()
    state = run.state(whole=False)
    now = state["progress"]
    assert (now["open"], now["done"], now["total"], now["share"], now["left_s"]) == (10, 60, 100, 0.6, 20.0)
    assert (now["requests_per_s"], now["spent_usd"], now["stage"]) == (2.0, 0.0123, "8 at a time")
    assert state["requests"] == 12
    tokens = sum(row["tokens"] for row in state["slices"].values())
    assert now["tokens_per_s"] == pytest.approx(tokens / 30, rel=0.01)
    assert state["recent"]["ttft_p50_ms"] <= state["recent"]["ttft_p95_ms"]


@pytest.mark.parametrize(
    ("changes", "share", "left_s"),
    [
        ({"total": None}, None, None),
        ({"total": None, "duration_ns": 60 * S}, 0.5, 30.0),
        ({"total": None, "duration_ns": 20 * S}, 1.0, 0.0),
        ({"done": 0}, 0.0, None),
        ({"done": 0, "elapsed_ns": 0}, 0.0, None),
    ],
)
def test_how_far_a_run_is_is_told_by_number_or_by_time(root, changes, share, left_s):
    ui_folder.go_on(ui_folder.begin_journal(root), [msgspec.structs.replace(ui_folder.NOTE, **changes)])
    run = followed(root)
    run.update()
    now = run.state(whole=True)["progress"]
    assert (now["share"], now["left_s"]) == (share, left_s)


def test_a_note_that_is_cut_or_cannot_be_read_leaves_the_one_before(root):
    journal = ui_folder.begin_journal(root)
    broken = (NOTE | 3).to_bytes(4, "little") + b"\xc1\xc1\xc1"
    journal.write_bytes(journal.read_bytes() + message(ui_folder.NOTE) + broken + message(ui_folder.NOTE)[:-1])
    run = followed(root)
    run.update()
    assert run.state(whole=True)["progress"]["open"] == 7
