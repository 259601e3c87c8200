"""What a turn sends: the messages of its history with their answers, then its own.

`recorded` sends the answers of the recording, byte for byte the same to every server. `live` sends what the model
answered in this run. Where a model called other tools than the recording, the recorded calls are sent in place of its
own: the results that follow would have no call otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from lens.model import ToolCall
from lens.orchestrator.sessions.blocks import block_text
from lens.orchestrator.sessions.session import Message, Session, SessionPlan, Turn
from lens.wire import Prompt, Reading

SALT_BYTES = 8


class LiveAnswer(msgspec.Struct, frozen=True):
    """What the model answered to a turn."""

    text: str
    calls: tuple[ToolCall, ...] = ()


def live_answer(reading: Reading) -> LiveAnswer:
    """Return the answer as the next turn may repeat it: text and calls, without the thinking."""
    return LiveAnswer(reading.text or reading.refusal or "", reading.tool_calls)


def turn_prompt(
    session: Session,
    number: int,
    *,
    answers: Mapping[int, LiveAnswer] | None = None,
    system: str | None = None,
    salt: str | None = None,
) -> Prompt:
    """Return what turn `number` sends. `answers` are those of this run (live); None sends the recorded ones.

    system: where the session begins with no system message. salt: a text before all others.
    """
    turn = session.turns[number]
    messages: list[Message] = []
    names: dict[str, str] = {}  # ids of recorded tool calls -> ids of the model's own
    for before in turn.history:
        messages += _renamed(_own(session.turns[before]), names)
        answer = session.turns[before].answer
        if answers is not None:
            answer, own = _repeated(answers[before], answer)
            names |= own
        if answer is not None:
            messages.append(answer)
    messages += _renamed(_own(turn), names)
    if system is not None and not any(message.get("role") in ("system", "developer") for message in messages):
        messages.insert(0, {"role": "system", "content": system})
    if salt is not None and messages:
        messages[0] = _salted(messages[0], salt)
    return Prompt(
        messages=tuple(messages),
        id=f"{session.id}/{number}",
        max_tokens=turn.max_tokens,
        extra_body=turn.extra_body,
    )


def calls_differ(answer: LiveAnswer, turn: Turn) -> bool:
    """Return whether the recorded calls of a turn are sent in place of the model's own."""
    recorded = _recorded_calls(turn.answer)
    return len(recorded) != len(answer.calls)


def salt_of(plan: SessionPlan, session_id: str) -> str | None:
    """Return the text that makes the prefixes of a session, or of this run, unlike all others; None for no salt."""
    if plan.salt == "none":
        return None
    of = session_id if plan.salt == "session" else ""
    return f"[{blake2b(f'{plan.salt_seed} {of}'.encode(), digest_size=SALT_BYTES).hexdigest()}]"


def _own(turn: Turn) -> tuple[Message, ...]:
    """Return the messages that are new in a turn."""
    return turn.messages if turn.blocks is None else ({"role": "user", "content": block_text(turn.blocks)},)


def _repeated(answer: LiveAnswer, recorded: Message | None) -> tuple[Message, dict[str, str]]:
    """Return the model's answer as a message, and which id of it stands for which of the recording."""
    message: Message = {"role": "assistant", "content": answer.text}
    planned = _recorded_calls(recorded)
    if not planned:
        return message, {}
    if len(planned) != len(answer.calls):
        return {**message, "tool_calls": planned}, {}
    own = [_call_message(call, str(old.get("id") or "")) for call, old in zip(answer.calls, planned, strict=True)]
    names = {str(old.get("id") or ""): str(new["id"]) for new, old in zip(own, planned, strict=True)}
    return {**message, "tool_calls": own}, names


def _call_message(call: ToolCall, otherwise: str) -> Message:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id or otherwise, "type": "function", "function": function}


def _recorded_calls(message: Message | None) -> list[Message]:
    calls = (message or {}).get("tool_calls")
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def _renamed(messages: tuple[Message, ...], names: Mapping[str, str]) -> list[Message]:
    """Return the messages with the results of tools under the ids that the model gave."""
    if not names:
        return list(messages)
    return [
        {**message, "tool_call_id": names[str(message["tool_call_id"])]}
        if str(message.get("tool_call_id")) in names
        else message
        for message in messages
    ]


def _salted(message: Message, salt: str) -> Message:
    content: Any = message.get("content")
    if isinstance(content, list):
        return {**message, "content": [{"type": "text", "text": salt}, *content]}
    return {**message, "content": f"{salt} {content or ''}"}
