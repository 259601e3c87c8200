"""Notes in the journal of a run how far it is, for whoever looks at it while it goes on.

A note costs the measuring loop microseconds a second. It stands among the records, so that there is no other file that
a killed run could leave behind; who reads the run passes over it.
"""

from __future__ import annotations

from lens._core.clock import now_ns
from lens.history.write import RunProgress
from lens.orchestrator.run_state import RunState
from lens.run.journal import Journal
from lens.run.sink import Sink
from lens.units import NS_PER_S

EVERY_NS = NS_PER_S


class ProgressNotes(Sink):
    """Adds a note to the journal once a second; `lll ui` shows it."""

    def __init__(self, journal: Journal, *, duration_ns: int | None = None, staged: bool = False) -> None:
        """staged: the run has several stages, so that it is worth a word which it is in."""
        self._journal, self._duration_ns, self._staged = journal, duration_ns, staged
        self._next_ns = 0

    def on_progress(self, state: RunState) -> None:
        """Note it when it is time."""
        at_ns = now_ns()  # of the clock: a search for a load begins several states
        if at_ns < self._next_ns:
            return
        self._next_ns = at_ns + EVERY_NS
        self._journal.add(
            RunProgress(
                elapsed_ns=state.elapsed_ns,
                begun=state.begun,
                done=state.done,
                failed=state.failed,
                warmup_done=state.warmup_done,
                total=state.total,
                duration_ns=self._duration_ns,
                stage=state.stage.name if self._staged and state.stage is not None else None,
                spent_nusd=state.spent_nusd,
                at_ns=at_ns,
            )
        )
