"""The column `target`: from the record, from the header of an old file, and over several runs."""

import msgspec
from handmade import INFO, record

from lens.history.read import read_run
from lens.history.write import json_line
from lens.metrics.builder import read_table, table_of
from lens.metrics.joins import join_tables
from lens.model import Target


def info(*urls, named=()):
    targets = [
        Target(provider="openai", model="gpt-4", url=url, name=name, named=bool(name))
        for url, name in zip(urls, named or [""] * len(urls), strict=True)
    ]
    return msgspec.structs.replace(INFO, targets=tuple(targets))


def names(table):
    return table.codes("target").listed()


def test_a_record_says_whose_it_is():
    assert names(table_of([record(target="fast"), record(target="slow"), record()])) == ["fast", "slow", "openai/gpt-4"]


def test_records_without_a_name_have_that_of_the_header():
    two = [record(), record(target_index=1)]
    assert names(table_of(two, info("http://a", "http://b"))) == ["openai/gpt-4@a", "openai/gpt-4@b"]


def test_a_record_of_another_model_than_the_header_keeps_its_own():
    assert names(table_of([record(model="gpt-5")], info("http://a"))) == ["openai/gpt-5"]


def test_one_model_at_two_addresses_is_two_targets_over_several_runs_too():
    a, b = (table_of([record(target="openai/gpt-4")], info(url, named=["openai/gpt-4"])) for url in "ab")
    assert names(join_tables([a, b])) == ["openai/gpt-4", "openai/gpt-4"], "these names were given"
    a, b = (table_of([record()], info(f"http://{host}")) for host in "ab")
    assert names(join_tables([a, b])) == ["openai/gpt-4@a", "openai/gpt-4@b"]
    assert names(join_tables([a, a])) == ["openai/gpt-4", "openai/gpt-4"]


def test_no_request_has_no_target():
    assert names(table_of([], INFO)) == []


def test_a_file_of_layout_2_is_read_with_its_index(tmp_path):
    path = tmp_path / "old.jsonl"
    row = msgspec.json.decode(json_line(record()))
    rows = [row, {**row, "target": 1}]
    head = msgspec.structs.replace(info("http://a", "http://b"), schema=2)
    path.write_bytes(json_line(head) + b"".join(msgspec.json.encode(one) + b"\n" for one in rows))
    table, warnings = read_table(path)
    assert warnings == ()
    assert names(table) == ["openai/gpt-4@a", "openai/gpt-4@b"]
    assert [one.target_index for one in table.records()] == [0, 1]
    assert [one.target_index for one in read_run(path).records] == [0, 1]
