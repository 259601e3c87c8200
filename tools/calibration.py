"""Measure on simulated truth what every statistical statement of the program keeps: `make calibration`.

Prints docs/statistics.md. Ends with code 1, and says which on stderr, where a statement does not keep what it says.
Seeded; one process.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from handmade import START, record, stamps
from simulated import PROCESSES, met, truth

from lens.analysis.compare import Comparison, Shift, _corrected, shift
from lens.analysis.difference import Sides
from lens.analysis.gates.regression import TOLERANCE, Change, _changes, _difference
from lens.analysis.optimize.candidates import Candidate, candidates_of
from lens.analysis.optimize.recommend import recommend
from lens.analysis.stats import statistic_of
from lens.metrics.builder import table_of
from lens.metrics.change_points import change_points
from lens.metrics.intervals import Interval, intervals_of, mean_interval
from lens.monitor.burn import ErrorBudget, parse_objective
from lens.monitor.watch import BURNS, LEAST_CHANGE, SERIES
from lens.run.stop_rule import FEWEST, GROWTH, LOOKS
from lens.run.warmup import transient_length

SIZES = (30, 100, 300, 1000)
LONGEST = 3000  # where a p99 is known well
STATISTICS = ("mean", "p50", "p95")
LEAST_COVERAGE, MOST_WRONG, MOST_ALARMS, LEAST_POWER = 0.92, 0.02, 0.06, 0.85
# Where fewer runs than this show an interval, it counts how many show a wrong one.
SELDOM = 0.05
# Runs of equal targets in which `optimize` is sure of one: 5 % for either.
MOST_SURE = 0.10
# Urgent alerts in a month in which at most half of the error budget is used, beside outages that deserve one: several
# failures in a row that take this share of a month's budget (the fast pair: 2 % within an hour).
MOST_URGENT = 1
URGENT_SHARE, MONTH = 0.02, 30 * 1440
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


def coverage(runs: int = 500) -> Iterator[str]:
    sizes = (*SIZES, LONGEST)
    yield from table("process", "statistic", *[f"n = {n}" for n in sizes])
    for process in PROCESSES:
        cells: dict[float | None, list[str]] = {None: [], 50: [], 95: [], 99: []}
        for n in sizes:
            many = runs * 3 if "spells" in process else runs  # few of them meet both states
            series = met(process, simulated(process, many, n, 1))[:runs]
            found = [intervals_of(one, np.sort(one), [50, 95, 99]) for one in series]
            for percent, made in cells.items():
                shown = [one[percent] for one in found if isinstance(one[percent], Interval)]
                true = truth(process, percent)
                held = sum(one.low <= true <= one.high for one in shown)
                what = f"interval, {process}, {percent or 'mean'}, n = {n}"
                made.append(_covered(what, held, len(shown), len(series)))
        for percent, made in cells.items():
            yield row(process, f"p{percent}" if percent else "mean", *made)


def _covered(what: str, held: int, shown: int, runs: int) -> str:
    if not shown:
        return "none"
    if shown < runs * SELDOM:
        bad = above((shown - held) / runs, MOST_WRONG, runs)
    else:
        bad = below(held / shown, LEAST_COVERAGE, shown)
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


def power(runs: int = 200) -> Iterator[str]:
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


def changes(baselines: np.ndarray, now: np.ndarray, tolerance: float) -> tuple[Change, ...]:
    """Return what the gate says of a run against baselines, a row each."""
    runs = ([baselines.shape[1]] * len(baselines), [len(now)])
    sides = Sides(baselines.ravel(), now, paired=False, runs=runs)
    found = []
    for statistic in STATISTICS:
        if len(now) >= sides.fewest(statistic):
            of_runs = [statistic_of(np.sort(one), statistic) for one in baselines]
            found.append(_difference("ttft_ms", statistic, sides, of_runs))
    return _changes(found, tolerance)


def gates(runs: int = 200) -> Iterator[str]:
    """False alarms, without any tolerance; "moving": each run as a whole is off by 5 % (a standard deviation)."""
    yield from table("process", "baselines", *[f"n = {n}" for n in SIZES])
    for process in PROCESSES:
        for many, moving, how in ((1, 0.0, "1"), (4, 0.0, "4"), (4, 0.05, "4, moving")):
            cells = []
            for n in SIZES:
                levels = np.exp(moving * np.random.default_rng(n).standard_normal((runs, many + 1, 1)))
                all_runs = simulated(process, runs * (many + 1), n, 12).reshape(runs, many + 1, n) * levels
                found = [changes(run[:-1], run[-1], 0.0) for run in all_runs]
                hits = sum([any(one.p_adjusted < 0.05 for one in made) for made in found])
                cells.append(alarm(f"--baseline, {process}, {how}, n = {n}", hits, runs))
            yield row(process, how, *cells)


def gate_power(runs: int = 150) -> Iterator[str]:
    yield from table("process", *[f"n = {n}" for n in SIZES])
    for process in ("normal", "lognormal 1", "AR(1) 0.5", "AR(1) 0.9"):
        yield row(process, *[_regressed(process, n, runs) for n in SIZES])


def _regressed(process: str, n: int, runs: int) -> str:
    """Return how often a growth by what one run says it could see is told of another."""
    found = []
    for a, b, c, d in zip(*[simulated(process, runs, n, seed) for seed in (13, 14, 15, 16)], strict=True):
        first = [one for one in changes(a[None], b, TOLERANCE) if one.statistic == "mean"]
        if first and first[0].smallest is not None:
            again = changes(c[None], d * (1 + first[0].smallest), TOLERANCE)
            found += [one.result == "regressed" for one in again if one.statistic == "mean"]
    if len(found) < runs / 4:
        return "too few to tell"
    share = sum(found) / len(found)
    if below(share, LEAST_POWER, len(found)):
        broken.append(f"seen from, {process}, n = {n}: found in {share:.1%} of {len(found)}")
    return f"{share:.1%}"


def candidates(x: np.ndarray, y: np.ndarray) -> list[Candidate]:
    """Return two targets that took turns, with these times to the first token."""
    records = []
    for turn, pair in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
        for target, ttft in enumerate(pair):
            index = 2 * turn + target
            at = stamps(START + index * 1_000_000_000, send_start=0, send_end=0, first_byte=ttft - 1, end=ttft + 12)
            records.append(record((ttft, ttft + 10), index=index, target_index=target, model=f"m{target}", stamps=at))
    return candidates_of(table_of(records))


def choices(runs: int = 40) -> Iterator[str]:
    sizes, better = (40, 100), 0.8
    heads = [f"equal, n = {n}" for n in sizes] + [f"20 % faster, n = {n}" for n in sizes]
    yield from table("process", *heads)
    for process in ("normal", "lognormal 1", "AR(1) 0.5", "AR(1) 0.9", "cold spells"):
        cells = []
        for faster in (1.0, better):
            for n in sizes:
                pairs = zip(*[np.maximum(simulated(process, runs, n, seed), 1.0) for seed in (17, 18)], strict=True)
                found = [recommend(candidates(x, y * faster), weights={"latency": 1.0}).confidence for x, y in pairs]
                sure = sum([one is not None and one >= 0.95 for one in found])
                what = f"optimize, {process}, n = {n}"
                cells.append(alarm(what, sure, runs, MOST_SURE) if faster == 1.0 else f"{sure / runs:.1%}")
        yield row(process, *cells)


def burns(days: int = 30) -> Iterator[str]:
    """Alerts of a monitor that asks once a minute, and how soon it tells an outage."""
    yield from table("objective", "failures", "outages", "fast or medium", "slow", "a 100 % outage is told after")
    for share, part in (("99", 0.1), ("99", 0.5), ("99.9", 0.5), ("95", 0.5)):
        for spell in (1, 5):
            told, outages = burned(share, part, spell, days)
            if told["slo_burn"] > MOST_URGENT + outages:
                what = f"burn rates, {share} %, {part:g} of the budget, {spell} in a row"
                broken.append(f"{what}: {told['slo_burn']} in {days} days with {outages} outages")
            failures = f"{part:.0%} of the budget" + (f", {spell} in a row" if spell > 1 else "")
            rates = [f"{told[alert]} a month" for alert in BURNS]
            yield row(f"success {share}%", failures, outages, *rates, f"{outage_probes(share)} probes")


def burned(share: str, part: float, spell: int, days: int) -> tuple[Counter[str], int]:
    """Return the alerts that begin in so many days when this part of the error budget is used, and the outages.

    An outage deserves an urgent alert: several failures in a row that take much of a month's budget.
    """
    n, budget_share = days * 1440, 1 - float(share) / 100
    begins = np.flatnonzero(np.random.default_rng([19, spell]).random(n) < budget_share * part / spell)
    failing = set((begins[:, None] + np.arange(spell)).ravel().tolist())
    budget, told, firing = ErrorBudget(parse_objective(f"success {share}%")), Counter(), set()
    for minute in range(n):
        budget.count(minute * 60.0, broken=minute in failing)
        for alert, windows in BURNS.items():
            burns = budget.burning(minute * 60.0, windows) is not None
            told[alert] += burns and alert not in firing
            (firing.add if burns else firing.discard)(alert)
    outage = spell > 1 and spell >= URGENT_SHARE * budget_share * MONTH
    return told, len(begins) if outage else 0


def outage_probes(share: str) -> int:
    """Return how many probes of an outage it takes, after a day without a failure."""
    budget, minute = ErrorBudget(parse_objective(f"success {share}%")), 0
    while minute < 1440 or budget.burning(minute * 60.0) is None:
        minute += 1
        budget.count(minute * 60.0, broken=minute > 1440)
    return minute - 1440


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
        """How often an interval holds the truth, of those that are shown. An interval speaks for what a run met: runs
