"""Measure on simulated truth what every statistical statement of the program keeps: `make calibration`.

Prints docs/statistics.md. Ends with code 1, and says which on stderr, where a statement does not keep what it says.
Seeded; one process.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from simulated import PROCESSES, met, truth

from lens.analysis.compare import Comparison, Shift, _corrected, shift
from lens.analysis.difference import Sides
from lens.metrics.change_points import change_points
from lens.metrics.intervals import Interval, intervals_of, mean_interval
from lens.monitor.watch import LEAST_CHANGE, SERIES
from lens.run.stop_rule import FEWEST, GROWTH, LOOKS
from lens.run.warmup import transient_length

SIZES = (30, 100, 300, 1000)
STATISTICS = ("mean", "p50", "p95")
LEAST_COVERAGE, MOST_WRONG, MOST_ALARMS, LEAST_POWER = 0.92, 0.08, 0.06, 0.85
# Standard errors by which a simulated share may miss its bound.
SLACK = 2.0
broken: list[str] = []


def simulated(process: str, runs: int, n: int, seed: int) -> np.ndarray:
    return PROCESSES[process](np.random.default_rng([seed, n]), runs, n)


def above(share: float, bound: float, runs: int) -> bool:
    """Whether a simulated share is above a bound by more than chance."""
    return share > bound + SLACK * (bound * (1 - bound) / max(runs, 1)) ** 0.5


def below(share: float, bound: float, runs: int) -> bool:
    return above(1 - share, 1 - bound, runs)


def row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def table(*head: object) -> Iterator[str]:
    yield row(*head)
    yield row(*["---"] * len(head))


def alarm(what: str, hits: int, runs: int, bound: float = MOST_ALARMS) -> str:
    """Return the share of false alarms, and remember it where there are too many."""
    if above(hits / runs, bound, runs):
        broken.append(f"{what}: {hits / runs:.1%} of {runs}")
    return f"{hits / runs:.1%}"


def coverage(runs: int = 300) -> Iterator[str]:
    yield from table("process", "statistic", *[f"n = {n}" for n in SIZES])
    for process in PROCESSES:
        cells: dict[float | None, list[str]] = {None: [], 50: [], 95: []}
        for n in SIZES:
            series = met(process, simulated(process, runs, n, 1))
            found = [intervals_of(one, np.sort(one), [50, 95]) for one in series]
            for percent, made in cells.items():
                shown = [one[percent] for one in found if isinstance(one[percent], Interval)]
                true = truth(process, percent)
                held = sum(one.low <= true <= one.high for one in shown)
                made.append(
                    _covered(f"interval, {process}, {percent or 'mean'}, n = {n}", held, len(shown), len(series))
                )
        for percent, made in cells.items():
            yield row(process, f"p{percent}" if percent else "mean", *made)


def _covered(what: str, held: int, shown: int, runs: int) -> str:
    if not shown:
        return "none"
    often = shown >= runs / 2
    bad = below(held / shown, LEAST_COVERAGE, shown) if often else above((shown - held) / runs, MOST_WRONG, runs)
    if bad:
        broken.append(f"{what}: {held / shown:.1%} of {shown} shown")
    return f"{held / shown:.1%}{'' if shown == runs else f' ({shown / runs:.0%} shown)'}"


def shifts(x: np.ndarray, y: np.ndarray, paired: bool) -> tuple[Shift, ...]:
    sides = Sides(x, y, paired=paired)
    made = tuple(shift("ttft_ms", one, sides) for one in STATISTICS if len(x) >= sides.fewest(one))
    return _corrected([Comparison(baseline="a", candidate="b", shifts=made, failed=(0, 0))])[0].shifts


def families(runs: int = 200) -> Iterator[str]:
    yield from table("process", "asked", *[f"n = {n}" for n in SIZES])
    for process in PROCESSES:
        for paired, how in ((True, "in turns"), (False, "two runs")):
            cells = []
            for n in SIZES:
                pairs = zip(simulated(process, runs, n, 2), simulated(process, runs, n, 3), strict=True)
                hits = sum(any(one.different for one in shifts(x, y, paired)) for x, y in pairs)
                cells.append(alarm(f"compare, {process}, {how}, n = {n}", hits, runs))
            yield row(process, how, *cells)


def power(runs: int = 150) -> Iterator[str]:
    yield from table("process", "asked", *[f"n = {n}" for n in SIZES])
    for process in ("normal", "lognormal 1", "AR(1) 0.5", "AR(1) 0.9"):
        for paired, how in ((True, "in turns"), (False, "two runs")):
            yield row(process, how, *[_found(process, how, n, runs, paired=paired) for n in SIZES])


def _found(process: str, how: str, n: int, runs: int, *, paired: bool) -> str:
    """Return how often a difference of the size that one run says it could see is found in the mean by another."""
    found = []
    for a, b, c, d in zip(*[simulated(process, runs, n, seed) for seed in (4, 5, 6, 7)], strict=True):
        first = _mean(shifts(a, b, paired))
        again = first and _mean(shifts(c, d + first.smallest_seen, paired))
        if again:
            found.append(again.different)
    if len(found) < runs / 4:
        return "too few to tell"
    share = sum(found) / len(found)
    if below(share, LEAST_POWER, len(found)):
        broken.append(f"could see, {process}, {how}, n = {n}: found in {share:.1%} of {len(found)}")
    return f"{share:.1%}"


def _mean(made: tuple[Shift, ...]) -> Shift | None:
    return next((one for one in made if one.statistic == "mean"), None)


def steps(runs: int = 200) -> Iterator[str]:
    yield from table("process", *[f"n = {n}" for n in SIZES], "monitor, per 1,000 probes")
    for process in PROCESSES:
        cells = []
        for n in SIZES:
            hits = sum(bool(change_points(one)) for one in simulated(process, runs, n, 8))
            cells.append(alarm(f"change of level, {process}, n = {n}", hits, runs))
        told = [monitored(one) for one in simulated(process, 6, 1000, 9)] if process != "cold spells" else []
        if told and sum(told) / len(told) > 2:
            broken.append(f"level_changed, {process}: {sum(told) / len(told):.1f} per 1,000 probes")
        yield row(process, *cells, f"{sum(told) / len(told):.1f}" if told else "-")


def monitored(series: np.ndarray) -> int:
    """Return how often a monitor that sees these values one by one tells a change of level."""
    begin = told = 0
    for end in range(1, len(series) + 1):
        begin = max(begin, end - SERIES)
        found = change_points(series[begin:end], least=LEAST_CHANGE)
        if found:
            told, begin = told + 1, begin + found[-1].at
    return told


def warm_ups(runs: int = 300) -> Iterator[str]:
    sizes = (50, 100, 200, 1000)
    yield from table("process", *[f"n = {n}" for n in sizes])
    for process in PROCESSES:
        cells = []
        for n in sizes:
            hits = sum(transient_length(one) > 0 for one in simulated(process, runs, n, 10))
            bound = MOST_ALARMS if process != "cold spells" else 0.25
            cells.append(alarm(f"warm-up, {process}, n = {n}", hits, runs, bound))
        yield row(process, *cells)


def stops(runs: int = 60, wanted: float = 0.05, most: int = 6000) -> Iterator[str]:
    yield from table("process", f"mean within ±{wanted:.0%}", "requests (median)")
    for process in ("normal", "AR(1) 0.5", "AR(1) 0.9", "10 % cold", "lognormal 1"):
        true = truth(process)
        ends = [stop(one, wanted) for one in simulated(process, runs, most, 11)]
        known = [one for one in ends if one is not None]
        held = sum(abs(mean - true) <= wanted * true for _, mean in known)
        if below(held / len(known), LEAST_COVERAGE, len(known)):
            broken.append(f"--until, {process}: {held / len(known):.1%} of {len(known)}")
        yield row(process, f"{held / len(known):.1%}", int(np.median([n for n, _ in known])))


def stop(series: np.ndarray, wanted: float) -> tuple[int, float] | None:
    """Return after how many values the stop rule ends and what mean it tells; None: it does not end."""
    n, narrow = FEWEST, 0
    while n <= len(series):
        found, mean = mean_interval(series[:n]), float(series[:n].mean())
        narrow = narrow + 1 if found and (found.high - found.low) / 2 / mean <= wanted else 0
        if narrow >= LOOKS:
            return n, mean
        n = int(n * GROWTH) + 1
    return None


PARTS = (
    (
        "Coverage of 95 % intervals",
        "How often an interval holds the truth, of those that are shown. An interval speaks for what a run met: runs "
        "that met no cold start are left out of the rows with cold starts. Where less than half of the runs show one, "
        "the share of all runs that show a wrong one counts (8 % at most).",
        coverage,
    ),
    (
        "False alarms of `compare`",
        "How often two equal sides are told to differ in any of mean, median and p95 (from 200 requests on); 5 % is "
        "what is said.",
        families,
    ),
    ("Power at `could see`", "How often a difference of that size is found in the mean; 90 % is what is said.", power),
    (
        "False changes of level",
        "How often a run without a change is told to have one, on the page; and how often `monitor` tells "
        "`level_changed` per 1,000 probes of a steady endpoint.",
        steps,
    ),
    (
        "False cuts of `--warmup auto`",
        "How often a run without a warm-up is cut. One run in ten begins in a cold spell, and that is one.",
        warm_ups,
    ),
    ("`--until 'mean 5%'`", "How often the mean of a run that it ended is as near the truth as it says.", stops),
)


INTRODUCTION = """\
What intervals, verdicts and alarms keep, measured on series of known truth by `make calibration`, which fails where
they do not. The processes: independent normal and lognormal values (the spread of the logarithm is 1 or 2), AR(1),
and one cold start in ten requests, five times as slow, alone or in spells of ten."""


def main() -> int:
    print("# Statistics\n")
    print(INTRODUCTION)
    for title, says, part in PARTS:
        print(f"\n## {title}\n\n{says}\n")
        for line in part():
            print(line, flush=True)
    for one in broken:
        print(f"calibration: {one}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
