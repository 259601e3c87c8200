"""The sides of a comparison: each target of a run, or of several run files, with its own figures and its verdicts.

Nothing here is pooled: what two targets did together says nothing of either. A side of a file is compared with the
side of the first file that is the same target; where the first file has one target only, with that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from lens.analysis.compare import Comparison, Shift, compare_runs, compare_targets
from lens.analysis.gates.sla import Gate, GateResult, evaluate_sides
from lens.errors import ConfigError
from lens.metrics.goodput import Slo
from lens.metrics.summarize import summarize
from lens.metrics.summary import Summary
from lens.metrics.table import Table


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One target as it was measured in one run."""

    name: str  # of the target; of several files also the file's
    target: str
    provider: str
    model: str
    labels: dict[str, str]
    file: str | None
    table: Table  # without warm-up and cool-down
    summary: Summary


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """Sides with their figures, how they differ, and whether each keeps the gates."""

    sides: tuple[Side, ...]
    comparisons: tuple[Comparison, ...]
    verdicts: tuple[GateResult, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether a threshold failed."""
        return any(one.failed for one in self.verdicts)


def sides_of(table: Table, *, file: str | None = None, slos: Sequence[Slo] = ()) -> list[Side]:
    """Return a side for each target of a run, in the order of its header. file: its name, None: it says nothing."""
    names, index = table.codes("target"), table.column("target_index")
    groups = sorted(table.grouped(names.codes), key=lambda rows: (int(index[rows[0]]), int(rows[0])))
    several = len(groups) > 1
    found = []
    for rows in groups:
        mine = table.take(rows)
        target, provider, model, labels = (
            mine.codes(one).listed()[0] for one in ("target", "provider", "model", "labels")
        )
        name = target if file is None else f"{file}: {target}" if several else file
        found.append(
            Side(
                name=name, target=target, provider=provider, model=model, labels=dict(labels or ()), file=file,
                table=mine.measured(), summary=summarize(mine, slos=slos),
            )
        )  # fmt: skip
    return found


def compared_run(
    table: Table, *, targets: int, gates: Iterable[Gate] = (), slos: Sequence[Slo] = (),
    verdicts: tuple[GateResult, ...] | None = None,
) -> Compared:  # fmt: skip
    """Return how the targets of one interleaved run compare with the first of them. verdicts: None: of the gates."""
    sides = sides_of(table, slos=slos)
    return Compared(
        sides=tuple(sides),
        comparisons=tuple(compare_targets(table, targets=targets)),
        verdicts=_verdicts(sides, gates, slos) if verdicts is None else verdicts,
    )


def compared_files(
    tables: Sequence[Table], names: Sequence[str], *, gates: Iterable[Gate] = (), slos: Sequence[Slo] = ()
) -> Compared:
    """Return how the targets of run files compare with those of the first file.

    Raises:
        ConfigError: there is one target only, which is compared with nothing.
    """
    if len(tables) == 1:
        targets = _interleaved(tables[0])
        if targets > 1:
            return compared_run(tables[0], targets=targets, gates=gates, slos=slos)
        raise ConfigError(f"{names[0]} holds one target: compare two run files or more, or a run of several targets")
    files = [sides_of(table, file=name, slos=slos) for table, name in zip(tables, names, strict=True)]
    every = [one for sides in files for one in sides]
    return Compared(sides=tuple(every), comparisons=tuple(compare_sides(files)), verdicts=_verdicts(every, gates, slos))


def compare_sides(files: Sequence[Sequence[Side]]) -> list[Comparison]:
    """Return how the sides of files compare with those of the first file. files: of each its sides."""
    first, comparisons = files[0], list[Comparison]()
    for baseline in first:
        others = [one for sides in files[1:] for one in sides if _baseline_of(one, first) is baseline]
        if others:
            mine = (baseline, *others)
            comparisons += compare_runs([one.table for one in mine], [one.name for one in mine])
    return comparisons


def _interleaved(table: Table) -> int:
    """Return the number of targets that took turns in a run, 1 where there is one."""
    told = len(table.info.targets) if table.info else 0
    return max(told, int(table.column("target_index").max(initial=0)) + 1)


def _baseline_of(side: Side, first: Sequence[Side]) -> Side:
    """Return what a side is compared with: the same target, else the first that there is."""
    return next((one for one in first if one.target == side.target), first[0])


def _verdicts(sides: Sequence[Side], gates: Iterable[Gate], slos: Sequence[Slo]) -> tuple[GateResult, ...]:
    return evaluate_sides(gates, {one.name: one.table for one in sides}, slos=slos)


def shift_verdict(shift: Shift) -> Literal["same", "better", "worse"]:
    """Return what a shift says of the candidate."""
    return "same" if not shift.different else "better" if shift.better else "worse"


def too_few_says(one: Comparison) -> str:
    """Return which figures had too few requests to be compared, and how many they need."""
    if not one.shifts:
        least = min(one.too_few.values(), default=None)
        needs = "" if least is None else f": {least} of each are needed"
        return f"{_whose_too_few(one, least or 1)}{needs}"
    by_number: dict[int, list[str]] = {}
    for name, needed in one.too_few.items():
        by_number.setdefault(needed, []).append(name)
    parts = [f"{', '.join(names)} (needs {needed} requests of each)" for needed, names in by_number.items()]
    return f"too few to tell: {'; '.join(parts)}"


def _whose_too_few(one: Comparison, least: int) -> str:
    """Return which sides had too few successes to be compared."""
    sides = zip((one.baseline, one.candidate), one.succeeded or (0, 0), strict=True)
    few = [(name, n) for name, n in sides if n < least]
    if len(few) != 1:
        return "too few requests succeeded on both sides to compare them"
    ((name, n),) = few
    return f"no request of {name} succeeded" if not n else f"too few requests of {name} succeeded ({n}) to compare them"


def verdict_of(one: Comparison) -> str:
    """Return a comparison in one sentence: in which figures the candidate is worse, and in which better."""
    who = f"{one.candidate} against {one.baseline}"
    if not one.shifts:
        return f"{who}: {too_few_says(one)}"
    parts = []
    for verdict in ("worse", "better"):
        shifts = [shift for shift in one.shifts if shift_verdict(shift) == verdict]
        by_metric: dict[str, list[str]] = {}
        for shift in shifts:
            by = f" {shift.relative:+.1%}" if shift.relative is not None else ""
            by_metric.setdefault(shift.metric, []).append(f"{shift.statistic}{by}")
        if by_metric:
            figures = "; ".join([f"{name} {', '.join(of)}" for name, of in by_metric.items()])
            parts.append(f"{verdict} in {figures}")
    before, after = (sum(pair) for pair in zip(one.failed, one.empty, strict=True))
    lost = f"; {after} of its requests failed or brought nothing ({before} of {one.baseline})" if after > before else ""
    return f"{who}: {', and '.join(parts) or 'no difference was shown'}{lost}"
