"""The column `target` of a table: whose each request is, also of files that had no names and of several runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lens.arrays.dispatch import np
from lens.config.targets import names_across_runs
from lens.metrics.columns import Codes, Run
from lens.model import Target


def named_targets(columns: Mapping[str, Any], runs: Sequence[Run], make_array: Callable[..., Any]) -> Codes:
    """Return the name of each request's target: as the record says it, else by the header of its run.

    make_array: of the kind of the columns.
    """
    heads: list[tuple[Target, ...]] = [run.info.targets if run.info else () for run in runs]
    name_of = _Names(heads)
    coded = [columns[name] for name in ("target", "provider", "model")]
    each = [columns["run"], columns["target_index"], *[one.codes for one in coded]]
    if len(each[0]) and all(bool((column == column[0]).all()) for column in each):
        each = [column[:1] for column in each]  # one target: all are called like the first
    rows = zip(*[column.tolist() for column in each], strict=True)
    values = [(*one.values, None) for one in coded]  # -1 is the last
    known: dict[tuple[int, ...], int] = {}
    numbers: dict[str, int] = {}
    codes = []
    for key in rows:
        code = known.get(key)
        if code is None:
            said = [value[number] for value, number in zip(values, key[2:], strict=True)]
            name = name_of(key[0], key[1], *said)
            code = known[key] = numbers.setdefault(name, len(numbers))
        codes.append(code)
    if len(codes) == 1:
        return Codes(np.zeros_like(columns["run"], dtype=np.int32), tuple(numbers))
    return Codes(make_array(codes, dtype=np.int32), tuple(numbers))


class _Names:
    """What the targets of some runs are called."""

    def __init__(self, heads: Sequence[Sequence[Target]]) -> None:
        self._heads = heads
        self._names = names_across_runs(heads)
        own = [names_across_runs([head])[0] for head in heads]
        self._renamed = [
            {one.name or alone: name for one, alone, name in zip(*of_run, strict=True)}
            for of_run in zip(heads, own, self._names, strict=True)
        ]

    def __call__(self, run: int, index: int, said: str | None, provider: str, model: str) -> str:
        """Return the name of the target of a request. said: what its record calls it."""
        if said:
            return self._renamed[run].get(said, said)
        head = self._heads[run]
        known = index < len(head) and (head[index].provider, head[index].model) == (provider, model)
        return self._names[run][index] if known else f"{provider}/{model}"
