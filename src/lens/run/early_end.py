"""End a run that is doomed: too many failures, a threshold that is lost already, a key that is not accepted."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from lens._core.clock import now_ns
from lens.errors import ConfigError
from lens.model import Record, Status

if TYPE_CHECKING:
    from lens.analysis.gates.sla import Gate
    from lens.metrics.goodput import Slo

# A share of failures, and a threshold, say little of fewer requests.
FEWEST = 10
# A threshold is looked at again when there is so much more, and by the last requests only: both bound what it costs.
GROWTH = 1.1
LAST = 2000
# So many first answers that refuse the key, and no other, end a run.
REFUSALS = 3
INTERRUPTED = "interrupted"


class EarlyEnd:
    """Takes the records of a run as they end, and says why it should not go on."""

    def __init__(
        self,
        max_errors: str | None,
        gates: Sequence[Gate] = (),
        *,
        slos: Sequence[Slo] = (),
        end_if_refused: bool = False,
        of_targets: bool = False,
    ) -> None:
        """
        max_errors: a number of failures, or a share of the requests that ended ("5%").
        end_if_refused: end when the first answers all refuse the key. of_targets: hold each target to the gates.

        Raises:
            ConfigError: max_errors is neither.
        """
        self._most, self._share = _parse_limit(max_errors) if max_errors is not None else (None, None)
        self._said = max_errors
        self._gates = tuple([gate for gate in gates if gate.threshold.abort_ns is not None])
        self._slos = tuple(slos)
        self._end_if_refused, self._of_targets = end_if_refused, of_targets
        self._done = self._failed = 0
        self._last: deque[Record] = deque(maxlen=LAST)
        self._began_ns = now_ns()
        self._look_at = FEWEST

    def add(self, record: Record) -> str | None:
        """Take one more request; return why the run should end, None if it should go on."""
        if record.category == INTERRUPTED:
            return None
        self._done += 1
        self._failed += record.status is not Status.SUCCESS
        if self._gates or self._end_if_refused:
            self._last.append(record)
        return self._refused() or self._too_many() or self._lost()

    def _refused(self) -> str | None:
        if not self._end_if_refused or self._done != REFUSALS:
            self._end_if_refused = self._end_if_refused and self._done < REFUSALS
            return None
        first = list(islice(self._last, REFUSALS))
        if any(record.category != "auth" for record in first):
            return None
        said = first[0].failure.message if first[0].failure else f"HTTP {first[0].http_status}"
        return f"the key is not accepted: the first {REFUSALS} answers were {first[0].http_status}: {said}"

    def _too_many(self) -> str | None:
        share = self._share is not None and self._done >= FEWEST and self._failed > self._share * self._done
        if share or (self._most is not None and self._failed > self._most):
            return f"--max-errors {self._said}: {self._failed} of {self._done} requests failed"
        return None

    def _lost(self) -> str | None:
        if not self._gates or self._done < self._look_at:
            return None
        elapsed_ns = now_ns() - self._began_ns
        due = [gate for gate in self._gates if (gate.threshold.abort_ns or 0) <= elapsed_ns]
        if not due:
            return None
        from lens.analysis.gates.sla import evaluate_gates, evaluate_targets
        from lens.metrics.builder import table_of
        from lens.metrics.summarize import summarize

        self._look_at = int(self._done * GROWTH) + 1
        table = table_of(self._last)
        results = (
            evaluate_targets(due, table, slos=self._slos)
            if self._of_targets
            else evaluate_gates(due, table, summarize(table, slos=self._slos, metrics=()), slos=self._slos)
        )
        for result in results:
            if result.failed and result.verdict.actual is not None:
                said = f"{result.whose}{result.gate.threshold}"
                return f"threshold {said} is not met ({result.verdict.actual:.6g}), and ends the run"
        return None


def _parse_limit(text: str) -> tuple[int | None, float | None]:
    """Return (number, share) of "10" or "5%"; one of them is None."""
    found = re.fullmatch(r"\s*(\d{1,9}(?:\.\d+)?)\s*(%?)\s*", text)
    if found and found[2] and 0 <= float(found[1]) < 100:
        return None, float(found[1]) / 100
    if found and not found[2] and "." not in found[1]:
        return int(found[1]), None
    raise ConfigError(f"--max-errors {text!r}: write a number of failed requests, or a share like 5%")
