"""AIPerf's session files: multi-turn rows, and conversations that branch (DAG).

A multi-turn row has `turns` with texts. A DAG file has a row for each conversation; `forks` begin with all that was
said before, `spawns` begin anew, and a later turn of the parent waits for them (`join_at`, or the next). All that one
root reaches is one session here: one task with parallel parts. Delays are milliseconds after what a turn waits for.

Sources: https://docs.nvidia.com/aiperf/tutorials/datasets-inputs/multi-turn-conversations and
https://docs.nvidia.com/aiperf/benchmark-modes/conversation-dag-benchmarks
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from lens.orchestrator.sessions.conversations import session_name
from lens.orchestrator.sessions.rows import Row, UnusableRow, count_in, messages_in, pause_ns, time_ns
from lens.orchestrator.sessions.session import Message, Session, Turn, linear_session
from lens.providers.values import as_dict, as_list
from lens.units import NS_PER_MS

# Rounds of an orchestrator; each is sent as many times as its branches have turns.
MOST_ROUNDS = 10_000
# Conversations that start each other may double at each level.
MOST_LEVELS, MOST_TURNS = 100, 100_000
_MEDIA = ("image", "images", "audio", "audios", "video", "videos")
# Contexts in which each turn brings its whole history along.
_WHOLE = ("message_array_with_responses", "message_array_without_responses")


def is_multi_turn(row: dict[str, Any]) -> bool:
    """Return whether a row has turns with texts."""
    turns = row.get("turns")
    return isinstance(turns, list) and not is_dag(row)


def is_dag(row: dict[str, Any]) -> bool:
    """Return whether a row is a conversation of a DAG file."""
    turns = row.get("turns")
    with_messages = isinstance(turns, list) and any(isinstance(one, dict) and "messages" in one for one in turns)
    return with_messages or row.get("orchestrator") is True


def read_multi_turn(rows: Sequence[Row]) -> Iterator[Session | UnusableRow]:
    """Yield a session for each row; answers are not recorded."""
    for number, (where, row) in enumerate(rows):
        try:
            yield _multi_turn(row, number, where)
        except UnusableRow as error:
            yield error


def _multi_turn(row: dict[str, Any], number: int, where: str) -> Session:
    turns = row.get("turns")
    if not isinstance(turns, list) or not turns:
        raise UnusableRow(f"{where}: no turns")
    made = [_text_turn(one, f"{where}: turn {place}") for place, one in enumerate(turns)]
    start = time_ns(turns[0].get("timestamp"), NS_PER_MS, where)
    return linear_session(session_name(row, number), made, start)


def _text_turn(turn: Any, where: str) -> Turn:
    if not isinstance(turn, dict):
        raise UnusableRow(f"{where}: an object is wanted")
    if media := [name for name in _MEDIA if turn.get(name)]:
        raise UnusableRow(f"{where}: {media[0]} is not supported here; texts only")
    texts = [turn["text"]] if "text" in turn else as_list(turn.get("texts"))
    texts = [one.get("contents", "") if isinstance(one, dict) else one for one in texts]
    flat = [part for one in texts for part in (one if isinstance(one, list) else [one])]
    if not flat or not all(isinstance(one, str) for one in flat):
        raise UnusableRow(f"{where}: no text")
    role = turn.get("role")
    messages: list[Message] = [{"role": role if isinstance(role, str) else "user", "content": one} for one in flat]
    return Turn(
        messages=tuple(messages),
        think_ns=pause_ns(turn.get("delay"), NS_PER_MS, where, "delay"),
        max_tokens=count_in(turn.get("output_length")),
        extra_body=turn["extra"] if isinstance(turn.get("extra"), dict) else {},
    )


def read_dag(rows: Sequence[Row]) -> Iterator[Session | UnusableRow]:
    """Yield a session for each conversation that is no other's branch, with all that it reaches."""
    known: dict[str, Row] = {}
    children: set[str] = set()
    for where, row in rows:
        name = row.get("session_id")
        if not isinstance(name, str) or not name or name in known:
            yield UnusableRow(f"{where}: session_id {name!r} is missing or not unique")
            continue
        known[name] = Row(where, row)
        children |= set(_branches_of(row))
    for name, (where, row) in known.items():
        if name in children:
            continue
        try:
            tree = _Tree(known)
            if row.get("orchestrator") is True:
                tree.add_rounds(row, where)
            else:
                tree.add(name, (), (), ())
            yield Session(id=name, turns=tuple(tree.turns))
        except UnusableRow as error:
            yield error


def _branches_of(row: dict[str, Any]) -> Iterator[str]:
    """Yield the conversations that one starts."""
    for name in ("pre_session_spawns", "spawns"):
        yield from [one for one in as_list(row.get(name)) if isinstance(one, str)]
    rounds = row.get("rounds")
    for one in rounds if isinstance(rounds, list) else []:
        yield from [child for child in as_list(as_dict(one).get("spawns")) if isinstance(child, str)]
    for turn in as_list(row.get("turns")):
        if isinstance(turn, dict):
            for entry in [*as_list(turn.get("forks")), *as_list(turn.get("spawns"))]:
                yield from _names_in(entry)


