"""The highest load that keeps an SLO, measured: a try is a run at one load, and counts with the others there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from msgspec.structs import replace

from lens.analysis.gates.thresholds import Threshold, parse_threshold
from lens.errors import ConfigError
from lens.metrics.definitions import METRICS
from lens.model import Record, Status
from lens.orchestrator.engine import Outcome, RunState, run_plan
from lens.orchestrator.plan import Plan
from lens.orchestrator.schedule import Stage
from lens.orchestrator.stop import Stop
from lens.run.search_steps import Search, Verdict
from lens.run.stop_rule import interval_of, values_of
from lens.units import NS_PER_S

# A try lasts so long, unless --duration says otherwise.
TRY_NS = 10 * NS_PER_S
MOST_RATE, MOST_OPEN = 1000.0, 256.0
# A load at which more requests fail than this is too high, whatever the others say.
FAILURES = 0.01


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a search."""

    unit: str
    slos: tuple[str, ...]
    highest: float | None  # that kept the SLOs; None: none did
    broken_at: float | None  # the lowest that did not; None: the most that was tried kept them
    tries: tuple[str, ...]  # each in words

    def says(self) -> str:
        slos = " and ".join(self.slos)
        if self.highest is None:
            return f"no load that was tried kept {slos}; the lowest was {self.broken_at:.4g} {self.unit}"
        if self.broken_at is None:
            return f"{slos} still kept at {self.highest:.4g} {self.unit}, the most that was tried (--search-max)"
        return f"{slos} kept up to {self.highest:.4g} {self.unit}, broken at {self.broken_at:.4g}"


def slos_of(texts: Sequence[str]) -> tuple[Threshold, ...]:
    """
    Raises:
        ConfigError: one is no threshold, or not of requests.
    """
    slos = tuple([parse_threshold(text) for text in texts])
    for slo in slos:
        if not slo.statistic or METRICS[slo.metric].kind == "cost":
            raise ConfigError(f"--search-slo {slo}: a statistic of a request's time or rate is wanted")
    return slos


async def search(
    plan: Plan,
    *,
    on_record: Callable[[Record], None],
    stop: Stop,
    on_progress: Callable[[RunState], None] | None = None,
    on_try: Callable[[str], None] | None = None,
) -> tuple[Outcome, Found]:
    """Try loads until the edge is known; every record is handed out, its stage naming the load."""
    load = plan.config.load
    slos = slos_of(load.search_slo)
    by_rate = load.rate_per_s is not None or load.concurrency == 1
    unit = "requests/s" if by_rate else "at a time"
    start = (load.rate_per_s or 1.0) if by_rate else float(load.concurrency)
    most = load.search_max or (MOST_RATE if by_rate else MOST_OPEN)
    finder = Search(min(start, most), most, whole=not by_rate)
    said: list[str] = []
    handed = 0
    first: Outcome | None = None
    last: Outcome | None = None
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

        stage = _stage(plan, now, unit, by_rate=by_rate)
        last = await run_plan(replace(plan, stages=(stage,)), on_record=take, on_progress=on_progress, stop=stop)
        first = first or last
        if stop.asked:
            break
        verdict, plainly, words = judge(slos, records)
        said.append(f"{now:.4g} {unit}: {words}")
        if on_try is not None:
            on_try(said[-1])
        finder.tell(verdict, plainly_kept=plainly)
    found = Found(
        unit=unit,
        slos=tuple([str(slo) for slo in slos]),
        highest=finder.kept,
        broken_at=finder.broken,
        tries=tuple(said),
    )
    if first is None or last is None:
        raise ConfigError("the search was stopped before its first try")
    return replace(last, started_ns=first.started_ns, requests=handed), found


def _stage(plan: Plan, load: float, unit: str, *, by_rate: bool) -> Stage:
    config = plan.config.load
    name, span = f"{load:.4g} {unit}", config.duration_ns or TRY_NS
    if by_rate:
        return Stage(
            name=name,
            rate_per_s=load,
            duration_ns=span,
            arrival=config.arrival,
            burstiness=config.burstiness,
            seed=config.seed,
        )
    return Stage(name=name, concurrency=int(load), duration_ns=span)


def judge(slos: Sequence[Threshold], records: Sequence[Record]) -> tuple[Verdict, bool, str]:
    """(verdict, whether the plain values keep all, in words) of all that was measured at one load."""
    failed = sum(record.status is not Status.SUCCESS for record in records)
    if not records or failed > FAILURES * len(records):
        return "broken", False, f"{failed} of {len(records)} failed"
    verdicts: list[Verdict] = []
    plainly, words = True, []
    for slo in slos:
        metric = METRICS[slo.metric]
        ordered = sorted(records, key=lambda record: record.stamps.start)
        values = [value for record in ordered for value in values_of(metric, record)]
        if not values:
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


def _by_number(slo: Threshold, values: Sequence[float]) -> Verdict:
    """Of values too few for an interval: so many on one side of the limit leave little doubt (5 %) by themselves."""
    share = float(slo.statistic[1:]) / 100 if slo.statistic.startswith("p") else 0.5
    kept = [slo.kept(value) for value in values]
    if all(kept) and share ** len(values) < 0.05:
        return "kept"
    if not any(kept) and len(values) >= 5:
        return "broken"
    return "undecided"
