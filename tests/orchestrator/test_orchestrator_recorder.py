"""Records of answers that take long to read: in a thread, and once interrupted as far as there is time."""

from __future__ import annotations

import threading
from functools import partial

import msgspec
import pytest
import trio
from handmade import events, stamps
from waiting import HANG_S

from lens.config.settings import LoadConfig, RunConfig, TargetConfig
from lens.model import Failure, Signal, Status, Usage
from lens.orchestrator import recorder
from lens.orchestrator.plan import make_plan
from lens.transport.exchange_builder import ExchangeBuilder
from lens.wire import Exchange, Frame, Reading

CONFIG = RunConfig(
    targets=(TargetConfig(provider="openai", model="m", base_url="http://localhost:1/v1"),),
    load=LoadConfig(iterations=1),
)
PLAN = make_plan(CONFIG, {})
REQUEST, SLOT = PLAN.requests[0][0], PLAN.slot(0, PLAN.stages[0])
WHY = {"why": "stopped (SIGTERM)", "category": "interrupted"}
pytestmark = pytest.mark.trio


class Codec:
    """A provider that reads as long as it may, once it is told to; it notes where it read, and when it ended."""

    def __init__(self, *, endless=False):
        self.endless, self.threads, self.began, self.ended = endless, [], threading.Event(), threading.Event()

    def decode(self, request, exchange):
        self.threads.append(threading.current_thread())
        self.began.set()
        while self.endless and exchange.goes_on():
            pass
        self.ended.set()
        return Reading(category="success", text="abc", usage=Usage(output_tokens=3), token_source="usage")


def exchange(frames):
    came = events((10, int(Signal.TEXT), 1))
    kept = tuple([Frame(0, "", b"{}")] * frames)
    return Exchange(stamps=stamps(end=12), status=200, framing="sse", events=came, frames=kept, ended=True)


def target(codec):
    return msgspec.structs.replace(PLAN.targets[0], provider=codec)


@pytest.mark.parametrize(("frames", "own_thread"), [(recorder.MANY_FRAMES, False), (recorder.MANY_FRAMES + 1, True)])
async def test_an_answer_of_many_events_is_read_beside_the_loop(frames, own_thread):
    codec, readings = Codec(), []
    one = await recorder.Recorder(PLAN).record(SLOT, target(codec), REQUEST, exchange(frames), (), readings.append)
    assert (one.status, one.usage.output_tokens, len(readings)) == (Status.SUCCESS, 3, 1)
    assert (codec.threads[0] is not threading.current_thread()) == own_thread


async def test_a_cancelled_reading_leaves_the_loop_free_and_ends():
    codec = Codec(endless=True)
    many = exchange(recorder.MANY_FRAMES + 1)
    with trio.fail_after(HANG_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(recorder.Recorder(PLAN).record, SLOT, target(codec), REQUEST, many, ()))
            while not codec.began.is_set():
                await trio.sleep(0.001)
            nursery.cancel_scope.cancel()
    assert codec.ended.wait(HANG_S)


async def test_a_failed_answer_is_read_as_far_as_there_is_time(monkeypatch):
    monkeypatch.setattr(recorder, "FAILED_READING_NS", 1_000_000)
    failed = msgspec.structs.replace(
        exchange(recorder.MANY_FRAMES + 1), category="protocol_error", failure=Failure(message="too much")
    )
    with trio.fail_after(HANG_S):
        one = await recorder.Recorder(PLAN).record(SLOT, target(Codec(endless=True)), REQUEST, failed, ())
    assert one.usage is None, "counts of a part are not those of the answer"
    with trio.fail_after(HANG_S):
        one = await recorder.Recorder(PLAN).record(SLOT, target(Codec()), REQUEST, failed, ())
    assert one.usage.output_tokens == 3


async def test_interrupted_answers_are_read_for_half_a_second_all_together(monkeypatch):
    monkeypatch.setattr(recorder, "CUT_READING_NS", 1_000_000)
    one, codec = recorder.Recorder(PLAN), Codec(endless=True)
    for _ in range(2):
        record = one.record_cut(SLOT, target(codec), REQUEST, ExchangeBuilder(), (), **WHY)
        assert (record.status, record.category, record.usage) == (Status.CANCELLED, "interrupted", None)
        assert record.failure == Failure(
            message="stopped (SIGTERM) before all 0 events of the answer were read", where="client"
        )
    assert one._left_ns == 0


async def test_an_interrupted_answer_that_is_soon_read_keeps_its_counts():
    record = recorder.Recorder(PLAN).record_cut(SLOT, target(Codec()), REQUEST, ExchangeBuilder(), (), **WHY)
    assert (record.category, record.usage.output_tokens) == ("interrupted", 3)
    assert record.failure.message == "stopped (SIGTERM) before the answer was complete"
