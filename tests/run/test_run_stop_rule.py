"""The stop rule: what it says of a run that it did not end."""

import pytest
from handmade import record

from lens.run.stop_rule import Until


@pytest.mark.parametrize(
    ("requests", "says"),
    [
        (0, "ttft_ms p50: too few values (0) for a confidence interval; the first look is at 100"),
        (60, "ttft_ms p50: too few values (60) for a confidence interval; the first look is at 100"),
    ],
)
def test_values_that_were_not_looked_at_yet_are_counted(requests, says):
    until = Until("ttft_p50:5%")
    for _ in range(requests):
        until.add(record())
    assert not until.enough()
    assert until.says() == says


def test_two_looks_that_find_the_interval_narrow_are_enough():
    until = Until("ttft_p50 5%")
    for number in range(200):
        until.add(record((100 + number % 2, 110)))
    assert until.enough()
    assert "reached +-0.05" in until.says()
