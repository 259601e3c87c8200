"""The state of a run while it goes on, and its outcome as a whole."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from lens._core.clock import now_ns
from lens.clocks import WorkerClock
from lens.model import Record
from lens.orchestrator.schedule import Stage
from lens.orchestrator.sessions.session import SessionsCut

OnRecord = Callable[[Record], None]


class RunState:
    """Progress of a run; changes while it goes on."""

    def __init__(self, total: int | None) -> None:
        self.total = total  # None: time ends it
        self.stage: Stage | None = None
        self.started_ns = now_ns()
        self.opening = 0  # connections that are being opened ahead of the first request
        self.begun = 0
        self.done = 0
        self.failed = 0
        self.warmup_done = 0
        self.spent_nusd: int | None = None  # under a spend ceiling

    @property
    def in_flight(self) -> int:
        """How many requests are in flight."""
        return self.begun - self.done

    @property
    def elapsed_ns(self) -> int:
        """The time since the start, ns."""
        return now_ns() - self.started_ns


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a run: why it ended, and what it left undone."""

    started_ns: int
    ended_ns: int
    requests: int  # records that were handed out, warm-up included
    stopped_by: str | None = None  # a signal's name or a reason; None: it ran to its end
    over_budget: str | None = None  # why the spend ceiling ended it
    incomplete: str | None = None  # which requests were asked for and are missing, and why
    warnings: tuple[str, ...] = ()
    clocks: tuple[WorkerClock, ...] = ()  # of workers on other machines
    cut: SessionsCut = SessionsCut()  # sessions that did not come to their last turn
