"""End a run that is doomed: too many failures, a threshold that is lost already, a key that is not accepted.

Rates are judged by the time that has passed, so that a server that hangs does not keep those of the moment before.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING

from lens._core.clock import now_ns
from lens.errors import ConfigError
from lens.metrics.definitions import METRICS
from lens.model import SCHEMA, Record, RunInfo, Status
from lens.units import NS_PER_S

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
# Where no request ends rates are judged again after so much of the time that has passed, and not more often than this.
QUIET_SHARE, QUIET_NS = 0.1, NS_PER_S // 4


class EarlyEnd:
    """Takes the records of a run as they end, and says why it should not go on."""

    def __init__(
        self,
        max_errors: str | None,
        gates: Sequence[Gate] = (),
        *,
        slos: Sequence[Slo] = (),
        end_if_refused: bool = False,
    ) -> None:
        """
        max_errors: a number of failures, or a share of the requests that ended ("5%").
        end_if_refused: end when the first answers all refuse the key.

        Raises:
            ConfigError: max_errors is neither.
        """
        self._most, self._share = _parse_limit(max_errors) if max_errors is not None else (None, None)
        self._said = max_errors
        self._gates = tuple([gate for gate in gates if gate.threshold.abort_ns is not None])
        self._slos = tuple(slos)
        self._end_if_refused = end_if_refused
        self._done = self._failed = 0
        self._last: deque[Record] = deque(maxlen=LAST)
        self._began_ns = now_ns()
        self._look_at = FEWEST
        self._looked_ns = self._began_ns

    @property
    def watches_time(self) -> bool:
        """Whether a threshold is of a rate, which is lost also while no request ends."""
        return any(_is_rate(gate) for gate in self._gates)

    def add(self, record: Record) -> str | None:
        """Take one more request; return why the run should end, None if it should go on."""
        if record.category == INTERRUPTED:
            return None
        self._done += 1
        self._failed += record.status is not Status.SUCCESS
        if self._gates or self._end_if_refused:
            self._last.append(record)
        return self._refused() or self._too_many() or self._lost()

    def look(self, in_flight: int) -> str | None:
        """Return why the run should end although nothing has ended for a while; None if it should go on."""
        at_ns = now_ns()
        elapsed_ns = at_ns - self._began_ns
        if at_ns - self._looked_ns < max(QUIET_NS, int(QUIET_SHARE * elapsed_ns)):
            return None
        if self._done >= FEWEST:
            return self._judge([gate for gate in self._gates if _is_rate(gate)])
        self._looked_ns = at_ns
        # Too few have ended to say more than that the rate would be too low even if all that are open ended now.
        most = (self._done - self._failed + in_flight) * NS_PER_S / elapsed_ns
        for gate in self._gates:
            grace_ns = gate.threshold.abort_ns or 0
            is_due = 0 < grace_ns <= elapsed_ns and gate.threshold.metric == "requests_per_second" and _is_rate(gate)
            if is_due and not gate.threshold.kept(most):
                return _says(str(gate.threshold), most)
        return None

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
        return self._judge(self._gates) if self._gates and self._done >= self._look_at else None

    def _judge(self, gates: Sequence[Gate]) -> str | None:
        """Return which of the gates is lost by the last requests, and by the time until now."""
        at_ns = now_ns()
        due = [gate for gate in gates if (gate.threshold.abort_ns or 0) <= at_ns - self._began_ns]
        if not due:
            return None
        from lens.analysis.gates.sla import evaluate_run
        from lens.metrics.builder import table_of
        from lens.metrics.summarize import summarize

        self._look_at, self._looked_ns = int(self._done * GROWTH) + 1, at_ns
        table = table_of(self._last, _until_now(self._began_ns, at_ns))
        summary = summarize(table, slos=self._slos, metrics=())
        for result in evaluate_run(due, table, summary, slos=self._slos):
            if result.failed and result.verdict.actual is not None:
                return _says(f"{result.whose}{result.gate.threshold}", result.verdict.actual)
        return None


def _is_rate(gate: Gate) -> bool:
    """Return whether a gate asks for a rate, which falls while nothing ends."""
    metric = METRICS[gate.threshold.metric]
    return gate.threshold.operator in (">", ">=") and metric.kind == "run" and metric.unit.endswith("/s")


def _until_now(began_ns: int, at_ns: int) -> RunInfo:
    """Return the header of a run that is stopped now: its rates are over the time until then."""
    return RunInfo(
        schema=SCHEMA,
        version="",
        run_id="",
        started_at="",
        targets=(),
        started_ns=began_ns,
        ended_ns=at_ns,
        stopped_by="judged",
    )


def _says(threshold: str, actual: float) -> str:
    return f"threshold {threshold} is not met ({actual:.6g}), and ends the run"


def _parse_limit(text: str) -> tuple[int | None, float | None]:
    """Return (number, share) of "10" or "5%"; one of them is None."""
    found = re.fullmatch(r"\s*(\d{1,9}(?:\.\d+)?)\s*(%?)\s*", text)
    if found and found[2] and 0 <= float(found[1]) < 100:
        return None, float(found[1]) / 100
    if found and not found[2] and "." not in found[1]:
        return int(found[1]), None
    raise ConfigError(f"--max-errors {text!r}: write a number of failed requests, or a share like 5%")
