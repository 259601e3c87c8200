"""Search the highest load that keeps an SLO: each try is a run at one load.

Loads are doubled until one fails, then the span between the last that passed and the first that failed is halved. A
try whose interval holds the limit decides nothing: it is repeated, and what was measured at that load counts together,
until it decides or the tries are used up; then the value without its interval does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec.structs import replace

from lens.analysis.gates.thresholds import Threshold, parse_threshold
from lens.errors import ConfigError
from lens.metrics.builder import table_of
from lens.metrics.columns import Column
from lens.metrics.definitions import METRICS
from lens.model import Record, Status
from lens.orchestrator.schedule import Stage, with_warmup
from lens.run.stop_rule import interval_of
from lens.units import NS_PER_S

if TYPE_CHECKING:
    from lens.orchestrator.plan import Plan
    from lens.orchestrator.run_state import OnRecord, Outcome
    from lens.orchestrator.stop import Stop

# A try lasts so long, unless --duration says otherwise.
TRY_NS = 10 * NS_PER_S
MOST_RATE, MOST_OPEN = 1000.0, 256.0
# A rate is tried no lower than so many requests within a try are: fewer are no rate.
FEWEST_REQUESTS = 3
# A load at which more requests fail than this is too high, whatever the others say.
FAILURES = 0.01


Verdict = Literal["kept", "broken", "undecided"]


class LoadTry(msgspec.Struct, frozen=True):
    """One try: the load, and its verdict."""

    load: float
    verdict: Verdict  # "undecided" became one of the others when the tries at this load were used up
    counted_as: Literal["kept", "broken", "again"]


class LoadSearch:
    """The loads to try: measure at next_load(), then add_verdict(); until next_load() is None."""

    def __init__(
        self,
        start: float,
        most: float,
        *,
        whole: bool = False,
        width: float = 0.05,
        repeats: int = 3,
        least: float | None = None,
    ) -> None:
        """
        least: the lowest load that a try can send; None: most / 10,000.
        whole: loads are whole numbers (requests at a time).
        width: the span that is narrow enough, as a share of the load.
        repeats: tries of one load before the plain value decides.
        """
        self.kept: float | None = None
        self.broken: float | None = None
        self.tries: list[LoadTry] = []
        self._most, self._whole, self._width, self._repeats = most, whole, width, repeats
        self._least = 1.0 if whole else most * 1e-4 if least is None else min(least, start)
        self._load: float | None = self._rounded(start)
        self._again = 0

    def next_load(self) -> float | None:
        """Return the load to try; None when the answer is known."""
        return self._load

    @property
    def sure(self) -> bool:
        """Whether a try decided the answer: that a load keeps the SLOs, or where none seems to, that one does not."""
        wanted = "broken" if self.kept is None else "kept"
        return not self.tries or any(one.verdict == wanted for one in self.tries)

    def add_verdict(self, verdict: Verdict, *, plainly_kept: bool) -> None:
        """Take what the try of next_load() showed; `plainly_kept` judges the value without its interval."""
        load = self._load
        assert load is not None
        if verdict == "undecided":
            self._again += 1
            if self._again < self._repeats:
                self.tries.append(LoadTry(load, verdict, "again"))
                return
        kept = plainly_kept if verdict == "undecided" else verdict == "kept"
        self.tries.append(LoadTry(load, verdict, "kept" if kept else "broken"))
        self._again = 0
        if kept:
            self.kept = load
        else:
            self.broken = load
        self._load = self._next()

    def _next(self) -> float | None:
        if self.broken is None:
            assert self.kept is not None
            return None if self.kept >= self._most else self._rounded(min(self.kept * 2, self._most))
        if self.kept is None:
            lower = self._rounded(max(self.broken / 2, self._least))
            return None if lower >= self.broken else lower
        narrow = self.broken - self.kept <= (1 if self._whole else self._width * self.kept)
        return None if narrow else self._rounded((self.kept + self.broken) / 2)

    def _rounded(self, load: float) -> float:
        return float(int(load)) if self._whole else load


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a search."""

    unit: str
    slos: tuple[str, ...]
    highest: float | None  # that kept the SLOs; None: none did
    broken_at: float | None  # the lowest that did not; None: the most that was tried kept them
    tries: tuple[str, ...]  # each in words
    sure: bool = True  # a try decided that a load keeps them, or that none does; False: the plain values alone say so

    def says(self) -> str:
        """Return the answer as one sentence."""
        slos = " and ".join(self.slos)
        if not self.sure:
            where = "at no load" if self.highest is None else f"up to {self.highest:.4g} {self.unit}"
            plainly = f"the values alone meet it {where}"
            return f"{slos}: undecided, no try had enough requests to tell; {plainly}; try longer with --duration"
        if self.highest is None:
            if self.broken_at is None:
                return f"{slos}: no load was tried to its end"
            return f"no load that was tried met {slos}; the lowest was {self.broken_at:.4g} {self.unit}"
        if self.broken_at is None:
            return f"{slos} still met at {self.highest:.4g} {self.unit}, the most that was tried (--search-max)"
        return f"{slos} met up to {self.highest:.4g} {self.unit}, missed at {self.broken_at:.4g}"


