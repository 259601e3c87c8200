"""What people write becomes nanoseconds, counts and rates, or a message that says what would."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens.units import (
    NS_PER_MS,
    NS_PER_S,
    human_duration,
    parse_count,
    parse_duration_ns,
    parse_number,
    parse_rate_per_s,
)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("60", 60 * NS_PER_S),
        ("1.5", 3 * NS_PER_S // 2),
        (".5s", NS_PER_S // 2),
        ("500ms", 500 * NS_PER_MS),
        ("1m30s", 90 * NS_PER_S),
        ("1 min 30 s", 90 * NS_PER_S),
        ("2h", 7200 * NS_PER_S),
        ("1d", 86400 * NS_PER_S),
        ("250us", 250_000),
        ("7ns", 7),
        (" 3s ", 3 * NS_PER_S),
    ],
)
def test_a_duration_is_read_as_it_is_meant(text, ns):
    assert parse_duration_ns(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "1x",
        "s",
        "-1s",
        "1s2",
        "1..5s",
        "\u00b3s",
        "9" * 400,
        "9999999999h",
        "1e3s",
        "nan",
        "9" * 20_000 + "x",
    ],
)
def test_what_is_no_duration_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="write 60, 60s, 1m30s or 500ms"):
        parse_duration_ns(text)


@pytest.mark.parametrize(("text", "per_s"), [("10", 10), ("10/s", 10), ("600/m", 10), ("36000/h", 10), ("0.5", 0.5)])
def test_a_rate_is_read_as_it_is_meant(text, per_s):
    assert parse_rate_per_s(text) == per_s


@pytest.mark.parametrize("text", ["", "0", "-1", "fast", "10/d", "inf", "nan", "10//s", "1e308", "1e9/m0"])
def test_what_is_no_rate_is_refused(text):
    with pytest.raises(ValueError, match="is not a rate"):
        parse_rate_per_s(text)


@given(st.integers(0, 10**18 - 1))
def test_a_count_comes_back(count):
    assert parse_count(str(count)) == parse_count(f" {count} ") == count


# Digits to str.isdigit(), but not to int(); and more of them than int() takes.
@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", "1e3", "1_0", "\u00b3", "\u0663", "9" * 19, "9" * 5000])
def test_what_is_no_count_is_none(text):
    assert parse_count(text) is None


@given(st.integers(0, 10**15))
def test_a_human_duration_is_within_its_rounding(ns):
    number, unit = human_duration(ns).split()
    size = {"ns": 1, "us": 1000, "ms": NS_PER_MS, "s": NS_PER_S}[unit]
    assert abs(float(number) * size - ns) <= 0.005 * size + 1e-6 * ns


@pytest.mark.parametrize("text", ["inf", "-inf", "nan", "1e400", "", "x"])
def test_what_no_request_can_hold_is_no_number(text):
    with pytest.raises(ValueError, match="is not a"):
        parse_number(text)


def test_a_number_is_read():
    assert [parse_number(text) for text in ("0.7", "-1", "1e3")] == [0.7, -1, 1000]
