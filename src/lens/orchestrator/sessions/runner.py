"""Carry out sessions: a turn begins when all it waits for has ended, plus its pause, at an instant that is kept.

The instant at which a turn is meant to begin is counted from the last byte of the answers it waits for, as they
arrived: what this client needs in between is the turn's start error, not its pause. A turn that fails ends its session;
what was under way beside it is still measured.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio
from msgspec.structs import replace

from lens._core.clock import now_ns
from lens.model import Record, SessionTurn, Status
from lens.orchestrator.plan import Plan, Slot
from lens.orchestrator.sessions.due import DueTimes
from lens.orchestrator.sessions.history import LiveAnswer, calls_differ, live_answer, salt_of, turn_prompt
from lens.orchestrator.sessions.session import Session, SessionPlan, SessionsCut, successors
from lens.orchestrator.shards import Share
from lens.providers.base import encode_header
from lens.wire import Reading

# Sends a turn; its Record, or None where the money did not allow it.
Send = Callable[[Slot, Callable[[Reading], None]], Awaitable[Record | None]]


class SessionRunner:
    """The sessions of one run, of this worker's share."""

    def __init__(
        self, plan: Plan, sessions: SessionPlan, share: Share, *, send: Send, begin: Callable[[], int],
        over: Callable[[], bool],
    ) -> None:  # fmt: skip
        """begin: gives the number of the next request. over: nothing more is to be started."""
        self.plan, self.sessions, self.share = plan, sessions, share
        self.due = DueTimes()
        self.cut = SessionsCut()
        self.lane_free = False  # a lane has nothing left to take
        self._send, self._begin, self._over = send, begin, over
        self._begun = 0

    def begin(self) -> int:
        """Return the number of the next session, among those of all workers."""
        self._begun += 1
        return (self._begun - 1) * self.share.of + self.share.worker

    @property
    def over(self) -> bool:
        """No further turn is to be started."""
        return self._over() or (self.lane_free and self.sessions.until == "lane")

    async def carry_out(self, slot: Slot) -> Record | None:
        """Send the turns of one session; `slot` is the session's place in the schedule. Returns its last record."""
        live = _LiveSession(self, slot)
        try:
            async with trio.open_nursery() as nursery:
                for number in live.ready():
                    nursery.start_soon(live.turns_from, number, nursery)
        finally:
            self._count(live)
        return live.last

    def _count(self, live: _LiveSession) -> None:
        left = len(live.session.turns) - live.sent
        if live.failed:
            more = SessionsCut(failed=1, failed_turns=left, replaced=live.replaced)
        else:
            more = SessionsCut(ended=int(left > 0), ended_turns=left, replaced=live.replaced)
        self.cut = self.cut.plus(more)

    async def send(self, slot: Slot, on_reading: Callable[[Reading], None]) -> Record | None:
        return await self._send(slot, on_reading)


class _LiveSession:
    """One session while it goes on."""

    def __init__(self, runner: SessionRunner, slot: Slot) -> None:
        self.runner, self.slot = runner, slot
        self.session: Session = runner.sessions.sessions[slot.prompt]
        self.name = session_name(runner.plan, slot)
        many = len(runner.plan.targets) > 1
        self.id = f"{self.name}@{runner.plan.targets[slot.target].info.name}" if many else self.name
        self.sent = 0
        self.replaced = 0
        self.failed = False
        self.last: Record | None = None
        self._ended_ns: dict[int, int] = {}  # turn -> when its answer had come
        self._answers: dict[int, LiveAnswer] = {}
        self._open = [len(turn.after) for turn in self.session.turns]  # turns that each still waits for
        self._successors = successors(self.session)
        self._start_ns = slot.intended_ns if slot.intended_ns is not None else now_ns()

    def ready(self) -> list[int]:
        """Return the turns that wait for no other."""
        return [number for number, many in enumerate(self._open) if many == 0]

    async def turns_from(self, number: int, nursery: trio.Nursery) -> None:
        """Send a turn, then the turns that it sets free: the first here, others beside it."""
        while await self._turn(number):
            freed = []
            for later in self._successors[number]:
                self._open[later] -= 1
                if self._open[later] == 0:
                    freed.append(later)
            if not freed:
                return
            for other in freed[1:]:
                nursery.start_soon(self.turns_from, other, nursery)
            number = freed[0]

    async def _turn(self, number: int) -> bool:
        """Send one turn at its time; return whether turns that wait for it may follow."""
        if self.failed or self.runner.over:
            return False
        turn = self.session.turns[number]
        came_ns = max((self._ended_ns[before] for before in turn.after), default=self._start_ns)
        pause_ns = turn.think_ns + turn.tool_ns
        slot = self._slot(number, came_ns + pause_ns)
        if turn.after or pause_ns:
            await self.runner.due.wait_until(came_ns + pause_ns)
        if self.failed or self.runner.over:
            return False
        slot = replace(slot, index=self.runner._begin())
        self.sent += 1
        reading: list[Reading] = []
        record = await self.runner.send(slot, reading.append)
        if record is None:
            self.sent -= 1
            return False
        self.last = record
        self._ended_ns[number] = record.stamps.end if record.stamps.end is not None else now_ns()
        if record.status is not Status.SUCCESS:
            self.failed = record.status is not Status.CANCELLED or not self.runner.over
            return False
        if self.runner.sessions.history == "live" and reading:
            self._answers[number] = live_answer(reading[-1])
            self.replaced += bool(self._successors[number]) and calls_differ(self._answers[number], turn)
        return True

    def _slot(self, number: int, due_ns: int) -> Slot:
        """Return the turn's place in the schedule, with the request that it sends."""
        runner, turn = self.runner, self.session.turns[number]
        sessions, target = runner.sessions, runner.plan.targets[self.slot.target]
        prompt = turn_prompt(
            self.session,
            number,
            answers=self._answers if sessions.history == "live" else None,
            system=runner.plan.config.prompts.system,
            salt=salt_of(sessions, self.name),
        )
        request = target.encode(prompt)
        if sessions.header is not None:
            request = replace(request, headers=(*request.headers, encode_header(sessions.header, self.id)))
        scheduled = self.slot.intended_ns
        return replace(
            self.slot,
            intended_ns=due_ns if turn.after or scheduled is not None or turn.think_ns or turn.tool_ns else None,
            asked=prompt,
            request=request,
            turn=SessionTurn(
                session_id=self.id,
                turn=number,
                turns=len(self.session.turns),
                after=turn.after,
                think_ns=turn.think_ns,
                tool_ns=turn.tool_ns,
                planned_ns=scheduled,
            ),
        )


def session_name(plan: Plan, slot: Slot) -> str:
    """Return the id of a session as the file has it; when it comes round again, with the number of the round."""
    assert plan.sessions is not None
    found = plan.sessions.sessions
    place = slot.index // len(plan.targets)
    again = place if plan.config.prompts.order == "random" else place // len(found)
    return f"{found[slot.prompt].id}#{again + 1}" if again else found[slot.prompt].id
