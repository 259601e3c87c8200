"""Over which time rates are told: the window that requests were asked for in, and the rates of a schedule.

A schedule lasts a gap longer than from its first start to its last: n requests at a rate have n - 1 gaps between them,
and would seem to come faster than they do. Of an irregular schedule that gap is the mean of the others. Requests of
one time are one start. A search repeats a load: its tries are apart, and what lies between them was not asked for.
A run that was stopped was asked for until then: requests that its end cut were open, and count in the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lens.arrays.dispatch import np
from lens.history.lean import MISSING
from lens.metrics.columns import Column, Run
from lens.metrics.table import Table
from lens.parsing import table_in
from lens.units import NS_PER_S

# Starts of a constant rate are rounded to nanoseconds; gaps that differ more are no constant rate.
EVEN_NS = 1000
# A load that is searched is tried so often.
MOST_TRIES = 3


class Window(NamedTuple):
    """From the first start to the end of the last request or of the schedule, and the sum of all latencies.

    Of several runs, or tries of a load, their sums.
    """

    window_s: float | None
    busy_s: float | None  # None: a run was killed, and no record tells of requests that were open then

    @property
    def open_mean(self) -> float | None:
        """How many requests were open on average."""
        return self.busy_s / self.window_s if self.window_s and self.busy_s is not None else None


class Rates(NamedTuple):
    """Requests a second."""

    asked: float | None  # of the schedule; None where there is none, or all is at once
    sent: float | None  # of the sends; None where they are unknown, or all at once


def window_of(table: Table) -> Window:
    """Return the window of the requests of a table."""
    return _window(table.with_interrupted)


def _window(table: Table, *, to_stop: bool = True) -> Window:
    """Return the window of requests. to_stop: it lasts until the run was stopped, if it was while they were sent."""
    window_ns = busy_ns = unrecorded = 0
    for run, requests in table.by_run():
        start, end = requests.column("start"), requests.stamp("end")
        ended = end != MISSING
        if ended.any():
            stopped = _stopped_at(run, requests) if to_stop else 0
            last = max(int((start + end)[ended].max()), _schedule_end(requests), stopped)
            window_ns += max(last - int(start.min()), 0)
            busy_ns += int(end[ended].sum())
            unrecorded += run.info.unrecorded if stopped and run.info is not None else 0
    return Window(window_ns / NS_PER_S or None, busy_ns / NS_PER_S if not unrecorded else None)


def stage_window(stage: Table) -> Window:
    """Return the window of the requests of one stage of a run: the tries of a load without what lies between them."""
    *before, last = _tries(stage.with_interrupted)
    windows = [*[_window(one, to_stop=False) for one in before], _window(last)]
    busy_s = [one.busy_s for one in windows if one.busy_s is not None]
    window_s = sum([one.window_s or 0.0 for one in windows]) or None
    return Window(window_s, sum(busy_s) if len(busy_s) == len(windows) else None)


def rates_of(stage: Table) -> Rates:
    """Return the rates that requests of one stage were asked and sent at."""
    stage = stage.with_interrupted
    if not _is_scheduled(stage):
        return Rates(None, _rate_of_sends(stage))
    tries = _tries(stage)
    lasted = [_span(_scheduled(one)) + _gap(one) for one in tries]
    if not all(lasted):
        return Rates(None, _rate_of_sends(stage))
    asked = len(stage) * NS_PER_S / sum(lasted)
    sends = [_sends(one) for one in tries]
    took = sum([_span(one) for one in sends])
    if not took or min(map(len, sends)) < 2:
        return Rates(asked, None)
    return Rates(asked, asked * sum([_span(_scheduled(one)) for one in tries]) / took)


def _stopped_at(run: Run, requests: Table) -> int:
    """Return when the run of these requests was stopped; 0 where it ran to its end, or they are of an earlier stage."""
    if run.info is None or run.info.stopped_by is None or run.info.ended_ns is None:
        return 0
    return run.info.ended_ns if bool(requests.of_whole(_sent_last).any()) else 0


def _sent_last(whole: Table) -> Column:
    """Return which requests are of the stage in which their run ended, as bool; none where that is cut as cool-down."""
    found, stage = np.zeros_like(whole.warmup), whole.codes("stage").codes
    for _, run in whole.by_run():
        number = int(run.column("run")[0])
        last = int(run.column("start").argmax())
        if not run.warmup[last]:
            found |= (whole.column("run") == number) & (stage == run.codes("stage").codes[last])
    return found


def _is_scheduled(table: Table) -> bool:
    """Return whether each request had a time of its own."""
    return len(table) > 1 and bool((table.stamp("intended") != MISSING).all())


def _scheduled(table: Table) -> Column:
    """Return when each request was meant to start."""
    scheduled: Column = table.column("start") + table.stamp("intended")
    return scheduled


def _gap(run: Table) -> float:
    """Return the mean gap between the starts of a schedule, 0 of one start."""
    starts = np.sort(_scheduled(run))  # not np.unique, which takes many times as long
    gaps = int((np.diff(starts) != 0).sum())
    return (int(starts[-1]) - int(starts[0])) / gaps if gaps else 0.0


def _schedule_end(run: Table) -> int:
    """Return when the schedule of a run ends, a gap of its last stage after its last start; 0 where there is none.

    Turns of sessions are due as their answers come, which is no schedule.
    """
    if not _is_scheduled(run) or (run.column("turn") >= 0).any():
        return 0
    starts, stage = _scheduled(run), run.codes("stage").codes
    last = run.take(np.flatnonzero(stage == stage[int(starts.argmax())]))
    return int(starts.max()) + round(_gap(_tries(last)[-1])) if len(last) > 1 else 0


def _tries(stage: Table) -> Sequence[Table]:
    """Return the requests of each try of a load that was searched; of any other all of them.

    Tries of a constant rate begin where the gap is another.
    """
    if not _is_scheduled(stage):
        return [stage]
    info = stage.runs[int(stage.column("run")[0])].info
    if info is None or not table_in(info.config, "load").get("search_slo"):
        return [stage]
    order = np.argsort(_scheduled(stage), kind="stable")
    gaps = np.diff(_scheduled(stage)[order])
    breaks = np.flatnonzero(np.abs(gaps - np.median(gaps)) > EVEN_NS)
    if not 0 < len(breaks) < MOST_TRIES:
        return [stage]
    return [stage.take(rows) for rows in np.split(order, breaks + 1)]


def _sends(table: Table) -> Column:
    """Return when requests were first sent; a retry's first attempt was sent at its time."""
    after, first = table.stamp("send_start"), table.stamp("intended")
    after = np.where((table.column("tries") > 0) & (first != MISSING), first, after)
    sends: Column = (table.column("start") + after)[after != MISSING]
    return sends


def _rate_of_sends(table: Table) -> float | None:
    sends = _sends(table)
    return (len(sends) - 1) * NS_PER_S / _span(sends) if len(sends) > 1 and _span(sends) else None


def _span(times: Column) -> int:
    return int(times.max()) - int(times.min()) if len(times) else 0
