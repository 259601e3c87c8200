"""Sessions of a table: how long each took, along which of its turns, where its time went, where its cache broke.

A turn starts when all turns that it waits for (`after`) have ended, plus its pause and the time of its tools. Of those
the last to end is on the critical path: from the last end of a session backwards to a turn that waited for none. The
time of a session is the sum of what its turns on that path add. A figure of a session stands at the turn that ended
last, and only where all of its turns succeeded. Nothing is done in Python for a turn; a step is done for all sessions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from lens.arrays.dispatch import array_like, np, numpy_array
from lens.history.lean import MISSING
from lens.metrics.columns import Column, Columns

# States of a session.
COMPLETE, FAILED, UNFINISHED, WARMUP = range(4)
# From this share on, what a turn read from the cache is the prompt that was before it.
CACHE_HELD = 0.5
# What Anthropic says where it could not compare two prompts.
NO_REASONS = frozenset({"unavailable", "previous_message_not_found"})


def session_column(t: Any, name: str) -> Column:
    """Return a column of `Sessions`, by its name, of the requests of a table; as an array of its kind."""
    return _of_sessions(t, lambda whole: getattr(whole.sessions, name))


def session_cost(t: Any) -> Column:
    """Return what all turns of each complete session cost together in USD; NaN where one has no known cost."""
    return _of_sessions(t, lambda whole: whole.sessions.sum_of_turns(whole.costs.columns["total_cost"]))


def _of_sessions(t: Any, column: Callable[[Any], Column]) -> Column:
    """Return what `column` makes of the whole table, of its requests here; NaN where there are no sessions."""
    start = t.column("start")
    if not t.has_sessions:
        return np.full_like(start, np.nan, dtype=np.float64)
    found: Column = t.of_whole(column)
    return found if type(start) is type(found) else array_like(start, found.tolist())


def told_misses(t: Columns) -> Column:
    """Return of which requests the server says that, and why, it did not read their prompt from the cache."""
    reasons = t.codes("cache_miss")
    told = [reason not in NO_REASONS for reason in reasons.values]
    found: Column = array_like(reasons.codes, [*told, False], dtype=bool)[reasons.codes]
    return found


class Sessions:
    """The sessions of a whole table; columns are one value a request, NaN where there is none."""

    def __init__(self, table: Columns) -> None:
        self._t = table
        codes = numpy_array(table.codes("session_id").codes).astype(np.int64)
        run = numpy_array(table.column("run")).astype(np.int64)
        self.rows: Column = np.flatnonzero(codes >= 0)  # requests that are turns, of one session together, by number
        turn = self._column("turn")[self.rows]
        different, of = np.unique(
            run[self.rows] * (int(codes.max(initial=0)) + 1) + codes[self.rows], return_inverse=True
        )
        order = np.lexsort((turn, of))
        self.rows, self.of, self.turn = self.rows[order], of.reshape(-1)[order], turn[order]
        self.n = len(different)  # sessions

    def _column(self, name: str) -> Column:
        found: Column = numpy_array(self._t.column(name))
        return found

    def _of_turns(self, name: str) -> Column:
        return self._column(name)[self.rows]

    def _spread(self, values: Column, rows: Column) -> Column:
        """Return a column of the table with these values at these places of turns."""
        found = np.full(len(self._t), np.nan)
        found[self.rows[rows]] = values
        return found

    # What is before what. Places are those of turns, in the order of `rows`.

    @cached_property
    def begin_ns(self) -> Column:
        """When each turn began, its first attempt if it was retried, on the clock of its run."""
        first = np.nan_to_num(self._of_turns("first_start")).astype(np.int64)
        begin: Column = self._of_turns("start") + first
        return begin

    @cached_property
    def end_ns(self) -> Column:
        """When each turn ended; MISSING where that is not known."""
        end = self._of_turns("end")
        return np.where(end == MISSING, MISSING, self._of_turns("start") + np.where(end == MISSING, 0, end))

    @cached_property
    def edges(self) -> tuple[Column, Column]:
        """Turns and what they waited for: places of the later and of the earlier."""
        first, numbers = numpy_array(self._t.firsts("after")), numpy_array(self._t.listed("after", "turn"))
        sizes = np.diff(first)[self.rows]
        later = np.repeat(np.arange(len(self.rows)), sizes)
        within = np.arange(len(later)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        wanted = numbers[first[self.rows][later] + within].astype(np.int64)
        width = int(self.turn.max(initial=0)) + 1
        keys = self.of * width + self.turn
        key = self.of[later] * width + wanted
        earlier = np.minimum(np.searchsorted(keys, key), max(len(keys) - 1, 0))
        # Nothing waits for what began later: what says so would have no end.
        known = (
            (wanted >= 0) & (wanted < width) & (keys[earlier] == key) & (self.begin_ns[earlier] < self.begin_ns[later])
        )
        return later[known], earlier[known]

    @cached_property
    def decisive(self) -> Column:
        """Of each turn the one that it waited for longest; -1 where it waited for none."""
        later, earlier = self.edges
        found = np.full(len(self.rows), -1, dtype=np.int64)
        order = np.lexsort((earlier, self.end_ns[earlier]))
        found[later[order]] = earlier[order]  # the last written wins, which ended last
        return found

    # Of each session.

    @cached_property
    def state(self) -> Column:
        """How each session ended: COMPLETE, FAILED, UNFINISHED, or WARMUP where a turn is no part of the results."""
        success = numpy_array(self._t.success)[self.rows] & (self.end_ns != MISSING)
        cut = numpy_array(self._t.interrupted)[self.rows]
        turns = np.bincount(self.of, minlength=self.n)
        repeated = np.bincount(self.of[1:][(np.diff(self.turn) == 0) & (np.diff(self.of) == 0)], minlength=self.n) > 0
        expected = np.zeros(self.n, dtype=np.int64)
        np.maximum.at(expected, self.of, self._of_turns("turns"))
        found = np.where((turns >= expected) & ~repeated & ~self._any(~success), COMPLETE, UNFINISHED)
        found[self._any(~success & ~cut)] = FAILED
        found[self._any(self._of_turns("warmup"))] = WARMUP
        return found

    def _any(self, which: Column) -> Column:
        found: Column = np.bincount(self.of[which], minlength=self.n) > 0
        return found

    @cached_property
    def last(self) -> Column:
        """The turn of each session that ended last, or began last where an end is not known."""
        ended = np.where(self.end_ns == MISSING, self.begin_ns, self.end_ns)
        order = np.lexsort((ended, self.of))
        found: Column = order[np.flatnonzero(np.diff(self.of[order], append=-1))]
        return found

    @cached_property
    def complete(self) -> Column:
        """The sessions whose turns all succeeded, by number."""
        found: Column = np.flatnonzero(self.state == COMPLETE)
        return found

    @cached_property
    def on_path(self) -> Column:
        """Which turns are on the critical path of a session that is complete."""
        found = np.zeros(len(self.rows), dtype=bool)
        at = self.last[self.complete]
        while len(at):
            found[at] = True
            at = self.decisive[at]
            at = at[at >= 0]
        return found

    @cached_property
    def _begin_of_session(self) -> Column:
        found = np.full(self.n, np.iinfo(np.int64).max)
        np.minimum.at(found, self.of, self.begin_ns)
        return found

    @cached_property
    def parts_ns(self) -> dict[str, Column]:
        """What each turn adds to its session: model, tool, think, client; after the end of what it waited for.

        The client's part is what this client was late.
        """
        waited = self.decisive >= 0
        since = np.where(waited, self.end_ns[self.decisive], self._begin_of_session[self.of])
        begin = np.maximum(self.begin_ns, since)
        wait = begin - since
        tool = np.minimum(self._of_turns("tool"), wait)
        think = np.minimum(self._of_turns("think"), wait - tool)
        return {"model": self.end_ns - begin, "tool": tool, "think": think, "client": wait - tool - think}

    def _path_sum(self, values: Column) -> Column:
        """Return the sum of values along the critical path of each complete session, at its last turn."""
        on = self.on_path
        sums = np.bincount(self.of[on], weights=values[on].astype(np.float64), minlength=self.n)
        return self._spread(sums[self.complete], self.last[self.complete])

    def sum_of_turns(self, column: Column) -> Column:
        """Return the sum of a cost in USD over all turns of each complete session, at its last turn."""
        sums = np.bincount(self.of, weights=numpy_array(column)[self.rows], minlength=self.n)
        # Costs have 12 digits behind the point, a sum of floats may have more.
        return self._spread(sums[self.complete].round(12), self.last[self.complete])

    def path(self, row: int) -> list[tuple[int, dict[str, int]]]:
        """Return the critical path of the session of a request: turns from the first on, and what each adds in ns."""
        session = self.of[np.flatnonzero(self.rows == row)]
        at = int(self.last[session[0]]) if len(session) and self.state[session[0]] == COMPLETE else -1
        found = []
        while at >= 0:
            found.append((int(self.turn[at]), {name: int(part[at]) for name, part in self.parts_ns.items()}))
            at = int(self.decisive[at])
        return found[::-1]

    def everywhere(self, column: Column) -> Column:
        """Return a column that has a value at the last turn of sessions, with it at all of their turns."""
        return self._spread(column[self.rows[self.last]][self.of], np.arange(len(self.rows)))

    # Metrics, in ns.

    @cached_property
    def task_ns(self) -> Column:
        """The time from the start of each complete session to its last answer."""
        ended = self.end_ns[self.last[self.complete]]
        took = ended - self._begin_of_session[self.complete]
        return self._spread(took, self.last[self.complete])

    @cached_property
    def task_from_schedule_ns(self) -> Column:
        """From when the session was to start."""
        planned = np.full(self.n, np.nan)
        told = ~np.isnan(self._of_turns("session_planned"))
        begin = self._of_turns("start")
        # As time after the session's own begin, which floats hold without an error.
        planned[self.of[told]] = (begin - self._begin_of_session[self.of])[told] + self._of_turns("session_planned")[
            told
        ]
        last = self.last[self.complete]
        return self._spread(self.task_ns[self.rows[last]] - planned[self.complete], last)

    @cached_property
    def model_ns(self) -> Column:
        """The part of the model in it, along the critical path."""
        return self._path_sum(self.parts_ns["model"])

    @cached_property
    def tool_ns(self) -> Column:
        """The part of tools in it, along the critical path."""
        return self._path_sum(self.parts_ns["tool"])

    @cached_property
    def think_ns(self) -> Column:
        """The part of think time in it, along the critical path."""
        return self._path_sum(self.parts_ns["think"])

    @cached_property
    def client_ns(self) -> Column:
        """The part of this client in it, along the critical path."""
        return self._path_sum(self.parts_ns["client"])

    @cached_property
    def critical_ns(self) -> Column:
        """What each turn adds to the critical path of its session: 0 beside it."""
        adds = np.where(self.on_path, sum(self.parts_ns.values()), 0)
        whole = self.state[self.of] == COMPLETE
        return self._spread(adds[whole], np.flatnonzero(whole))

    # The cache.

    @cached_property
    def cached_before(self) -> Column:
        """Tokens of the prompts before each turn that its own should have found in the cache; NaN where unknown.

        The least of the turns that it waited for, and only as many as the target was ever seen to cache.
        """
        later, earlier = self.edges
        tokens = self._of_turns("input_tokens")
        found = np.full(len(self.rows), np.inf)
        np.minimum.at(found, later, np.nan_to_num(tokens[earlier], nan=np.inf))
        found = np.where(np.isinf(found), np.nan, np.minimum(found, tokens))
        cached = self._of_turns("cache_read_tokens")
        target = numpy_array(self._t.codes("target").codes)[self.rows]
        least = np.full(int(target.max(initial=0)) + 2, np.inf)
        some = cached > 0
        np.minimum.at(least, target[some], cached[some])
        return np.where(found < least[target], np.nan, found)

    @cached_property
    def missed_tokens(self) -> Column:
        """Tokens that should have been read from the cache and were not; 0 where at least half of them were."""
        cached, before = self._of_turns("cache_read_tokens"), self.cached_before
        missed = np.where(cached >= CACHE_HELD * before, 0, before - cached)
        known = np.flatnonzero(~np.isnan(missed) & ~np.isnan(before))
        return self._spread(missed[known], known)

    @cached_property
    def first_miss(self) -> Column:
        """1 at the first turn of each session whose cache broke, by its tokens or by what the server says; NaN else."""
        told = numpy_array(told_misses(self._t))[self.rows]
        broke = np.flatnonzero((self.missed_tokens[self.rows] > 0) | told)
        _, first = np.unique(self.of[broke], return_index=True)
        return self._spread(np.ones(len(first)), broke[first])

    @cached_property
    def ended_as(self) -> Column:
        """The state of each session, at its last turn."""
        return self._spread(self.state.astype(np.float64), self.last)
