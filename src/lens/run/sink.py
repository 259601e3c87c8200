"""What a run hands its records and its progress to, while it goes on and when it has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lens.model import Record, RunInfo
from lens.orchestrator.run_state import RunState

if TYPE_CHECKING:
    from lens.run.result import RunResult


class Sink:
    """Base of sinks; each method does nothing.

    All are called in the event loop that measures: they must return within microseconds, and must not wait.
    Whatever they raise ends the run and is raised by it.
    """

    def on_start(self, info: RunInfo) -> None:
        """Take the header of the run; nothing has been sent yet."""

    def on_warmup(self, record: Record) -> None:
        """Take a request that was sent to warm up; it is in no result."""

    def on_record(self, record: Record) -> None:
        """Take a request that has ended. Token counts and marks that need the whole run are not in it yet."""

    def on_progress(self, state: RunState) -> None:
        """Look at the progress; called about ten times a second."""

    def on_end(self, result: RunResult) -> None:
        """Take the result; everything has been measured, and no file is written yet."""


class FunctionSink(Sink):
    """A sink made of functions."""

    def __init__(
        self,
        on_record: Callable[[Record], None] | None = None,
        *,
        on_start: Callable[[RunInfo], None] | None = None,
        on_warmup: Callable[[Record], None] | None = None,
        on_progress: Callable[[RunState], None] | None = None,
    ) -> None:
        given = {"on_record": on_record, "on_start": on_start, "on_warmup": on_warmup, "on_progress": on_progress}
        for name, function in given.items():
            if function is not None:
                setattr(self, name, function)


def wants_progress(sink: Sink) -> bool:
    """Return whether the sink does anything with progress; if none does, nothing wakes up to report it."""
    return getattr(sink.on_progress, "__func__", sink.on_progress) is not Sink.on_progress
