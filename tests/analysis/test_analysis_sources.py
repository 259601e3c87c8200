"""Several runs as one body: order, windows, labels, what stands twice, what is no run; and the sheet of groups."""

import msgspec
import pytest
from handmade import INFO, START, failed_record, record, stamps

from lens.analysis.explore.groups import figures_named, groups_of, percents_of, sheet_of
from lens.analysis.sources import Source, Sources, read_sources, summary_of
from lens.errors import ConfigError, FileError
from lens.history.read import Run
from lens.history.write import write_run
from lens.pricing import PriceBook

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


def source(name, *records, **labels):
    return Source(name, Run(info=msgspec.structs.replace(INFO, labels=labels), records=list(records)))


def test_records_of_several_files_come_in_the_order_of_the_day():
    late, early = [one(i, 30) for i in range(3)], [one(i, 10, clock=9 * START) for i in range(3)]
    found = Sources([source("late", *late), source("early", *early)])
    assert found.records == early + late
    assert [found.of(record).name for record in found.records] == ["early"] * 3 + ["late"] * 3


def test_a_request_that_stands_in_two_files_is_taken_once_and_that_is_told():
    found = Sources([source("run", one(0), one(1)), source("journal", one(1), one(2))])
    assert [record.index for record in found.records] == [0, 1, 2]
    assert found.warnings == ["1 request stands in more than one of the files: taken once"]


def test_rates_are_over_the_sum_of_the_windows_and_not_over_the_time_between_the_runs():
    found = Sources(
        [source("a", *[one(i) for i in range(3)]), source("b", *[one(i, 50, clock=99 * START) for i in range(3)])]
    )
    summary = summary_of(found.parts(found.records), PriceBook())
    assert summary.window_s == pytest.approx(2 * 2.1)
    assert summary.requests_per_second == pytest.approx(6 / 4.2)
    assert summary.concurrency_mean == pytest.approx(0.6 / 4.2)


def test_labels_of_the_record_come_before_those_of_its_run():
    found = Sources([source("a", one(0), one(1, labels={"team": "x"}), team="run", region="eu")])
    read = [found.fields["team"](record) for record in found.records]
    assert read == ["run", "x"]
    assert found.fields["label.region"](found.records[0]) == "eu"
    assert found.fields["file"](found.records[0]) == "a"


def test_warm_up_is_not_meant():
    found = Sources([source("a", one(0, warmup=True), one(1))])
    assert [record.index for record in found.where(lambda _: True)] == [1]


def test_what_is_no_run_says_so(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 and more")
    with pytest.raises(FileError, match="Parquet table: figures without the stamps"):
        read_sources([tmp_path / "x.parquet"])
    with pytest.raises(FileError, match="cannot read"):
        read_sources([tmp_path / "absent.jsonl"])


def test_files_of_one_name_are_told_apart_by_their_paths(tmp_path):
    paths = [tmp_path / "a" / "run.jsonl", tmp_path / "b" / "run.jsonl"]
    for path in paths:
        path.parent.mkdir()
        write_run(path, INFO, [one(0)])
    assert [found.name for found in read_sources(paths).sources] == [str(path) for path in paths]


def test_a_sheet_has_a_row_a_group_and_a_column_a_figure():
    records = [*[one(i, model="ab"[i % 2]) for i in range(8)], failed_record(request_id="bad", model="b")]
    found = Sources([source("a", *records)])
    figures = figures_named("ttft_p50,total_latency_ms,success_rate,error_rate,ttft_p99")
    groups = groups_of(found, found.records, ["model"], PriceBook(), percents=percents_of(figures))
    sheet = sheet_of(groups, ["model"], figures)
    assert sheet.columns == (
        "model", "requests", "failed", "ttft_ms_p50", "total_latency_ms_mean", "success_rate", "error_rate",
        "ttft_ms_p99",
    )  # fmt: skip
    assert sheet.rows == [
        ("a", 4, 0, 50.0, 100.0, 1.0, 0.0, None),
        ("b", 5, 1, 50.0, 100.0, 0.8, pytest.approx(0.2), None),
    ]


def test_a_field_that_is_unknown_names_the_nearest():
    found = Sources([source("a", one(0), region="eu")])
    with pytest.raises(ConfigError, match="did you mean region"):
        groups_of(found, found.records, ["regoin"], PriceBook())
    with pytest.raises(ConfigError, match="did you mean ttft_ms"):
        figures_named("tfft_ms")
