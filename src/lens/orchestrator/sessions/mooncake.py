"""Traces by lengths and block hashes: Mooncake, with sessions as AIPerf writes them, and BurstGPT's CSV.

Mooncake's rows have `timestamp` and `delay` in milliseconds, `input_length`, `output_length`, `hash_ids`, and
`session_id` for several rows of one session; in place of lengths they may have `text_input`, `messages` (the whole
history; only what is new where `message_mode` is "delta") or `payload`. A row without a session is one of one turn.

Where each row's hashes begin with those of the row before, or `context_mode` says so, a row is the whole prompt;
else it is what is new in the turn.

Sources: https://github.com/kvcache-ai/Mooncake (traces),
https://docs.nvidia.com/aiperf/tutorials/datasets-inputs/custom-dataset-guide, https://github.com/HPMLL/BurstGPT
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from msgspec.structs import replace

from lens.orchestrator.sessions.blocks import Blocks
from lens.orchestrator.sessions.conversations import of_rows
from lens.orchestrator.sessions.rows import MOST_PAUSE_NS, Row, UnusableRow, count_in, messages_in, pause_ns, time_ns
from lens.orchestrator.sessions.session import Session, Turn, linear_session
from lens.orchestrator.synthetic import MOST_WORDS
from lens.providers.values import as_list
from lens.units import NS_PER_MS, NS_PER_S

_INPUTS = ("input_length", "text_input", "payload")
_WHOLE = ("message_array_with_responses", "message_array_without_responses")


def is_mooncake(row: dict[str, Any]) -> bool:
    """Return whether a row is of a Mooncake trace."""
    timed = any(name in row for name in ("timestamp", "delay", "message_mode", "output_length"))
    return any(name in row for name in _INPUTS) or (isinstance(row.get("messages"), list) and timed)


def read_mooncake(rows: Sequence[Row]) -> Iterator[Session | UnusableRow]:
    """Yield a session for all rows of one session_id, and for each row without one."""
    groups: dict[str, list[Row]] = {}
    for number, row in enumerate(rows):
        name = row.value.get("session_id")
        groups.setdefault(f"session-{number}" if name is None else str(name), []).append(row)
    for name, members in groups.items():
        try:
            yield _session(name, members)
        except UnusableRow as error:
            yield error


def _session(name: str, rows: Sequence[Row]) -> Session:
    if all(isinstance(row.get("messages"), list) for _, row in rows):
        return of_rows(name, rows)
    turns = [_turn(name, row, where) for where, row in rows]
    session = linear_session(name, turns, time_ns(rows[0].value.get("timestamp"), NS_PER_MS, rows[0].where))
    return _without_history(session) if _are_whole(rows) else session


def _turn(name: str, row: dict[str, Any], where: str) -> Turn:
    extra = row["extra"] if isinstance(row.get("extra"), dict) else {}
    more: dict[str, Any] = {}
    length = row.get("input_length")
    if isinstance(row.get("text_input"), str):
        more["messages"] = ({"role": "user", "content": row["text_input"]},)
    elif isinstance(row.get("payload"), dict):
        payload = row["payload"]
        text = payload.get("prompt")
        asked = [{"role": "user", "content": text}] if isinstance(text, str) else payload.get("messages")
        more["messages"] = tuple(messages_in(asked, where))
        kept = ("messages", "prompt", "model", "stream", "stream_options")
        extra = {**{key: value for key, value in payload.items() if key not in kept}, **extra}
    elif isinstance(length, int) and 0 < length <= MOST_WORDS:
        ids = as_list(row.get("hash_ids"))
        if not all(isinstance(one, int) for one in ids):
            raise UnusableRow(f"{where}: hash_ids has something else than numbers")
        # Without hashes its words are its own.
        more["messages"] = ()
        more["blocks"] = Blocks(ids=tuple(ids), words=length, scope="" if ids else f"{name}:{where}")
    else:
        raise UnusableRow(f"{where}: no input_length, text_input, messages or payload that can be sent")
    return Turn(
        think_ns=pause_ns(row.get("delay"), NS_PER_MS, where, "delay"),
        max_tokens=count_in(row.get("output_length")),
        extra_body=extra,
        **more,
    )


def _are_whole(rows: Sequence[Row]) -> bool:
    """Return whether each row is the whole prompt of its turn, not what is new in it."""
    if any(row.get("context_mode") in _WHOLE or "payload" in row for _, row in rows):
        return True
    ids = [as_list(row.get("hash_ids")) for _, row in rows]
    return all(before and after[: len(before)] == before for before, after in pairwise(ids))


def _without_history(session: Session) -> Session:
    return replace(session, turns=tuple([replace(turn, history=()) for turn in session.turns]))


def is_burstgpt(row: dict[str, Any]) -> bool:
    """Return whether a row is of BurstGPT's CSV."""
    return "Request tokens" in row and "Timestamp" in row


def read_burstgpt(rows: Sequence[Row]) -> Iterator[Session | UnusableRow]:
    """Yield a session for all rows of one Session ID, and for each row without one."""
    groups: dict[str, list[_Logged]] = {}
    for number, (where, row) in enumerate(rows):
        try:
            logged = _logged(row, where)
        except UnusableRow as error:
            yield error
        else:
            groups.setdefault(str(row.get("Session ID") or f"session-{number}"), []).append(logged)
    for name, members in groups.items():
        members.sort(key=lambda logged: logged.start_ns)
        turns, free_ns = [], members[0].start_ns
        for one in members:
            blocks = Blocks(ids=(), words=one.asked, scope=f"{name}:{one.where}")
            pause = min(max(one.start_ns - free_ns, 0), MOST_PAUSE_NS)
            turns.append(Turn(messages=(), blocks=blocks, think_ns=pause, max_tokens=one.answered or None))
            free_ns = one.start_ns + one.took_ns
        yield _without_history(linear_session(name, turns, members[0].start_ns))


class _Logged(NamedTuple):
    """One request of a log."""

    where: str
    asked: int  # tokens
    answered: int
    start_ns: int
    took_ns: int


def _logged(row: dict[str, Any], where: str) -> _Logged:
    asked = _whole(row.get("Request tokens"), where)
    if not asked:
        raise UnusableRow(f"{where}: no request tokens")
    times = _seconds(row.get("Timestamp"), where), _seconds(row.get("Elapsed time"), where)
    return _Logged(where, asked, _whole(row.get("Response tokens"), where), *times)


def _whole(value: Any, where: str) -> int:
    text = str(value or "0").strip()
    if not text.isdecimal() or int(text) > MOST_WORDS:
        raise UnusableRow(f"{where}: {text[:20]!r} is no number of tokens")
    return int(text)


def _seconds(value: Any, where: str) -> int:
    try:
        return time_ns(float(value or 0), NS_PER_S, where) or 0
    except ValueError:
        raise UnusableRow(f"{where}: {str(value)[:20]!r} is no time in seconds") from None
