"""A growing file is followed: however it is cut while it is written, the sums are those of its records."""

from __future__ import annotations

import statistics

import pytest
import ui_folder
from report_runs import START, loaded, write

from lens.history.write import MAGIC, json_line, message
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
    import msgspec

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
