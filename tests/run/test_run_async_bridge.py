"""A blocking call under Ctrl-C: it ends in order, with what was measured, and as a KeyboardInterrupt."""

from __future__ import annotations

import asyncio
import signal
import threading

import pytest
import trio

from lens.errors import LensError, RunInterrupted
from lens.run.async_bridge import anywhere, blocking


def interrupt():
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


async def measured(stop):
    interrupt()
    await stop.wait()
    return "what was measured"


async def failed(stop):
    interrupt()
    await stop.wait()
    raise LensError("stopped before anything was sent")


async def hung(stop):
    interrupt()
    await stop.wait()
    interrupt()
    await trio.sleep_forever()


async def refused(_stop):
    raise LensError("no such thing")


def test_ctrl_c_ends_a_blocking_call_with_what_was_measured():
    with pytest.raises(RunInterrupted) as told:
        blocking(measured)
    assert told.value.result == "what was measured"
    assert isinstance(told.value, KeyboardInterrupt)


@pytest.mark.parametrize("work", [failed, hung])
def test_without_a_result_it_is_an_interrupt_and_no_group(work):
    with pytest.raises(KeyboardInterrupt) as told:
        blocking(work)
    assert type(told.value) is KeyboardInterrupt


def test_an_error_comes_out_as_itself():
    with pytest.raises(LensError, match="no such thing") as told:
        blocking(refused)
    assert type(told.value) is LensError


def test_ctrl_c_inside_a_running_loop_stops_the_thread():
    async def caller():
        with pytest.raises(RunInterrupted) as told:
            blocking(measured)
        return told.value.result

    loop = asyncio.new_event_loop()
    try:
        assert loop.run_until_complete(caller()) == "what was measured"
    finally:
        loop.close()


def test_a_handler_of_the_callers_own_is_left_alone():
    seen = []

    async def work(stop):
        interrupt()
        while not seen:
            await trio.sleep(0)
        return stop.asked

    usual = signal.signal(signal.SIGINT, lambda *_: seen.append(True))
    try:
        assert blocking(work) is False
    finally:
        signal.signal(signal.SIGINT, usual)


def test_cancelling_the_asyncio_task_stops_the_run():
    ended = threading.Event()

    async def work(stop):
        await stop.wait()
        ended.set()

    async def caller():
        task = asyncio.ensure_future(anywhere(work))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(caller())
    assert ended.is_set()
