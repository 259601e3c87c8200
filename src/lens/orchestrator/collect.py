"""From what came off the wire to a Record: the waist after measuring.

Everything that is known goes in, whatever became of the request; what was not measured stays None.
The provider says what the bytes mean; this only puts it where the model wants it.
"""

from __future__ import annotations

import os
import random
from array import array
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from lens._core.clock import now_ns, realtime_ns
from lens.model import STATUS_OF_CATEGORY, Events, Failure, Record, Status, ToolCall, Try, resends_of
from lens.orchestrator.plan import Slot
from lens.orchestrator.plan_target import PlanTarget
from lens.orchestrator.text_marks import text_marks
from lens.patterns import lazy_pattern
from lens.secrets import is_known_in, knows_secrets, mask_known, mask_secrets
from lens.units import NS_PER_S, NS_PER_US
from lens.wire import Exchange, Prompt, Reading, WireRequest

S = TypeVar("S", bound=msgspec.Struct)
_encode = msgspec.json.Encoder().encode
_NUMBER = lazy_pattern(r"[0-9]+")
_random = random.Random()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)  # else a child would name its requests as its parent does
# The bits of a UUID of version 4 and variant 10 that are random, and those of the others that are set.
_UUID_FREE, _UUID_SET = ~(0xF << 76 | 0b11 << 62), 4 << 76 | 0b10 << 62
# Kinds of warnings that a run tells; a server that invents names must not fill the page.
MOST_WARNINGS = 16
RESENT_BEFORE = "an earlier attempt was sent again over a new connection: its idle one had been closed by the peer"


def record_of(
    slot: Slot,
    target: PlanTarget,
    request: WireRequest,
    exchange: Exchange,
    reading: Reading,
    *,
    prompt: Prompt,
    tries: tuple[Try, ...] = (),
    keep_text: bool = False,
    labels: dict[str, str] | None = None,
) -> Record:
    """Return the Record of one request, from its last attempt; `tries` are the earlier ones."""
    # A request that we stopped ourselves is cancelled, whatever its half of an answer looks like.
    stopped = exchange.category in ("cancelled", "interrupted")
    category = exchange.category if stopped and exchange.category else reading.category
    per_event = reading.tokens_per_event
    events = first_events(exchange.events, reading.events_read, reading.chars_per_event)
    return Record(
        request_id=make_request_id(),
        index=slot.index,
        provider=target.info.provider,
        model=target.info.model,
        timestamp=timestamp_of(exchange.stamps.start),
        stamps=exchange.stamps,
        status=STATUS_OF_CATEGORY.get(category, Status.SERVER_ERROR),
        category=category,
        events=events,
        connection=exchange.connection,
        target=target.info.name,
        target_index=slot.target,
        http_status=exchange.status,
        failure=_stopped_failure(exchange) if stopped else reading.failure,
        usage=reading.usage,
        token_source=reading.token_source,
        tokens_per_event=array("q", per_event) if per_event is not None else None,
        finish_reason=reading.finish_reason,
        served_model=reading.served_model,
        stream=request.stream,
        stamp_kind=exchange.stamp_kind,
        send_stamp=exchange.send_stamp,
        clock_stepped=exchange.clock_stepped,
        comments=exchange.comments,
        wire_bytes=exchange.wire_bytes,
        content_encoding=mask_known(exchange.content_encoding) if exchange.content_encoding else None,
        headers=reading.headers,
        rate_limits=reading.rate_limits,
        server_timing_ms=reading.server_timing_ms,
        provider_request_id=reading.provider_request_id,
        reported_cost_usd=reading.reported_cost_usd,
        text=reading.text if keep_text else None,
        reasoning=(reading.reasoning or None) if keep_text else None,
        tool_calls=reading.tool_calls if keep_text else without_arguments(reading.tool_calls),
        prompt_id=prompt.id,
        tries=tries,
        labels={**target.labels, **(labels or {})},
        warmup=slot.warmup,
        stage=slot.stage.name,
        choices=reading.choices if keep_text else None,
        warnings=(*reading.warnings, *_of_tries(tries)),
        billing=reading.billing,
        hidden_thinking_ns=reading.hidden_thinking_ns,
        session=slot.turn,
        cache_miss=reading.cache_miss,
        text_marks=text_marks(reading.text, events) if keep_text else None,
    )


