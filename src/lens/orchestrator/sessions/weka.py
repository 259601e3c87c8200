"""Weka's traces of coding agents (kv-cache-tester): lengths, block hashes and times of one conversation a file.

`requests` has calls ("n", "s") with `t` in seconds, `in`, `out`, `hash_ids` and sometimes `api_time` and `think_time`,
and "subagent" entries with calls of their own: these begin when the call before them has ended, and the next call of
the conversation waits for them. Every call is a whole prompt; its hashes are local to the trace.

Source: https://docs.nvidia.com/aiperf/tutorials/datasets-inputs/replay-weka-agentic-coding-traces
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lens.orchestrator.sessions.blocks import Blocks
from lens.orchestrator.sessions.conversations import session_name
from lens.orchestrator.sessions.dependencies import predecessors
from lens.orchestrator.sessions.rows import MOST_PAUSE_NS, Row, UnusableRow, count_in, pause_ns, time_ns
from lens.orchestrator.sessions.session import Session, Turn
from lens.orchestrator.synthetic import MOST_WORDS
from lens.providers.values import as_list
from lens.units import NS_PER_S

_CALLS = ("n", "s")


def is_weka(row: dict[str, Any]) -> bool:
    """Return whether a row is a Weka trace."""
    return isinstance(row.get("requests"), list) and "block_size" in row


def read_weka(rows: Sequence[Row]) -> Iterator[Session | UnusableRow]:
    """Yield a session for each trace."""
    for number, (where, row) in enumerate(rows):
        try:
            yield _Trace(row, number, where).session()
        except UnusableRow as error:
            yield error


class _Trace:
    """One trace while it is read."""

    def __init__(self, row: dict[str, Any], number: int, where: str) -> None:
        self.row, self.where = row, where
        self.name = session_name(row, number)
        self.size = count_in(row.get("block_size")) or 64
        self.turns: list[Turn] = []

    def session(self) -> Session:
        """Return the session of the trace."""
        last: tuple[int, ...] = ()  # what the next call of the conversation waits for
        requests = as_list(self.row.get("requests"))
        parents = self._calls(requests)
        waits = iter(self._after(parents))
        numbers: list[int] = []  # of the parents' calls among all turns
        joined: list[int] = []  # ends of subagents since the call before
        for place, entry in enumerate(requests):
            if not isinstance(entry, dict):
                raise UnusableRow(f"{self.where}: request {place} is no object")
            if entry.get("type") == "subagent":
                if last and (end := self._subagent(entry, last, place)) is not None:
                    joined.append(end)
            elif entry.get("type") in _CALLS:
                before, gap_ns, tool = next(waits)
                after = tuple(sorted({*[numbers[one] for one in before], *joined}))
                numbers.append(self._add(entry, after, gap_ns, tool=tool, place=place))
                last, joined = (numbers[-1],), []
        if not self.turns:
            raise UnusableRow(f"{self.where}: no calls in this trace")
        return Session(id=self.name, turns=tuple(self.turns))

    def _calls(self, entries: Sequence[Any]) -> list[dict[str, Any]]:
        return [one for one in entries if isinstance(one, dict) and one.get("type") in _CALLS]

    def _after(self, calls: Sequence[dict[str, Any]]) -> list[tuple[tuple[int, ...], int, bool]]:
        """Return for each call (calls it waits for, pause before it, whether tools fill the pause)."""
        starts = [time_ns(call.get("t", 0), NS_PER_S, self.where, "t") or 0 for call in calls]
        took = [pause_ns(call.get("api_time"), NS_PER_S, self.where, "api_time") for call in calls]
        if all(took):
            before = predecessors(starts, [start + took for start, took in zip(starts, took, strict=True)])
        else:
            before = [(number - 1,) if number else () for number in range(len(calls))]
        found = []
        for number, call in enumerate(calls):
            free = max((starts[one] + took[one] for one in before[number]), default=starts[number])
            known = bool(took[number - 1]) if number else False
            gap = max(starts[number] - free, 0) if known else 0
            if call.get("think_time") is not None:
                gap = pause_ns(call["think_time"], NS_PER_S, self.where, "think_time")
            tool = any(calls[one].get("stop") == "tool_use" for one in before[number])
            found.append((before[number], min(gap, MOST_PAUSE_NS), tool))
        return found

    def _subagent(self, entry: dict[str, Any], after: tuple[int, ...], place: int) -> int | None:
        """Add the calls of a subagent, one after the other; return the last, None where it has none."""
        calls = self._calls(as_list(entry.get("requests")))
        last: int | None = None
        for call, (_, gap_ns, tool) in zip(calls, self._after(calls), strict=True):
            waits, pause = (after, 0) if last is None else ((last,), gap_ns)
            last = self._add(call, waits, pause, tool=tool, place=place)
        return last

    def _add(self, call: dict[str, Any], after: tuple[int, ...], gap_ns: int, *, tool: bool, place: int) -> int:
        words, ids = count_in(call.get("in")), as_list(call.get("hash_ids"))
        if words is None or words > MOST_WORDS or not all(isinstance(one, int) for one in ids):
            raise UnusableRow(f"{self.where}: request {place} has no input length that can be sent")
        scope = self.name if ids else f"{self.name}:{len(self.turns)}"
        self.turns.append(
            Turn(
                messages=(),
                blocks=Blocks(ids=tuple(ids), words=words, size=self.size, scope=scope),
                after=after,
                think_ns=0 if tool else gap_ns,
                tool_ns=gap_ns if tool else 0,
                max_tokens=count_in(call.get("out")),
            )
        )
        return len(self.turns) - 1
