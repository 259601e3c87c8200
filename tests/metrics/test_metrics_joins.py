"""Tables of several runs as one: a file of two runs is read as two, and its rates are over their own windows."""

from __future__ import annotations

import pytest
from handmade import INFO, record
from msgspec.structs import replace

from lens.history.write import write_run
from lens.metrics.builder import read_table, table_of
from lens.metrics.joins import join_tables
from lens.metrics.summarize import summarize


def test_requests_of_several_tables_keep_their_runs_and_values():
    one = table_of([record(stage="a"), record(stage="b")], INFO)
    two = table_of([record(stage="b", model="other")], INFO)
    whole = join_tables([one, two])
    assert [whole.codes("stage").listed(), whole.column("run").tolist()] == [["a", "b", "b"], [0, 0, 1]]
    assert whole.codes("model").listed()[-1] == "other"
    assert len(whole.runs) == 2
    assert whole.metric("ttft_ms").tolist() == [*one.metric("ttft_ms"), *two.metric("ttft_ms")]


def test_a_file_that_holds_two_runs_is_read_as_two(tmp_path):
    records = [record(request_id=str(number)) for number in range(4)]
    for number, part in enumerate((records[:2], records[2:])):
        write_run(tmp_path / f"{number}.jsonl", replace(INFO, run_id=str(number)), part)
    joined = tmp_path / "both.jsonl"
    joined.write_bytes((tmp_path / "0.jsonl").read_bytes() + (tmp_path / "1.jsonl").read_bytes())
    table, warnings = read_table(joined)
    assert [warnings, len(table), table.column("run").tolist()] == [(), 4, [0, 0, 1, 1]]
    assert [one.request_id for one in table.records()] == ["0", "1", "2", "3"]
    alone, _ = read_table(tmp_path / "0.jsonl")
    assert summarize(table).window_s == pytest.approx(2 * summarize(alone).window_s)
