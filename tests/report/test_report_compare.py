"""The page of a comparison: the verdict first, and no figure of two targets together."""

import io

from handmade import failed_record, record

from lens.analysis.compare import Comparison, Shift
from lens.analysis.sides import Compared, sides_of
from lens.metrics.builder import table_of
from lens.report.compare import print_comparison
from lens.report.terminal import console_for

SHIFT = Shift(
    metric="ttft_ms", statistic="mean", baseline=100.0, candidate=50.0, difference=-50.0, low=-60.0, high=-40.0,
    relative=-0.5, p_value=0.001, p_adjusted=0.002, different=True, better=True, smallest_seen=5.0, wins=1.0, n=8,
    paired=True,
)  # fmt: skip


def page(*shifts, width=80, **more):
    table = table_of(
        [record(target="near"), record((50, 60), target="far", target_index=1), failed_record(target="far")]
    )
    one = Comparison(baseline="near", candidate="far", shifts=shifts, failed=(0, 1))
    out = io.StringIO()
    print_comparison(console_for(out, width=width), Compared(sides=tuple(sides_of(table)), comparisons=(one,)), **more)
    return out.getvalue()


def test_the_verdict_comes_first_then_each_target():
    text = page(SHIFT, notes=["enough"], warnings=["stopped early"], instrument="2 us")
    first, *_ = text.splitlines()
    assert first.split() == ["verdict", "far", "against", "near:", "better", "in", "ttft_ms", "mean", "-50.0%"]
    (far,) = [line for line in text.splitlines() if line.startswith("far  ")]
    assert "1 of 2" in far
    assert "1 x          far: rate_limited: Rate limit reached" in text
    for says in ("result       enough", "warning      stopped early", "instrument   2 us"):
        assert says in text


def test_a_wide_page_says_how_sure_it_is():
    assert "-60.00 to -40.00" in page(SHIFT, width=120)
    assert "-60.00 to -40.00" not in page(SHIFT)


def test_what_could_not_be_compared_is_reported():
    assert "too few requests succeeded on both sides to compare them" in page()
