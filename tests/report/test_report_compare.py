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
    verdict, _, sides = text.partition("\n\n")
    lost = "1 of its requests failed or brought nothing (0 of near)"
    assert " ".join(verdict.split()) == f"verdict far against near: better in ttft_ms mean -50.0%; {lost}"
    assert sides.splitlines()[0].split() == ["near", "far"]
    failed, *_ = [line for line in text.splitlines() if line.startswith("failed ")]
    assert failed.split() == ["failed", "0", "of", "1", "1", "of", "2"]
    assert "1 x          far: rate_limited: Rate limit reached" in text
    for says in ("result       enough", "warning      stopped early", "instrument   2 us"):
        assert says in text


def test_a_page_says_how_sure_it_is_also_on_80_columns():
    assert "-60.00 to -40.00" in page(SHIFT, width=120)
    shown = page(SHIFT)
    assert "-60.00 to -40.00" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "-60.00 to -40.00" not in page(SHIFT, width=60)


def test_targets_that_have_no_room_side_by_side_have_a_row_each():
    table = table_of([record(target=f"a rather long name {i}", target_index=i) for i in range(5)])
    out = io.StringIO()
    print_comparison(console_for(out, width=80), Compared(sides=tuple(sides_of(table)), comparisons=()))
    assert out.getvalue().count("0 of 1\n") + out.getvalue().count("0 of 1 ") == 5
    assert any(line.startswith("target") for line in out.getvalue().splitlines())


def test_what_could_not_be_compared_is_reported():
    assert "too few requests succeeded on both sides to compare them" in page()


def test_every_column_that_says_how_sure_it_is_is_explained_once():
    for width, names in ((60, ["p"]), (80, ["95 %"]), (120, ["95 %", "p", "could see"])):
        lines = page(SHIFT, width=width).splitlines()
        head = next(line for line in lines if "shift" in line and "verdict" in line)
        for name in ("95 %", "p", "could see"):
            told = [line for line in lines if line.startswith(f"{name}  ")]
            assert (f" {name} " in head) == (name in names) == (len(told) == 1)
