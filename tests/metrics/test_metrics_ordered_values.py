"""Values that memory should not hold are sorted on disk as they would be in memory."""

import mmap

import numpy as np
import pytest

from lens.metrics import column_buffers, intervals, long_series, ordered_values
from lens.metrics.distribution import SURE_OF, distribution, distribution_of_pieces
from lens.metrics.ordered_values import ordered_values as in_order

N = 20_000
CHANCE = np.random.default_rng(5)
SERIES = {
    "different": CHANCE.lognormal(3, 1, N),
    "few values": CHANCE.integers(0, 4, N).astype(float),
    "one value": np.full(N, 7.0),
    "nearly one value": np.where(CHANCE.random(N) < 0.01, CHANCE.random(N), 0.0),
    "rising": np.arange(N, dtype=float),
    "falling": np.arange(N, 0, -1, dtype=float),
    "two states": np.repeat(CHANCE.lognormal(3, 1, N // 100), 100) + CHANCE.random(N),
}


@pytest.fixture
def on_disk(monkeypatch):
    """More than a thousand values go to disk, five hundred at a time."""
    monkeypatch.setattr(ordered_values, "MOST_IN_MEMORY", 1000)
    monkeypatch.setattr(ordered_values, "PIECE", 500)
    monkeypatch.setattr(ordered_values, "EVERY", 16)
    monkeypatch.setattr(column_buffers, "LEAST_ON_DISK", 1000)
    monkeypatch.setattr(column_buffers, "PIECE_BYTES", 300)


def pieces(series, length=333):
    return [series[at : at + length].copy() for at in range(0, len(series), length)]


def lies_on_disk(column):
    return isinstance(getattr(column.base, "obj", None), mmap.mmap)


@pytest.mark.parametrize("name", SERIES)
def test_order_on_disk_is_that_of_memory(on_disk, name):
    series = SERIES[name]
    found = in_order(pieces(series), by_time=True)
    assert lies_on_disk(found.by_size)
    assert lies_on_disk(found.by_time)
    np.testing.assert_array_equal(found.by_size, np.sort(series))
    np.testing.assert_array_equal(found.by_time, series.astype("f4"))
    assert in_order(pieces(series)).by_time is None


@pytest.mark.parametrize("length", [0, 1, 999, 1000])
def test_few_values_stay_in_memory(on_disk, length):
    series = SERIES["different"][:length]
    found = in_order(pieces(series), by_time=True)
    assert not lies_on_disk(found.by_size)
    np.testing.assert_array_equal(found.by_size, np.sort(series))
    np.testing.assert_array_equal(found.by_time, series)


def test_one_value_in_many_places_never_lies_in_memory_as_a_whole(on_disk, monkeypatch):
    longest = []
    append = column_buffers.DiskBuffer.append
    monkeypatch.setattr(
        column_buffers.DiskBuffer, "append", lambda self, some: (longest.append(len(some)), append(self, some))[1]
    )
    in_order(pieces(SERIES["nearly one value"]))
    assert max(longest) < 5 * 500


@pytest.mark.parametrize("name", SERIES)
def test_a_distribution_is_the_same_to_the_last_bit_wherever_its_values_lie(on_disk, monkeypatch, name):
    monkeypatch.setattr(long_series, "LONG", 1 << 13)
    monkeypatch.setattr(ordered_values, "LONG", 1 << 13)
    monkeypatch.setattr(long_series, "MOST", 3000)
    series = SERIES[name]
    there = distribution_of_pieces("itl_ms", "ms", pieces(series), sure_of=SURE_OF)
    here = distribution("itl_ms", "ms", series, sure_of=SURE_OF)
    assert there == here
    assert there is not None
    assert there.intervals or there.no_interval
    assert intervals.FEWEST < N


def test_no_values_have_no_distribution():
    assert distribution_of_pieces("itl_ms", "ms", []) is None
