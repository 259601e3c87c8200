"""What the turns of a run have asked, told by their records: for counting tokens where a server does not.

Answers that were repeated (`live`) are in the records of the turns before, as long as their texts are kept.
"""

from __future__ import annotations

from lens.model import Record
from lens.orchestrator.sessions.history import LiveAnswer, salt_of, turn_prompt
from lens.orchestrator.sessions.session import SessionPlan
from lens.wire import Prompt


class SentPrompts:
    """The prompts of the turns of a run."""

    def __init__(self, plan: SessionPlan, *, system: str | None = None) -> None:
        self._plan, self._system = plan, system
        self._sessions = {session.id: session for session in plan.sessions}
        self._answers: dict[str, dict[int, LiveAnswer]] = {}  # by session, of turns that were answered

    def add(self, record: Record) -> None:
        """Remember what a turn was answered, if later turns repeat it."""
        if self._plan.history == "live" and record.session is not None:
            answer = LiveAnswer(record.text or "", record.tool_calls)
            self._answers.setdefault(record.session.session_id, {})[record.session.turn] = answer

    def prompt_of(self, record: Record) -> Prompt:
        """Return what the request of a record asked."""
        turn = record.session
        session = self._sessions.get((record.prompt_id or "").rpartition("/")[0])
        if turn is None or session is None:
            return Prompt()
        live = self._answers.get(turn.session_id, {}) if self._plan.history == "live" else None
        if live is not None and not all(one in live for one in session.turns[turn.turn].history):
            live = None
        name = turn.session_id.partition("@")[0] if self._plan.salt == "session" else ""
        salt = salt_of(self._plan, name)
        return turn_prompt(session, turn.turn, answers=live, system=self._system, salt=salt)
