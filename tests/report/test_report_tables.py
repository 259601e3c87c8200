"""Tables of text: whatever the width of the terminal and the size of the numbers, no number lacks a digit."""

from __future__ import annotations

import io
import random
import re
from decimal import Decimal
from functools import cache
from itertools import pairwise

import msgspec
import pytest
import report_runs as runs
from handmade import record
from rich.text import Text

from lens.analysis.compare import Comparison, Shift
from lens.analysis.explore.groups import Sheet
from lens.analysis.gates.regression import Change, Regression
from lens.analysis.optimize.presets import OBJECTIVES
from lens.analysis.optimize.recommendation import Figure, OptimizationRecommendation, Standing
from lens.analysis.sides import Compared, sides_of
from lens.metrics.builder import table_of
from lens.metrics.distribution import Distribution, Histogram
from lens.metrics.intervals import Interval
from lens.metrics.session_summary import SessionSummary, TurnRow
from lens.metrics.stages import StageRow
from lens.metrics.summarize import summarize
from lens.metrics.tool_definitions import TOOLS, ToolFigure
from lens.model import Target
from lens.report.analyze import _print_regression, print_sheet
from lens.report.compare import print_comparison
from lens.report.essentials import print_essentials
from lens.report.optimize import print_recommendation
from lens.report.plots import print_histogram
from lens.report.run import print_report
from lens.report.sessions import print_sessions
from lens.report.tables import WholeTable, print_left_out, without
from lens.report.terminal import console_for
from lens.report.tool_figures import print_tool

WIDE = 1000  # all columns fit
NUMBER = re.compile(r"\d(?:[\d.,]*\d)?")
# 40 letters and none of them a digit, so that a name that is folded is no number that is cut.
NAMES = [f"a-target-{letter}-of-a-very-long-name-of-letters"[:40] for letter in "uvwxyz"]
SUMMARY = summarize(table_of([record()]))
SIDES = sides_of(table_of([record(target=name, target_index=i, index=i) for i, name in enumerate(NAMES)]))
PERCENTILES = ("p50", "p90", "p95", "p99")
METRICS = {
    "ttft_ms": "ms", "itl_ms": "ms", "total_latency_ms": "ms", "tool_silence_before_ms": "ms", "tokens_per_second": "",
}  # fmt: skip


class Made:
    """Makes data whose numbers have so many digits before the point."""

    def __init__(self, digits):
        self._random, self._digits = random.Random(digits), digits

    def whole(self):
        return self._random.randrange(10 ** (self._digits - 1), 10**self._digits)

    def number(self):
        return self.whole() + self._random.random()

    def distribution(self, metric, unit):
        values = sorted(self.number() for _ in range(7))
        each = dict(zip(PERCENTILES, values[1:5], strict=True))
        sure = {
            name: Interval(low=value - self.number(), high=value + self.number(), level=0.95, batch=1)
            for name, value in each.items()
        }
        edges = tuple(sorted(self.number() for _ in range(5)))
        return Distribution(
            metric=metric, unit=unit, n=self.whole(), min=values[0], max=values[6], mean=values[5], std_dev=1.0,
            median=values[1], percentiles=each, intervals=sure,
            histogram=Histogram(edges=edges, counts=tuple(self.whole() for _ in range(4))),
        )  # fmt: skip

    def summary(self, **more):
        n = self.whole()
        found = {name: self.distribution(name, unit) for name, unit in METRICS.items()}
        return msgspec.structs.replace(
            SUMMARY, requests=n, successes=n - self.whole() // 10, distributions=found,
            requests_per_second=self.number(), **more,
        )  # fmt: skip

    def stage(self, name):
        figures = {field: self.number() for field in StageRow.__struct_fields__ if field.endswith(("_s", "_ms", "_us"))}
        return StageRow(name=name, requests=self.whole(), failed=self.whole(), open_mean=self.number(), **figures)

    def turn(self, first):
        return TurnRow(
            first=first, last=first + 3, requests=self.whole(), failed=self.whole(), input_tokens=self.number(),
            cached_share=0.5, ttft_p50_ms=self.number(), ttft_p95_ms=self.number(), total_p50_ms=self.number(),
            critical_ms=self.number(), on_path=0.25, missed=self.whole(),
        )  # fmt: skip


def comparison(console, made):
    sides = [msgspec.structs.replace(side, summary=made.summary()) for side in SIDES]
    shifts = [
        Shift(
            metric="total_latency_ms", statistic=statistic, baseline=made.number(), candidate=made.number(),
            difference=made.number(), low=-made.number(), high=made.number(), relative=made.number(), p_value=0.001,
            p_adjusted=0.002, different=True, better=True, smallest_seen=made.number(), wins=1.0, n=8, paired=True,
        )
        for statistic in ("mean", "p95")
    ]  # fmt: skip
    one = Comparison(baseline=NAMES[0], candidate=NAMES[1], shifts=tuple(shifts), failed=(0, 0))
    print_comparison(console, Compared(sides=tuple(sides), comparisons=(one,)))


def essentials(console, made):
    print_essentials(console, made.summary(), runs.info())


