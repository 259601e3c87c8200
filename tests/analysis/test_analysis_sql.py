"""SQL over runs: what it gives, what it says of mistakes, and that it reaches nothing but the table."""

import msgspec
import numpy as np
import pytest
from handmade import INFO, failed_record, record
from needs import need_module

from lens.analysis.explore.sql import query
from lens.errors import ConfigError
from lens.metrics.builder import table_of
from lens.metrics.distribution import percentile
from lens.pricing import PriceBook, parse_price

need_module("duckdb", "pip install 'llm-latency-lens[sql]'")
BOOK = PriceBook([parse_price("in=1,out=1")])


@pytest.fixture
def table():
    info = msgspec.structs.replace(INFO, labels={"region": "eu"})
    records = [
        record((100.0 + i, 110.0 + i), request_id=f"r{i}", index=i, model="ab"[i % 2], labels={"team": f"t{i % 2}"})
        for i in range(20)
    ]
    return table_of([*records, failed_record(request_id="bad")], info, BOOK, name="one.jsonl")


def ask(table, sql):
    return query(sql, table)


def test_a_query_groups_and_ranks(table):
    found = ask(
        table, "select model, quantile_cont(ttft_ms, 0.5) as half from runs where ttft_ms > 0 group by 1 order by 1"
    )
    assert found.columns == ("model", "half")
    assert found.rows == [("a", pytest.approx(109)), ("b", pytest.approx(110))]


def test_what_was_not_measured_is_null_and_whole_numbers_are_whole(table):
    sql = "select ttft_ms, http_status, reused, tokens_per_second from runs where request_id = 'bad'"
    assert ask(table, sql).rows == [(None, 429, None, None)]


def test_labels_file_run_time_and_costs_are_columns(table):
    sql = "select team, region, file, run, year(time), total_cost from runs where request_id = 'r1'"
    assert ask(table, sql).rows == [("t1", "eu", "one.jsonl", "a1b2c3", 2025, pytest.approx(44e-6))]


def test_the_table_describes_itself(table):
    names = {row[0]: row[1] for row in ask(table, "describe runs").rows}
    assert names["ttft_ms"] == "DOUBLE"
    assert names["time"] == "TIMESTAMP"
    assert names["reused"] == "BOOLEAN"


def test_a_percentile_of_gaps_is_that_of_all_of_them_as_on_every_page():
    at = [(100.0, 110.0, 120.0, 130.0, 190.0), (100.0, 112.0), (100.0, 105.0, 145.0)]
    table = table_of([record(one, request_id=f"r{i}", index=i, model="ab"[i % 2]) for i, one in enumerate(at)])
    gaps = sorted(table.values("itl_ms").tolist())
    assert ask(table, "select count(*), quantile_disc(itl_ms, 0.95), avg(itl_ms) from itl_ms").rows == [
        (len(gaps), percentile(np.array(gaps), 95), pytest.approx(sum(gaps) / len(gaps)))
    ]
    of_models = "select model, max(itl_ms) from itl_ms join runs on request = runs.rowid group by 1 order by 1"
    assert ask(table, of_models).rows == [("a", pytest.approx(60)), ("b", pytest.approx(12))]
    assert ask(table, "select itl_ms_mean from runs order by index").rows == [
        (pytest.approx(value),) for value in table.metric("itl_ms").tolist()
    ]


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("select quantile_cont(itl_ms, 0.95) from runs", "itl_ms is a table of all values .from itl_ms., itl_ms_mean"),
        ("select tfft_ms from runs", "tfft_ms -> ttft_ms"),
        ("selec 1", "syntax error"),
        ("", "expected one statement, not 0"),
        ("select 1; select 2", "expected one statement, not 2"),
        ("delete from runs", "DELETE is not allowed"),
        ("create table x as select 1", "CREATE is not allowed"),
        ("set lock_configuration = false", "is not allowed"),
        ("attach '{file}' as x", "ATTACH is not allowed"),
        ("copy runs to '{file}'", "COPY is not allowed"),
        ("install httpfs", "is not allowed"),
        ("load httpfs", "is not allowed"),
        ("select * from read_csv('{file}')", "Permission"),
        ("select * from read_text('{file}')", "Permission"),
        ("select * from glob('{folder}/*')", "Permission"),
        ("select * from '{file}'", "Permission"),
        ("select * from read_csv('http://127.0.0.1:9/x.csv')", "--sql"),
        ("explain analyze select * from read_text('{file}')", "Permission"),
        ("select * from sources", "does not exist"),
        ("from duckdb_secrets() select nothing", "--sql"),
    ],
)
def test_nothing_else_is_reached(table, sql, says, tmp_path):
    file = tmp_path / "secret.csv"
    file.write_text("word\nsesame\n")
    with pytest.raises(ConfigError, match=says) as error:
        ask(table, sql.format(file=file, folder=tmp_path))
    assert "sesame" not in str(error.value)
    assert "\n" not in str(error.value)
    assert [one.name for one in tmp_path.iterdir()] == ["secret.csv"]