def _names_in(entry: Any) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    if isinstance(entry, dict):
        found = as_list(entry.get("children")) or [entry.get("child")]
        return [one for one in found if isinstance(one, str)]
    return []


class _Tree:
    """The turns of one root and of all that it starts, numbered in the order in which they may begin."""

    def __init__(self, known: dict[str, Row]) -> None:
        self._known = known
        self.turns: list[Turn] = []

    def add(
        self, name: str, after: tuple[int, ...], history: tuple[int, ...], path: tuple[str, ...], delay_ns: int = 0
    ) -> int:
        """Add a conversation and its branches; return its last turn.

        after: what its first turn waits for. history: what it inherits.
        """
        where, row = self._row(name, path)
        path = (*path, name)
        if len(path) > MOST_LEVELS:
            raise UnusableRow(f"{where}: branches are nested more than {MOST_LEVELS} levels")
        turns = row.get("turns")
        if not isinstance(turns, list) or not turns:
            raise UnusableRow(f"{where}: no turns")
        for child in as_list(row.get("pre_session_spawns")):
            self.add(str(child), after, (), path)
        whole = row.get("context_mode") in _WHOLE
        joins: dict[int, list[int]] = {}  # turn of this conversation -> turns of branches that it waits for
        last = -1
        for place, turn in enumerate(turns):
            at = f"{where}: turn {place}"
            made = _message_turn(turn, at)
            extra_ns = delay_ns if place == 0 else 0
            waits = (last,) if place else after
            last = len(self.turns)
            if last >= MOST_TURNS:
                raise UnusableRow(f"{where}: its branches have more than {MOST_TURNS:,} turns in all")
            self.turns.append(
                replace(
                    made,
                    after=tuple(sorted({*waits, *joins.get(place, ())})),
                    history=() if whole else history,
                    think_ns=made.think_ns + extra_ns,
                )
            )
            history = (*history, last)
            self._branch(turn, place, len(turns), last, history, joins, path, at)
        return last

    def _branch(
        self,
        turn: dict[str, Any],
        place: int,
        many: int,
        number: int,
        history: tuple[int, ...],
        joins: dict[int, list[int]],
        path: tuple[str, ...],
        where: str,
    ) -> None:
        """Add what a turn forks and spawns; note which later turn waits for it."""
        for entry in as_list(turn.get("forks")):
            for name in _names_in(entry):
                self.add(name, (number,), history, path)
        for entry in as_list(turn.get("spawns")):
            join = entry.get("join_at") if isinstance(entry, dict) else None
            join = place + 1 if join is None else join
            if not isinstance(join, int) or join <= place or (join >= many and isinstance(entry, dict) and many > 1):
                raise UnusableRow(f"{where}: join_at {join!r} is no later turn of this conversation")
            for name in _names_in(entry):
                joins.setdefault(join, []).append(self.add(name, (number,), (), path))

    def add_rounds(self, row: dict[str, Any], where: str) -> None:
        """Add an orchestrator, which sends nothing itself: its rounds follow each other, each with its branches."""
        rounds = row.get("rounds")
        shared = [str(one) for one in as_list(row.get("spawns"))]
        if isinstance(rounds, list):
            planned = [
                (as_list(as_dict(one).get("spawns")), as_dict(one).get("think_time_ms", row.get("think_time_ms")))
                for one in rounds
            ]
        else:
            planned = [(shared, row.get("think_time_ms"))] * min(count_in(rounds) or 1, MOST_ROUNDS)
        after: tuple[int, ...] = ()
        delay_ns = 0
        for spawns, think_ms in planned:
            after = tuple([self.add(str(name), after, (), (), delay_ns) for name in spawns])
            delay_ns = pause_ns(think_ms, NS_PER_MS, where, "think_time_ms")
        if not self.turns:
            raise UnusableRow(f"{where}: an orchestrator without spawns")

    def _row(self, name: str, path: tuple[str, ...]) -> Row:
        if name not in self._known:
            raise UnusableRow(f"{path[-1] if path else 'session'} starts {name!r}, which is not in the file")
        if name in path:
            raise UnusableRow(f"{self._known[name].where}: {name!r} starts itself")
        return self._known[name]


def _message_turn(turn: Any, where: str) -> Turn:
    if not isinstance(turn, dict):
        raise UnusableRow(f"{where}: an object is wanted")
    extra = turn["extra"] if isinstance(turn.get("extra"), dict) else {}
    return Turn(
        messages=tuple(messages_in(turn.get("messages"), where)),
        think_ns=pause_ns(turn.get("delay"), NS_PER_MS, where, "delay"),
        max_tokens=count_in(turn.get("max_tokens")),
        extra_body={**extra, **({"tools": turn["tools"]} if turn.get("tools") else {})},
    )
