"""Turns the Exchange of a request into its Record without holding up the event loop.

The rule: an answer of many kept events takes up to 30 us an event to read, so it is read in a thread, where signals,
deadlines and other requests are served meanwhile. What is interrupted is read as far as there is time.
"""

from __future__ import annotations

from collections.abc import Callable

import trio
from msgspec.structs import replace

from lens._core.clock import now_ns
from lens.model import Failure, Record, Try
from lens.orchestrator.collect import read_answer, record_of
from lens.orchestrator.plan import Plan, Slot
from lens.orchestrator.plan_target import PlanTarget
from lens.transport.exchange_builder import ExchangeBuilder
from lens.units import NS_PER_MS, NS_PER_S
from lens.wire import Exchange, Reading, WireRequest

# An answer of more kept events than this is read in a thread; handing it over takes as long as reading five events.
MANY_FRAMES = 1_000
# How long the interrupted answers of a run may take to be read, all together: a signal ends a program within 2 s.
CUT_READING_NS = 500 * NS_PER_MS
# How long a failed answer may take: a flood of events that met a limit was sent in a second, and takes half a minute.
FAILED_READING_NS = 2 * NS_PER_S


class _Patience:
    """Whether a reading goes on: until an instant, which whoever waits for it may set."""

    def __init__(self, until_ns: int | None = None) -> None:
        self.until_ns = until_ns
        self.exhausted = False  # the reading was ended by it

    def __call__(self) -> bool:
        if self.until_ns is not None and now_ns() >= self.until_ns:
            self.exhausted = True
        return not self.exhausted


class Recorder:
    """Makes the records of one run."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        # Threads that read share the GIL: more than one at a time would only keep the loop from it.
        self._reader = trio.CapacityLimiter(1)
        self._left_ns = CUT_READING_NS  # of the time for reading interrupted answers

    async def record(
        self,
        slot: Slot,
        target: PlanTarget,
        request: WireRequest,
        exchange: Exchange,
        tries: tuple[Try, ...],
        on_reading: Callable[[Reading], None] | None = None,
    ) -> Record:
        """Return the Record of a request whose answer is over. on_reading: takes what the answer means."""
        reading = await self._read(target, request, exchange)
        if on_reading is not None:
            on_reading(reading)
        return self._record(slot, target, request, exchange, tries, reading)

    def record_cut(
        self,
        slot: Slot,
        target: PlanTarget,
        request: WireRequest,
        builder: ExchangeBuilder,
        tries: tuple[Try, ...],
        *,
        why: str,
        category: str,
    ) -> Record:
        """Return the Record of a request that is cancelled, with what is known of it, at once."""
        exchange, began = builder.build_cancelled(f"{why} before the answer was complete", category), now_ns()
        patience = _Patience(began + self._left_ns)
        reading = read_answer(target, request, replace(exchange, goes_on=patience))
        self._left_ns = max(self._left_ns - (now_ns() - began), 0)
        if patience.exhausted:
            told = f"{why} before all {len(exchange.events)} events of the answer were read"
            exchange = replace(exchange, category=category, failure=Failure(message=told, where="client"))
            reading = _of_a_part(reading)
        return self._record(slot, target, request, exchange, tries, reading)

    async def _read(self, target: PlanTarget, request: WireRequest, exchange: Exchange) -> Reading:
        if len(exchange.frames) <= MANY_FRAMES:
            return read_answer(target, request, exchange)
        patience = _Patience()
        try:
            reading = await self._read_beside(target, request, exchange, patience)
        finally:
            patience.until_ns = 0  # a thread that was left behind ends
        return _of_a_part(reading) if patience.exhausted else reading

    async def _read_beside(
        self, target: PlanTarget, request: WireRequest, exchange: Exchange, patience: _Patience
    ) -> Reading:
        def read() -> Reading:
            if exchange.failure is not None:
                patience.until_ns = now_ns() + FAILED_READING_NS
            return read_answer(target, request, replace(exchange, goes_on=patience))

        try:
            return await trio.to_thread.run_sync(read, abandon_on_cancel=True, limiter=self._reader)
        except RuntimeError:  # the system gives no further thread
            return read()

    def _record(
        self,
        slot: Slot,
        target: PlanTarget,
        request: WireRequest,
        exchange: Exchange,
        tries: tuple[Try, ...],
        reading: Reading,
    ) -> Record:
        prompt, keep_text = self._plan.asked_by(slot), self._plan.keep_all
        return record_of(slot, target, request, exchange, reading, prompt=prompt, tries=tries, keep_text=keep_text)


def _of_a_part(reading: Reading) -> Reading:
    """Return what is known of an answer of which the first events were read: their counts are not those of all."""
    return replace(reading, usage=None, token_source=None, tokens_per_event=None)
