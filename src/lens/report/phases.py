"""The phases of requests, from their columns: queue, the connection, the wait, the stream.

One definition for every page: the waterfall of one request, the mean request of a run, the bars of a sample.
Phases do not overlap: those after the queue add up to no more than the total latency, which begins with the request.
"""

from __future__ import annotations

from typing import NamedTuple

from lens.arrays.dispatch import np
from lens.history.lean import MISSING
from lens.metrics.columns import Column
from lens.metrics.table import Table
from lens.units import NS_PER_US

# Phases in the order in which they happen, and the colour of each in a terminal.
PHASES = {
    "queue": "bright_black",
    "DNS": "cyan",
    "TCP": "blue",
    "proxy": "magenta",
    "TLS": "bright_magenta",
    "send": "white",
    "wait": "yellow",
    "first token": "bright_yellow",
    "thinking": "bright_blue",
    "stream": "green",
    "tail": "bright_black",
    "answer": "red",  # of a response without content events
}
# Phases between two stamps: name, first stamp, last stamp.
_STAMPED = (
    ("queue", "intended", "start"),
    ("DNS", "dns_start", "dns_end"),
    ("TCP", "tcp_start", "tcp_end"),
    ("proxy", "proxy_start", "proxy_end"),
    ("TLS", "tls_start", "tls_end"),
    ("send", "send_start", "send_end"),
    ("wait", "send_end", "first_byte"),
)
# A queue shorter than this is the clock's grain, not a wait.
_QUEUE_AT_LEAST_NS = 50 * NS_PER_US


class PhaseColumns(NamedTuple):
    """One phase of each request: ns after its start, MISSING where the request did not have it."""

    name: str
    start: Column  # int64
    end: Column

    @property
    def had(self) -> Column:
        """Which requests had this phase, as bool."""
        found: Column = self.start != MISSING
        return found

    @property
    def took(self) -> Column:
        """How long it took, ns; 0 where the request did not have it."""
        return self.end - self.start


class Phase(NamedTuple):
    """One phase of one request; ns after the request's start."""

    name: str
    start_ns: int
    end_ns: int


class PhaseTotals(NamedTuple):
    """Phases of groups of requests, of those that succeeded; a row a group, a column a phase of PHASES."""

    took_ns: Column  # float64
    had: Column  # how many requests had the phase
    n: Column  # successes of each group

    @property
    def mean_ns(self) -> Column:
        """The mean of each phase over all requests of a group; one that a request did not have counts as nothing."""
        found: Column = self.took_ns / np.maximum(self.n, 1)[:, None]
        return found

    def together(self) -> PhaseTotals:
        """Return all groups as one."""
        return PhaseTotals(*[part.sum(axis=0)[None] for part in self])


def phase_columns(table: Table) -> list[PhaseColumns]:
    """Return every phase of PHASES, in that order."""
    found = [_stamped(table, *stamps) for stamps in _STAMPED]
    first_byte, end = table.stamp("first_byte"), table.stamp("end")
    token, last = table.first_at, table.last_at
    thought, until, streams = table.first_of(table.reasoning), last, token
    thinks = thought != MISSING
    if thinks.any():
        answered = table.first_of(table.output)
        until = np.where(answered == MISSING, last, np.maximum(answered, thought))
        streams = np.where(thinks, until, token)
    found.append(_phase("first token", first_byte, token))
    found.append(_phase("thinking", thought, until))
    found.append(_phase("stream", streams, last))
    found.append(_phase("tail", last, np.where(end > last, end, MISSING)))
    found.append(_phase("answer", first_byte, np.where(table.n == 0, end, MISSING)))
    return found


def phases(table: Table, row: int = 0) -> list[Phase]:
    """Return the phases that one request had, in the order in which they happen."""
    return [
        Phase(phase.name, int(phase.start[row]), int(phase.end[row]))
        for phase in phase_columns(table)
        if phase.start[row] != MISSING
    ]


def phase_totals(table: Table, groups: Column | None = None, n_groups: int = 1) -> PhaseTotals:
    """Return the phases of each group of requests; of all requests where none are given.

    groups: of each request the number of its group, below 0 for none.
    """
    took, had = np.zeros((n_groups, len(PHASES))), np.zeros((n_groups, len(PHASES)), dtype=np.int64)
    n = np.zeros(n_groups, dtype=np.int64)
    at = 0
    for part in table.slices():
        group = np.zeros(len(part), dtype=np.int64) if groups is None else groups[at : at + len(part)]
        at += len(part)
        counted = part.success & (group >= 0)
        of = group[counted]
        n += np.bincount(of, minlength=n_groups)
        for number, phase in enumerate(phase_columns(part)):
            took[:, number] += np.bincount(of, weights=phase.took[counted], minlength=n_groups)
            had[:, number] += np.bincount(group[counted & phase.had], minlength=n_groups)
    return PhaseTotals(took, had, n)


def _stamped(table: Table, name: str, first: str, last: str) -> PhaseColumns:
    start = table.stamp(first)
    end = np.zeros_like(start) if last == "start" else table.stamp(last)
    if name == "queue":
        end = np.where((start != MISSING) & (end - start >= _QUEUE_AT_LEAST_NS), end, MISSING)
    # The answer's first byte may be stamped before the call that sent the request has returned: sending ends there.
    if name == "send":
        first_byte = table.stamp("first_byte")
        end = np.where((end != MISSING) & (first_byte != MISSING), np.minimum(end, first_byte), end)
    return _phase(name, np.minimum(start, end), end)


def _phase(name: str, start: Column, end: Column) -> PhaseColumns:
    had = (start != MISSING) & (end != MISSING)
    return PhaseColumns(name, np.where(had, start, MISSING), np.where(had, end, MISSING))
