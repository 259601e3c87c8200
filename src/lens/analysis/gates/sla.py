"""Service level agreements: thresholds with a name, for all targets or for one, that fail a run or only warn.

name: chat
thresholds: [ttft_p95<1000, success_rate>=99%]     # or a table: {ttft_p95_ms: 1000, success_rate_min: 0.99}
warnings: [itl_p99<80]                             # reported, without failing
targets:
  openai/gpt-6-sol: [ttft_p95<800]                 # of this target's requests alone: by its name, or its provider
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from lens.analysis.gates.thresholds import Threshold, Verdict, evaluate_thresholds, parse_threshold, thresholds_of
from lens.errors import ConfigError, did_you_mean
from lens.metrics.columns import Column
from lens.metrics.goodput import Slo
from lens.metrics.summarize import summarize
from lens.metrics.summary import Summary
from lens.metrics.table import Table

KEYS = ("name", "thresholds", "warnings", "targets")


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """A threshold, and whose requests it is for."""

    threshold: Threshold
    target: str | None = None  # its name, "provider" or "provider/model"; None: all


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a gate was kept, by a run or by one test case alone."""

    gate: Gate
    verdict: Verdict
    case: str | None = None
    side: str | None = None  # of a comparison: whose requests these are

    @property
    def whose(self) -> str:
        """Whose requests the verdict is on, for the beginning of a line; "" where it is on all."""
        names = dict.fromkeys((self.side or self.gate.target, self.case))
        return "".join(f"{name}: " for name in names if name)

    @property
    def failed(self) -> bool:
        """It is a violation, not only a warning."""
        return not self.verdict.kept and self.gate.threshold.severity == "error"


def gates_of(tree: Any) -> tuple[Gate, ...]:
    """Return the gates of an SLA file's content.

    Raises:
        ConfigError: a key is unknown (the nearest is named), or a threshold is none.
    """
    if not isinstance(tree, Mapping):
        raise ConfigError(f"the top must be a table of {', '.join(KEYS)}")
    _known(tree, KEYS, "")
    gates = [*_gates(tree.get("thresholds", ()), "thresholds"), *_gates(tree.get("warnings", ()), "warnings")]
    targets = tree.get("targets", {})
    if not isinstance(targets, Mapping):
        raise ConfigError("targets: expected a table, with names like openai/gpt-6-sol and thresholds for each")
    for name, said in targets.items():
        gates += _gates(said, "thresholds", str(name))
    if not gates:
        raise ConfigError("no thresholds in it: give some, like thresholds: [ttft_p95<1000]")
    return tuple(gates)


def _known(tree: Mapping[str, Any], keys: Sequence[str], where: str) -> None:
    for key in tree:
        if key not in keys:
            hint = did_you_mean(str(key), keys, otherwise=f"there are {', '.join(keys)}")
            raise ConfigError(f"{where}unknown key {key!r}; {hint}")


def _gates(said: Any, kind: str, target: str | None = None) -> list[Gate]:
    """Return a list of texts, a table, or for a target a table with both kinds."""
    severity: Literal["error", "warning"] = "warning" if kind == "warnings" else "error"
    if target is not None and isinstance(said, Mapping) and set(said) & {"thresholds", "warnings"}:
        _known(said, ("thresholds", "warnings"), f"targets: {target}: ")
        return [gate for name, part in said.items() for gate in _gates(part, name, target)]
    if isinstance(said, str):
        said = [said]
    if isinstance(said, Mapping):
        thresholds = list(thresholds_of(said))
    elif isinstance(said, Sequence):
        thresholds = [parse_threshold(str(text)) for text in said]
    else:
        raise ConfigError(f"{target or kind}: expected a list of thresholds, not {said!r}")
    return [Gate(threshold=msgspec.structs.replace(one, severity=severity), target=target) for one in thresholds]


def evaluate_gates(
    gates: Iterable[Gate], table: Table, summary: Summary, *, slos: Sequence[Slo] = ()
) -> tuple[GateResult, ...]:
    """Return whether a run keeps its gates; those of one target by that target's requests alone.

    slos: what a request must keep to count as good, as in the summary.
    """
    measured: dict[str | None, tuple[Table, Summary]] = {None: (table, summary)}
    found = []
    for gate in gates:
        if gate.target is not None and gate.target not in measured:
            mine = table.take(_of_target(table, gate.target))
            measured[gate.target] = mine, summarize(mine, slos=slos, metrics=())
        (verdict,) = evaluate_thresholds([gate.threshold], *measured[gate.target])
        found.append(GateResult(gate=gate, verdict=verdict))
    return tuple(found)


def evaluate_run(
    gates: Iterable[Gate], table: Table, summary: Summary, *, slos: Sequence[Slo] = ()
) -> tuple[GateResult, ...]:
    """Return whether a run keeps its gates: each of its targets, for figures of several together are those of none.

    summary: of the table.
    """
    if len(table.codes("target").used()) > 1:
        return evaluate_targets(gates, table, slos=slos)
    return evaluate_gates(gates, table, summary, slos=slos)


def evaluate_sides(
    gates: Iterable[Gate], sides: Mapping[str, Table], *, slos: Sequence[Slo] = ()
) -> tuple[GateResult, ...]:
    """Return whether each side of a comparison keeps the gates; a gate of one target is for its sides alone."""
    kept = tuple(gates)
    summaries = {name: summarize(table, slos=slos, metrics=()) for name, table in sides.items()} if kept else {}
    found = []
    for gate in kept:
        meant = [name for name, table in sides.items() if gate.target is None or _of_target(table, gate.target).any()]
        for name in meant:
            (verdict,) = evaluate_thresholds([gate.threshold], sides[name], summaries[name])
            found.append(GateResult(gate=gate, verdict=verdict, side=name))
        if not meant and sides:  # a gate of a target that is not there is not kept
            table = next(iter(sides.values()))
            found += evaluate_gates([gate], table, summaries[next(iter(sides))])
    return tuple(found)


def evaluate_targets(gates: Iterable[Gate], table: Table, *, slos: Sequence[Slo] = ()) -> tuple[GateResult, ...]:
    """Return whether each target of a run keeps the gates."""
    names = table.codes("target")
    groups = {names.values[names.codes[rows[0]]]: table.take(rows) for rows in table.grouped(names.codes)}
    order = sorted(groups, key=lambda name: int(groups[name].column("target_index")[0]))
    return evaluate_sides(gates, {name: groups[name] for name in order}, slos=slos)


def _of_target(table: Table, name: str) -> Column:
    """Return which requests went to a target of this name, to "provider" or to "provider/model", as bool."""
    named = table.codes("target").equal(name)
    if named.any():
        return named
    provider, model = table.codes("provider"), table.codes("model")
    which: Column = provider.equal(name)
    for number, one in enumerate(provider.values):
        if name.startswith(f"{one}/"):
            which = which | ((provider.codes == number) & model.equal(name.removeprefix(f"{one}/")))
    return which


def evaluate_each(gates: Iterable[Gate], table: Table) -> tuple[GateResult, ...]:
    """Return whether each request keeps the gates alone: a test case is named by its prompt's id, or its place."""
    kept = tuple(gates)
    prompts, index = table.codes("prompt_id").listed(), table.column("index").tolist()
    found = []
    for row in np.flatnonzero(~table.interrupted).tolist() if kept else ():
        one = table.take(slice(row, row + 1))
        case = prompts[row] or f"request {index[row] + 1}"
        results = evaluate_gates(kept, one, summarize(one, metrics=()))
        found += [msgspec.structs.replace(result, case=case) for result in results]
    return tuple(found)
