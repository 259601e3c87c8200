"""Sums a piece at a time are those of the whole series, to the last bit."""

import numpy as np
import pytest

from lens.metrics import long_series
from lens.metrics.long_series import ends_of, in_pieces, log_spread, mean_of, shortened, std_dev

LENGTHS = (1, 7, 1000, 1024, 1025, 12_345, 40_000, 65_536, 99_999)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A series of more than 1,024 values is long; of more than 700 it is shortened."""
    monkeypatch.setattr(long_series, "MOST", 700)


def values(length, kind):
    return np.random.default_rng(length).lognormal(3, 1, length).astype(kind)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("kind", "long"), [("f8", 1 << 10), ("f4", 1 << 13), ("f4", 1 << 14)])
def test_sums_are_those_of_the_whole_to_the_last_bit(monkeypatch, length, kind, long):
    series = values(length, kind)
    whole = float(series.mean(dtype="float64"))
    monkeypatch.setattr(long_series, "LONG", long)
    assert mean_of(series) == whole
    assert ends_of(series) == (series.min(), series.max())


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_a_shortened_series_is_that_of_one_piece(monkeypatch, length, kind):
    series = values(length, kind)
    middle = float(np.median(series))
    each = -(-length // 700)
    whole = length // each
    means = series[: whole * each].reshape(whole, each).mean(axis=1, dtype="float64")
    below = (series[: whole * each] <= middle).reshape(whole, each).mean(axis=1, dtype="float64")
    monkeypatch.setattr(long_series, "LONG", 1 << 10)
    np.testing.assert_array_equal(shortened(series), means)
    np.testing.assert_array_equal(shortened(series, upto=middle), below)


def test_spreads_are_those_of_the_whole(monkeypatch):
    series = values(99_999, "f8")
    monkeypatch.setattr(long_series, "LONG", 1 << 10)
    assert std_dev(series, mean_of(series)) == pytest.approx(series.std(ddof=1), rel=1e-12)
    assert log_spread(series) == pytest.approx(np.log(series).std(), rel=1e-9)


def test_pieces_are_the_series():
    series = values(1025, "f8")
    assert [len(piece) for piece in in_pieces(series, 512)] == [512, 512, 1]
    np.testing.assert_array_equal(np.concatenate([*in_pieces(series, 512)]), series)