def slos_of(texts: Sequence[str]) -> tuple[Threshold, ...]:
    """Parse the SLOs of a search.

    Raises:
        ConfigError: one is no threshold, or not of requests.
    """
    slos = tuple([parse_threshold(text) for text in texts])
    for slo in slos:
        if slo.abort_ns is not None:
            raise ConfigError(f"--search-slo {slo}: abort has no effect on it; it belongs to --threshold")
        if not slo.statistic or METRICS[slo.metric].kind == "cost":
            raise ConfigError(f"--search-slo {slo}: expected a statistic of a request's time or rate")
    return slos


async def search(
    plan: Plan, measure: Callable[[Plan, OnRecord], Awaitable[Outcome]], *, on_record: OnRecord, stop: Stop
) -> tuple[Outcome, Found]:
    """Try loads until the edge is known; `measure` carries out one try.

    Every record goes to on_record, numbered through all tries; its stage names the load.
    """
    load = plan.config.load
    slos = slos_of(load.search_slo)
    by_rate = load.rate_per_s is not None or load.concurrency in (None, 1)
    unit = "requests/s" if by_rate else "at a time"
    start = (load.rate_per_s or 1.0) if by_rate else float(load.concurrency or 1)
    most = load.search_max or (MOST_RATE if by_rate else MOST_OPEN)
    least = FEWEST_REQUESTS * NS_PER_S / (load.duration_ns or TRY_NS)
    finder = LoadSearch(min(start, most), most, whole=not by_rate, least=least)
    said: list[str] = []
    outcomes: list[Outcome] = []
    handed = 0
    at_load: dict[float, list[Record]] = {}
    while (now := finder.next_load()) is not None and not stop.asked:
        records = at_load.setdefault(now, [])
        base = handed

        def take(record: Record, *, base: int = base, records: list[Record] = records) -> None:
            nonlocal handed
            numbered = replace(record, index=base + record.index)
            handed = max(handed, numbered.index + 1)
            records.append(numbered)
            on_record(numbered)

        stages = with_warmup(load, [_stage(plan, now, unit, by_rate=by_rate)])
        outcomes.append(await measure(replace(plan, stages=stages), take))
        if stop.asked or outcomes[-1].over_budget is not None:
            break
        verdict, plainly, words = judge(slos, records)
        said.append(f"{now:.4g} {unit}: {words}")
        finder.add_verdict(verdict, plainly_kept=plainly)
    if not outcomes:
        raise ConfigError("the search was stopped before its first try")
    found = Found(
        unit=unit,
        slos=tuple([str(slo) for slo in slos]),
        highest=finder.kept,
        broken_at=finder.broken,
        tries=tuple(said),
        sure=finder.sure,
    )
    return _joined(outcomes), found


def _joined(outcomes: Sequence[Outcome]) -> Outcome:
    """Return one outcome of all tries."""
    return replace(
        outcomes[-1],
        started_ns=outcomes[0].started_ns,
        requests=sum(one.requests for one in outcomes),
        warnings=tuple(dict.fromkeys(warning for one in outcomes for warning in one.warnings)),
    )


def _stage(plan: Plan, load: float, unit: str, *, by_rate: bool) -> Stage:
    config = plan.config.load
    name, span = f"{load:.4g} {unit}", config.duration_ns or TRY_NS
    if by_rate:
        return Stage(
            name=name,
            rate_per_s=load,
            duration_ns=span,
            arrival=config.arrival or "constant",
            burstiness=config.burstiness or 1.0,
            count=config.iterations,
            limit=config.concurrency if config.rate_per_s is not None else None,
            seed=config.seed,
        )
    return Stage(name=name, concurrency=int(load), count=config.iterations, duration_ns=span)


def judge(slos: Sequence[Threshold], records: Sequence[Record]) -> tuple[Verdict, bool, str]:
    """(verdict, whether the plain values keep all, in words) of all that was measured at one load."""
    records = [record for record in records if record.category != "interrupted"]
    failed = sum(record.status is not Status.SUCCESS for record in records)
    if not records or failed > FAILURES * len(records):
        return "broken", False, f"{failed} of {len(records)} failed"
    table = table_of(records).measured().started()
    verdicts: list[Verdict] = []
    plainly, words = True, []
    for slo in slos:
        metric = METRICS[slo.metric]
        values = table.answers.values(metric.name)
        if not len(values):
            return "broken", False, f"{metric.name} was not measured"
        value, interval = interval_of(values, slo.statistic)
        plainly = plainly and slo.kept(value)
        if interval is None:
            verdicts.append(_by_number(slo, values))
        else:
            ends = {slo.kept(interval.low), slo.kept(interval.high)}
            verdicts.append("undecided" if len(ends) == 2 else "kept" if ends == {True} else "broken")
        sure = f" ({interval.low:.4g} to {interval.high:.4g})" if interval else ""
        words.append(f"{slo.metric} {slo.statistic} {value:.4g}{sure}")
    verdict: Verdict = "broken" if "broken" in verdicts else "undecided" if "undecided" in verdicts else "kept"
    return verdict, plainly, f"{', '.join(words)}: {verdict}"


def _by_number(slo: Threshold, values: Column) -> Verdict:
    """Judge too few values for an interval: so many on one side of the limit leave little doubt (5 %)."""
    share = float(slo.statistic[1:]) / 100 if slo.statistic.startswith("p") else 0.5
    kept = [slo.kept(value) for value in values]
    if all(kept) and share ** len(values) < 0.05:
        return "kept"
    if not any(kept) and len(values) >= 5:
        return "broken"
    return "undecided"