def stages(console, made):
    print_report(console, made.summary(stages=tuple(map(made.stage, NAMES))), runs.info())


def sessions(console, made):
    found = SessionSummary(complete=2, failed=0, unfinished=0, turns=tuple(map(made.turn, (1, 5, 9))))
    print_sessions(console, made.summary(sessions=found))


def sheet(console, made, **more):
    rows = [(name, name[::-1], None, *[made.number() for _ in range(6)], made.whole()) for name in NAMES]
    print_sheet(console, Sheet(("target", "model", "label", *"abcdef", "requests"), rows, keys=3), **more)


def query(console, made):
    sheet(console, made, raw=True)


def regression(console, made):
    changes = [
        Change(
            metric="total_latency_ms", statistic=statistic, baseline=made.number(), current=made.number(),
            relative=made.number(), low=1.0, high=2.0, p_adjusted=0.001, smallest=made.number(), n=(9, 9),
            result="within tolerance", target=NAMES[0],
        )
        for statistic in ("mean", "p95")
    ]  # fmt: skip
    _print_regression(
        console, Regression(changes=tuple(changes), tolerance=0.1, baselines=1, run_to_run=False, not_compared=())
    )


def recommendation(console, made):
    target = Target(provider="vllm", model="m", url="http://localhost")
    standings = [
        Standing(
            name=name, target=target, requests=9, successes=9, excluded=(), unranked=None, front=True, best_share=0.123,
            figures={
                one: Figure(value=value, n=9, interval=(value - made.number(), value + made.number()))
                for one in OBJECTIVES
                for value in [made.number()]
            },
        )
        for name in NAMES
    ]  # fmt: skip
    print_recommendation(
        console,
        OptimizationRecommendation(
            current_config=target, recommended_config=None, current=NAMES[0], standings=tuple(standings),
            criteria={"latency": 2.0, "cost": 1.0},
        ),
    )  # fmt: skip


def tool(console, made):
    figures = [
        ToolFigure(
            name="a figure with a long name", ours="ttft_ms", n=made.whole(), mean=made.number(),
            percentiles={name: made.number() for name in PERCENTILES},
        )
        for _ in range(2)
    ]  # fmt: skip
    print_tool(console, next(iter(TOOLS.values())), figures, made.summary(total_cost=Decimal(1)))


def histogram(console, made):
    print_histogram(console, "TTFT", made.distribution("ttft_ms", "ms"))


@cache
def shown_at(width, page, digits):
    out = io.StringIO()
    console = console_for(out, width=80)
    console.width = width
    page(console, Made(digits))
    return out.getvalue()


PAGES = [
    comparison, essentials, stages, sessions, sheet, query, regression, recommendation, tool, histogram,
]  # fmt: skip


def heads(text):
    """Return the words of the heads of all tables of the page."""
    lines = text.splitlines()
    return {word for head, rule in pairwise(lines) if rule.startswith("──") for word in head.split()}


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
@pytest.mark.parametrize("page", PAGES)
def test_every_number_that_is_shown_is_shown_whole(page, width):
    for digits in (1, 5, 7, 9):
        whole, shown = shown_at(WIDE, page, digits), shown_at(width, page, digits)
        assert set(NUMBER.findall(shown)) <= set(NUMBER.findall(whole))
        assert set(NUMBER.findall(shown)) - {"50", "90", "95", "99"}
        assert "…" not in shown
        if page is not comparison:  # its targets are columns where there is room, and rows where there is none
            assert all(word in shown for word in heads(whole)), "a column that is left out is named"


def table_of_numbers():
    table = WholeTable(["name", "alpha", "beta", "gamma"], folds={0: 8})
    table.add_row("a name of some words", "12345", Text("6789012", style="bold"), "-")
    return table


@pytest.mark.parametrize(
    ("width", "left_out", "widest"),
    [
        (46, [], 46), (34, [], 34), (33, ["gamma"], 33), (26, ["gamma"], 26), (25, ["gamma", "alpha"], 25),
        (10, ["gamma", "alpha"], 18),
    ],
)  # fmt: skip
def test_columns_are_left_out_in_order_and_then_the_line_is_wider(width, left_out, widest):
    out = io.StringIO()
    console = console_for(out)
    console.width = width
    table = table_of_numbers()
    found = table.print(console, without(table.columns, ("gamma", "unknown", "alpha")))
    assert sorted(found) == sorted(left_out)
    assert "6789012" in out.getvalue()
    assert max(map(len, out.getvalue().splitlines())) == widest


@pytest.mark.parametrize(
    ("width", "says"),
    [
        (80, "not shown    alpha, beta: a wider terminal, or --format csv, has them\n"),
        (120, "not shown    alpha, beta: --format csv has them\n"),
    ],
)
def test_columns_that_are_left_out_are_named(width, says):
    out = io.StringIO()
    print_left_out(console_for(out, width=width), ["alpha", "beta"], "--format csv")
    assert out.getvalue() == says
    print_left_out(console_for(out, width=width), [])
    assert out.getvalue() == says
