"""What a service has promised: thresholds with a name, for all targets or for one, that fail a run or only warn.

name: chat
thresholds: [ttft_p95<1000, success_rate>=99%]     # or a table: {ttft_p95_ms: 1000, success_rate_min: 0.99}
warnings: [itl_p99<80]                             # told, without failing
targets:
  openai/gpt-4o: [ttft_p95<800]                    # of this target's requests alone; the model may be left out
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import msgspec

from lens.analysis.gates.thresholds import Threshold, Verdict, judge, parse_threshold, thresholds_of
from lens.errors import ConfigError, did_you_mean
from lens.metrics.summary import Summary, summarize
from lens.model import Record
from lens.pricing import PriceBook

Figures = Callable[[Sequence[Record]], Summary]
KEYS = ("name", "thresholds", "warnings", "targets")


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """A threshold, and whose requests it is for."""

    threshold: Threshold
    target: str | None = None  # "provider" or "provider/model"; None: all


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a gate; of a test case, where each is held to it alone."""

    gate: Gate
    verdict: Verdict
    case: str | None = None

    @property
    def failed(self) -> bool:
        """It is a violation, not only a warning."""
        return not self.verdict.kept and self.gate.threshold.severity == "error"


def gates_of(tree: Any) -> tuple[Gate, ...]:
    """The gates of an SLA file's content.

    Raises:
        ConfigError: a key is unknown (the nearest is named), or a threshold is none.
    """
    if not isinstance(tree, Mapping):
        raise ConfigError(f"the top must be a table of {', '.join(KEYS)}")
    _known(tree, KEYS, "")
    gates = [*_gates(tree.get("thresholds", ()), "thresholds"), *_gates(tree.get("warnings", ()), "warnings")]
    targets = tree.get("targets", {})
    if not isinstance(targets, Mapping):
        raise ConfigError("targets: a table is wanted, with names like openai/gpt-4o and thresholds for each")
    for name, said in targets.items():
        gates += _gates(said, "thresholds", str(name))
    if not gates:
        raise ConfigError("it promises nothing: give thresholds, like thresholds: [ttft_p95<1000]")
    return tuple(gates)


def _known(tree: Mapping[str, Any], keys: Sequence[str], where: str) -> None:
    for key in tree:
        if key not in keys:
            hint = did_you_mean(str(key), keys, otherwise=f"there are {', '.join(keys)}")
            raise ConfigError(f"{where}unknown key {key!r}; {hint}")


def _gates(said: Any, kind: str, target: str | None = None) -> list[Gate]:
    """A list of texts, a table, or for a target a table with both kinds."""
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
        raise ConfigError(f"{target or kind}: a list of thresholds is wanted, not {said!r}")
    return [Gate(threshold=msgspec.structs.replace(one, severity=severity), target=target) for one in thresholds]


def judge_gates(
    gates: Iterable[Gate], records: Sequence[Record], summary: Summary, book: PriceBook, figures: Figures
) -> tuple[Judged, ...]:
    """Hold a run to its gates; those of one target to that target's requests, of which `figures` makes a summary."""
    measured: dict[str | None, tuple[Sequence[Record], Summary]] = {None: (records, summary)}
    found = []
    for gate in gates:
        if gate.target not in measured:
            mine = [one for one in records if gate.target in (one.provider, f"{one.provider}/{one.model}")]
            measured[gate.target] = mine, figures(mine)
        (verdict,) = judge([gate.threshold], *measured[gate.target], book)
        found.append(Judged(gate=gate, verdict=verdict))
    return tuple(found)


def judge_each(gates: Iterable[Gate], records: Sequence[Record], book: PriceBook) -> tuple[Judged, ...]:
    """Hold each request to the gates alone: a test case is named by its prompt's id, or its place."""
    figures = partial(summarize, book=book)
    found = []
    kept = tuple(gates)
    for record in records:
        case = record.prompt_id or f"request {record.index + 1}"
        judged = judge_gates(kept, [record], figures([record]), book, figures)
        found += [msgspec.structs.replace(one, case=case) for one in judged]
    return tuple(found)
