"""Several runs as one body, and groups of it: labels, files, windows; and the sheet of groups."""

import msgspec
import numpy as np
import pytest
from handmade import INFO, START, failed_record, record, stamps

from lens.analysis.explore.fields import field_named, listed
from lens.analysis.explore.groups import MOST_GROUPS, Groups, figures_named, percents_of
from lens.errors import ConfigError, FileError
from lens.history.write import write_run
from lens.metrics.builder import read_tables, table_of
from lens.metrics.joins import join_tables
from lens.metrics.summarize import summarize

MS = 1_000_000


def one(i, minute=0, *, clock=START, **more):
    """Request i of a run whose monotonic clock stands at `clock`; a second apart, 100 ms long."""
    begin = clock + i * 1000 * MS
    given = {
        "request_id": f"{clock}-{i}",
        "index": i,
        "timestamp": f"2026-03-01T00:{minute:02}:{i:02}+00:00",
        "stamps": stamps(begin, send_start=0, send_end=0, first_byte=40, end=100),
    }
    return record((50.0, 60.0, 70.0), **(given | more))


def run(name, *records, **labels):
    return table_of(records, msgspec.structs.replace(INFO, labels=labels), name=name)


def read(table, field):
    return listed(field_named(field, table)(table))


def test_rates_are_over_the_sum_of_the_windows_and_not_over_the_time_between_the_runs():
    found = join_tables(
        [run("a", *[one(i) for i in range(3)]), run("b", *[one(i, 50, clock=99 * START) for i in range(3)])]
    )
    summary = summarize(found)
    assert summary.window_s == pytest.approx(2 * 2.1)
    assert summary.requests_per_second == pytest.approx(6 / 4.2)
    assert summary.concurrency_mean == pytest.approx(0.6 / 4.2)


def test_labels_of_the_record_come_before_those_of_its_run():
    found = run("a", one(0), one(1, labels={"team": "x"}), team="run", region="eu")
    assert read(found, "team") == ["run", "x"]
    assert read(found, "label.region") == ["eu", "eu"]
    assert read(found, "file") == ["a", "a"]


def test_labels_and_files_are_those_of_each_run():
    found = join_tables([run("a", one(0), team="x"), run("b", one(0, clock=99 * START), one(1), region="eu")])
    assert read(found, "file") == ["a", "b", "b"]
    assert read(found, "team") == ["x", None, None]
    assert read(found, "region") == [None, "eu", "eu"]


def test_a_label_goes_before_a_field_of_its_name():
    assert read(run("a", one(0, labels={"model": "mine"})), "model") == ["mine"]


def test_what_is_no_run_says_so(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 and more")
    with pytest.raises(FileError, match="Parquet table: figures without the stamps"):
        read_tables([tmp_path / "x.parquet"])
    with pytest.raises(FileError, match="cannot read"):
        read_tables([tmp_path / "absent.jsonl"])


def test_files_of_one_name_are_told_apart_by_their_paths(tmp_path):
    paths = [tmp_path / "a" / "run.jsonl", tmp_path / "b" / "run.jsonl"]
    for number, path in enumerate(paths):
        path.parent.mkdir()
        write_run(path, INFO, [one(number)])
    found, _ = read_tables(paths)
    assert [one.name for one in found.runs] == [str(path) for path in paths]
    assert read(found, "file") == [str(path) for path in paths]


def test_a_sheet_has_a_row_a_group_and_a_column_a_figure():
    records = [*[one(i, model="ab"[i % 2]) for i in range(8)], failed_record(request_id="bad", model="b")]
    figures = figures_named("ttft_p50,total_latency_ms,success_rate,error_rate,ttft_p99")
    sheet = Groups(run("a", *records), ["model"], percents=percents_of(figures)).sheet(figures)
    assert sheet.columns == (
        "model", "requests", "failed", "ttft_ms_p50", "total_latency_ms_mean", "success_rate", "error_rate",
        "ttft_ms_p99",
    )  # fmt: skip
    assert sheet.rows == [
        ("a", 4, 0, 50.0, 100.0, 1.0, 0.0, None),
        ("b", 5, 1, 50.0, 100.0, 0.8, pytest.approx(0.2), None),
    ]


def test_the_cells_of_a_sheet_are_the_figures_of_the_groups_summaries():
    rng = np.random.default_rng(1)
    records = [
        record(tuple(rng.uniform(50, 300) + np.cumsum(rng.uniform(1, 20, 6))), request_id=f"r{i}", model="abc"[i % 3])
        for i in range(70)
    ]
    names = [
        f"{metric}_{one}" for metric in ("ttft", "itl") for one in ("p50", "p95", "p99", "mean", "min", "max", "std")
    ]
    figures = figures_named(",".join(names))
    groups = Groups(run("a", *records), ["model"], percents=percents_of(figures))
    for row, group in zip(groups.sheet(figures).rows, groups, strict=True):
        for cell, (metric, statistic) in zip(row[3:], figures, strict=True):
            found = group.summary.distributions[metric]
            known = found.percentiles.get(statistic) if statistic[0] == "p" else getattr(found, statistic)
            assert cell == (None if known is None else pytest.approx(known))


def test_a_field_that_is_unknown_names_the_nearest():
    found = run("a", one(0), region="eu")
    with pytest.raises(ConfigError, match="did you mean region"):
        Groups(found, ["regoin"])
    with pytest.raises(ConfigError, match="did you mean ttft_ms"):
        figures_named("tfft_ms")


def test_a_group_for_nearly_each_request_is_a_mistake():
    many = table_of([record(index=i) for i in range(MOST_GROUPS + 1)])
    with pytest.raises(ConfigError, match="10001 groups; choose a field with fewer values"):
        Groups(many, ["index"])
