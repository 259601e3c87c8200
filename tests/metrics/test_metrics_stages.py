"""A row a stage, worked out on paper; and what is said of a schedule that was not kept."""

import msgspec
import pytest
from handmade import START, failed_record, record, stamps

from lens.metrics.builder import table_of
from lens.metrics.stages import stage_rows
from lens.model import Try

MS = 1_000_000


def sent(index, late_ms=0.0, stage="10/s", gap_ms=100):
    intended = START + index * gap_ms * MS
    made = stamps(intended, send_start=late_ms, send_end=late_ms, first_byte=40, end=60)
    return record((50, 55), index=index, stage=stage, stamps=msgspec.structs.replace(made, intended=intended))


def test_rates_and_lags_of_an_open_loop():
    (row,) = stage_rows(table_of([sent(i, late_ms=0.5) for i in range(21)]))
    assert (row.name, row.requests, row.failed) == ("10/s", 21, 0)
    assert row.asked_per_s == pytest.approx(10)
    assert row.sent_per_s == pytest.approx(10)
    assert row.lag_p50_us == pytest.approx(500)
    assert row.ttft_p50_ms == row.ttft_p95_ms == 50
    assert row.kept
    assert row.late_for is None


def test_a_retry_is_asked_and_first_sent_at_its_time():
    tries = (Try(start_ns=1, end_ns=2, category="rate_limited", wait_ns=3),)
    records = [sent(i, late_ms=0.5) for i in range(21)]
    late = sent(10, late_ms=0.5)
    waited = msgspec.structs.replace(late.stamps, start=late.stamps.start + 5000 * MS)
    records[10] = msgspec.structs.replace(late, tries=tries, stamps=waited)
    (row,) = stage_rows(table_of(records))
    assert row.asked_per_s == pytest.approx(10)
    assert row.sent_per_s == pytest.approx(10)
    assert row.lag_p99_us == pytest.approx(500), "its wait is no lag of this client"
    assert table_of(records).metric("ttft_from_schedule_ms").max() == 5050


def test_percentiles_of_gaps_and_too_few_of_them():
    (row,) = stage_rows(table_of([record(tuple([sum(range(i + 1)) for i in range(21)]))]))
    assert (row.itl_p50_ms, row.itl_p95_ms) == (10, 19)
    (row,) = stage_rows(table_of([record((50, 55, 61))]))
    assert (row.itl_p50_ms, row.itl_p95_ms, row.ttft_p95_ms) == (5, None, None)


def test_a_closed_loop_asks_for_no_rate():
    (row,) = stage_rows(table_of([record((100,), stage="4 at a time")]))
    assert row.asked_per_s is row.sent_per_s is row.lag_p99_us is None
    assert row.kept


@pytest.mark.parametrize(("late_ms", "kept"), [(2, True), (80, False)])
def test_the_last_of_a_few_that_is_a_little_late_is_no_other_rate(late_ms, kept):
    (row,) = stage_rows(table_of([sent(0), sent(1), sent(2, late_ms=late_ms)]))
    assert row.sent_per_s < 0.995 * row.asked_per_s
    assert row.kept == kept


def test_the_first_wave_of_a_closed_loop_is_what_was_sent_before_the_first_end():
    def at(start_ms, send_ms):
        begun = stamps(START + start_ms * MS, send_start=send_ms, send_end=send_ms, first_byte=40, end=60)
        return record((50, 55), index=start_ms, stamps=begun)

    waves = [at(0, 1), at(0, 3), at(10, 12), at(61, 1), at(63, 1)]
    (row,) = stage_rows(table_of(waves))
    assert (row.first_wave, row.first_wave_ms) == (3, 21.0)
    (row,) = stage_rows(table_of([at(0, 1), at(61, 1)]))
    assert row.first_wave is row.first_wave_ms is None
    (row,) = stage_rows(table_of([sent(i, late_ms=0.5) for i in range(21)]))
    assert row.first_wave is None, "an open loop has none"


def test_stages_stand_in_the_order_in_which_they_began_and_warm_up_is_left_out():
    first = [sent(i, stage="a") for i in range(3)]
    second = [sent(i + 10, stage="b") for i in range(3)]
    warm = msgspec.structs.replace(sent(0, stage="warm-up"), warmup=True)
    assert [row.name for row in stage_rows(table_of([*second, warm, *first]))] == ["a", "b"]


def test_failures_are_counted():
    (row,) = stage_rows(table_of([failed_record(stage="a"), record((100,), stage="a")]))
    assert (row.requests, row.failed) == (2, 1)
