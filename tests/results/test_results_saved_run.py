"""Run files as the library reads and writes them, by text and by Path."""

from __future__ import annotations

from pathlib import Path

import pytest
from handmade import INFO, record

import lens
from lens.errors import FileError
from lens.pricing import PriceBook, parse_price

RECORDS = [record(index=0), record((100, 130), index=1)]


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("name", ["run.jsonl", "run.msgpack"])
def test_a_run_comes_back_as_it_was_written(kind, name, tmp_path):
    path = kind(tmp_path / name)
    lens.write_run(path, INFO, RECORDS)
    info, records = saved = lens.read_run(path)
    assert (info, records) == (INFO, RECORDS)
    assert saved.warnings == ()
    assert saved.summary.requests == len(saved.table) == 2
    assert [one.ttft_ms for one in saved.requests] == [100.0, 100.0]
    assert repr(saved) == "SavedRun(2 requests, a1b2c3)"


def test_costs_are_at_the_prices_that_were_given(tmp_path):
    lens.write_run(tmp_path / "run.jsonl", INFO, RECORDS)
    saved = lens.read_run(tmp_path / "run.jsonl", book=PriceBook((parse_price("in=1000000,out=0"),)))
    assert saved.summary.total_cost == 84 == sum(one.total_cost for one in saved.requests)


def test_what_is_cut_off_is_reported(tmp_path):
    path = tmp_path / "run.jsonl"
    lens.write_run(path, INFO, RECORDS)
    *lines, _ = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines)[:-20])
    saved = lens.read_run(path)
    assert len(saved.records) == 1
    assert saved.warnings[0] == "line 3 is cut off; the rest was kept"


def test_an_error_names_the_argument_that_helps(tmp_path):
    path = tmp_path / "run.jsonl"
    lens.write_run(path, INFO, RECORDS)
    with pytest.raises(FileError, match="exists; choose another path, or force=True to replace it"):
        lens.write_run(path, INFO, [])
    lens.write_run(str(path), INFO, [], force=True)
    assert lens.read_run(path).records == []
    with pytest.raises(FileError, match="cannot read"):
        lens.read_run(str(tmp_path / "none.jsonl"))