def _stopped_failure(exchange: Exchange) -> Failure | None:
    return None if exchange.failure is None else without_secrets(exchange.failure)


def read_answer(target: PlanTarget, request: WireRequest, exchange: Exchange) -> Reading:
    """Return what the provider makes of an answer, without the secrets that a server may send back.

    A codec that breaks is a fault of one request, not of the run.
    """
    try:
        return without_secrets(target.provider.decode(request, exchange))
    except MemoryError:
        what = "no memory was left to read the answer; limit it with --answer-limit, or lower the concurrency"
        return Reading(category="protocol_error", failure=Failure(message=what, where="client"))
    except Exception as error:
        what = f"provider {target.info.provider}: the answer broke its decoder: {type(error).__name__}: {error}"
        return Reading(category="protocol_error", failure=Failure(message=mask_secrets(what), where="client"))


def without_secrets(value: S) -> S:
    """Return a struct in which the secrets of this process are masked, in every text of it."""
    if not knows_secrets():
        return value
    try:
        if not is_known_in(_encode(value)):
            return value
    except (UnicodeEncodeError, OverflowError, TypeError):
        pass  # what cannot be written is looked at text by text
    masked: S = msgspec.convert(_masked(msgspec.to_builtins(value)), type(value))
    return masked


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return mask_known(value)
    if isinstance(value, list | tuple):
        return [_masked(one) for one in value]
    if isinstance(value, dict):
        return {_masked(name): _masked(one) for name, one in value.items()}
    return value


def without_arguments(calls: tuple[ToolCall, ...]) -> tuple[ToolCall, ...]:
    """Return tool calls without what they are called with, as they are recorded where no text is."""
    return tuple([replace(call, arguments="") for call in calls]) if calls else ()


def first_events(events: Events, count: int | None, chars: Sequence[int] | None = None) -> Events:
    """Return the first `count` events; all of them where it is None. chars: of each event, where they are others."""
    if chars is not None:
        events = msgspec.structs.replace(events, chars=array("I", chars))
    if count is None:
        return events
    return Events(
        arrived_ns=events.arrived_ns[:count],
        lag_ns=events.lag_ns[:count],
        signals=events.signals[:count],
        chars=events.chars[:count],
        read=events.read[:count],
        block=None if events.block is None else events.block[:count],
    )


class AnswerWarnings:
    """The warnings of a run's answers: each sentence once, with how many answers it holds for."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[str, int]] = {}  # sentence without its numbers -> the first one, answers

    def add(self, record: Record) -> None:
        """Take the warnings of one answer."""
        for warning in record.warnings:
            kind = _NUMBER.sub("", warning)
            first, answers = self._found.get(kind, (warning, 0))
            if answers or len(self._found) < MOST_WARNINGS:
                self._found[kind] = first, answers + 1

    def warnings(self) -> tuple[str, ...]:
        """Return a sentence for each kind."""
        return tuple(
            [f"{answers} answer{'s' if answers > 1 else ''}: {first}" for first, answers in self._found.values()]
        )


def try_of(record: Record, wait_ns: int) -> Try:
    """Return what stays of an attempt that is followed by another."""
    return Try(
        start_ns=record.stamps.start,
        end_ns=record.stamps.end if record.stamps.end is not None else record.stamps.start,
        category=record.category,
        http_status=record.http_status,
        message=record.failure.message if record.failure else None,
        wait_ns=wait_ns,
        resent=resends_of(record) - sum([one.resent for one in record.tries]),
    )


def _of_tries(tries: Sequence[Try]) -> tuple[str, ...]:
    return (RESENT_BEFORE,) if any(one.resent for one in tries) else ()


def timestamp_of(at_ns: int) -> str:
    """Return a stamp of the monotonic clock as RFC 3339 in UTC, to the microsecond."""
    wall_ns = realtime_ns() - (now_ns() - at_ns)
    seconds, rest_ns = divmod(wall_ns, NS_PER_S)
    return f"{_format_second(seconds)}.{rest_ns // NS_PER_US:06d}Z"


@lru_cache(maxsize=16)
def _format_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def make_request_id() -> str:
    """Return a random UUID (RFC 9562, version 4); uuid.uuid4() asks the system each time, which hands the GIL away."""
    digits = f"{_random.getrandbits(128) & _UUID_FREE | _UUID_SET:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