that met one state alone, no cold start or nothing else, are left out of the rows with cold starts. Where fewer than 5 %
of the runs show one, because most show that they are too short, the share of all runs that show a wrong one counts
(2 % at most).""",
        coverage,
    ),
    (
        "False alarms of `compare`",
        """How often two equal sides are told to differ in any of mean, median and p95 (from 200 requests on); 5 % is
what is said.""",
        families,
    ),
    ("Power at `could see`", "How often a difference of that size is found in the mean; 90 % is what is said.", power),
    (
        "False alarms of `--baseline`",
        """How often an equal run is told to be better or worse than its baselines in any of mean, median and p95,
without any tolerance; 5 % is what is said. Moving: each run as a whole is off by 5 % (a standard deviation).""",
        gates,
    ),
    (
        "Power at `seen from`",
        "How often a growth of that size is told to be a regression of the mean; 90 % is what is said.",
        gate_power,
    ),
    (
        "Confidence of `optimize`",
        """How often it is 95 % or more of one of two equal targets that took turns, 5 % for either is what is said; and
of one of two when the other is slower.""",
        choices,
    ),
    (
        "Burn rates of `monitor`",
        """Alerts in a month of one probe a minute while failures use up a part of the error budget, one by one or
several in a row; and the probes that a total outage takes to be told after a day without failures. Outages: failures in
a row that take 2 % of the month's budget, which is what the fast pair is for; beside one alert for each, one a month at
most. The slow pair fires where three days use more than their share.""",
        burns,
    ),
    (
        "False changes of level",
        """How often a run without a change is told to have one, on the page; and how often `monitor` tells
`level_changed` per 1,000 probes of a steady endpoint.""",
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
