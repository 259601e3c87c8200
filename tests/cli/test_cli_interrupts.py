"""A signal interrupts, also one that Python drops."""

import signal
import sys
import threading

import pytest
from waiting import HANG_S

from lens.cli.interrupts import interruptible


@pytest.fixture
def usual_signals():
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


class Dropping:
    """Its destructor is where a signal arrives."""

    def __init__(self, number):
        self.number = number

    def __del__(self):
        signal.raise_signal(self.number)


def wait_interrupted(number):
    with interruptible():
        Dropping(number)  # its exception is dropped
        threading.Event().wait(HANG_S)
    pytest.fail("the signal was lost")


@pytest.mark.usefixtures("usual_signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_interrupts_while_something_is_waited_for(number):
    with pytest.raises(KeyboardInterrupt):
        wait_interrupted(number)


@pytest.mark.usefixtures("usual_signals")
def test_a_second_sigterm_ends_at_once():
    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.usefixtures("usual_signals")
def test_handlers_that_somebody_set_stay():
    def own(*_):
        pass

    signal.signal(signal.SIGTERM, own)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup wants it
    with interruptible():
        assert signal.getsignal(signal.SIGTERM) is own
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_other_dropped_exceptions_are_told_as_before(monkeypatch):
    told = []

    class Failing:
        def __del__(self):
            raise ValueError("of a destructor")

    monkeypatch.setattr(sys, "unraisablehook", lambda dropped: told.append(str(dropped.exc_value)))
    usual = sys.unraisablehook
    with interruptible():
        Failing()
    assert told == ["of a destructor"]
    assert sys.unraisablehook is usual


def test_in_another_thread_nothing_is_set():
    kept, found = signal.getsignal(signal.SIGTERM), []

    def body():
        with interruptible():
            found.append((signal.getsignal(signal.SIGTERM), sys.unraisablehook))

    usual = sys.unraisablehook
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert found == [(kept, usual)]
