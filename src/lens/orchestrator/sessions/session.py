"""A session: turns that depend on each other, and how a run carries sessions out.

Pure data. A turn holds what is new in it; what it sends is made of the turns in its `history` and of their answers
(history.py), so that a long conversation takes no more memory than its text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from lens.orchestrator.sessions.blocks import Blocks

Message = dict[str, Any]
History = Literal["live", "recorded"]
Salt = Literal["none", "session", "run"]
Until = Literal["all", "lane"]
# Formats of session files: told by their rows, and a run file of ours, which the run reads itself.
AUTO, RUN = "auto", "run"


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a session."""

    messages: tuple[Message, ...]  # that are new in it: of the user, of tools, of the system
    blocks: Blocks | None = None  # in place of messages: a text that is made up when it is sent
    answer: Message | None = None  # as it was recorded; None where nobody recorded it
    history: tuple[int, ...] = ()  # turns whose messages and answers are sent before its own, in order
    after: tuple[int, ...] = ()  # turns that have to end before it begins
    think_ns: int = 0  # pause of a person before it, once these have ended
    tool_ns: int = 0  # time that tools take before it, likewise
    max_tokens: int | None = None
    extra_body: dict[str, Any] = {}


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One conversation or task; a turn depends on earlier turns only."""

    id: str
    turns: tuple[Turn, ...]
    start_ns: int | None = None  # in a trace: when it began, after the beginning of the trace


class SessionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The sessions of a run and how they are carried out."""

    sessions: tuple[Session, ...]
    source: str  # the format of the file, or "synthetic"
    history: History = "recorded"
    salt: Salt = "none"
    salt_seed: str = ""  # what the salts of this run are made of
    header: str | None = None  # request header that carries the session's id
    until: Until = "all"


class SessionsCut(msgspec.Struct, frozen=True, kw_only=True):
    """Sessions that did not come to their last turn, and turns that were therefore not sent."""

    failed: int = 0  # sessions that a failed turn ended
    failed_turns: int = 0
    ended: int = 0  # sessions that the end of the run cut
    ended_turns: int = 0
    replaced: int = 0  # answers whose tool calls were not those of the recording

    def plus(self, other: SessionsCut) -> SessionsCut:
        """Return both together."""
        return SessionsCut(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})

    def warnings(self) -> tuple[str, ...]:
        """Return a sentence for each that happened."""
        found = []
        if self.failed:
            found.append(f"{_sessions(self.failed)} ended at a failed turn: {_turns(self.failed_turns)} not sent")
        if self.ended:
            found.append(f"{_sessions(self.ended)} cut by the end of the run: {_turns(self.ended_turns)} not sent")
        if self.replaced:
            many = "1 answer" if self.replaced == 1 else f"{self.replaced:,} answers"
            found.append(f"{many} made other tool calls than the recording, whose calls were sent in their place")
        return tuple(found)


def successors(session: Session) -> tuple[tuple[int, ...], ...]:
    """Return for each turn those that wait for it."""
    found: list[list[int]] = [[] for _ in session.turns]
    for number, turn in enumerate(session.turns):
        for before in turn.after:
            found[before].append(number)
    return tuple([tuple(one) for one in found])


def linear_session(id_: str, turns: Iterable[Turn], start_ns: int | None = None) -> Session:
    """Return a conversation: each turn follows the one before it and sends all of them."""
    made = [
        msgspec.structs.replace(turn, history=tuple(range(number)), after=(number - 1,) if number else ())
        for number, turn in enumerate(turns)
    ]
    return Session(id=id_, turns=tuple(made), start_ns=start_ns)


def _sessions(many: int) -> str:
    return "1 session" if many == 1 else f"{many:,} sessions"


def _turns(many: int) -> str:
    return "1 turn was" if many == 1 else f"{many:,} turns were"
