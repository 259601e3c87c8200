"""Silence while a run measures, and what it costs when memory asks for a collection."""

from __future__ import annotations

import gc

import pytest

from lens.orchestrator.gc_control import MOST_WAITING, gc_disabled


def test_nothing_is_collected_while_it_is_quiet():
    class Cycle:
        gone = 0

        def __init__(self):
            self.me = self

        def __del__(self):
            Cycle.gone += 1

    with gc_disabled():
        for _ in range(3000):
            Cycle()
        assert Cycle.gone == 0
    gc.collect()
    assert Cycle.gone == 3000


def test_too_much_that_waits_is_collected_once_and_reported():
    with gc_disabled() as watch:
        watch.look()
        assert watch.warnings() == ()
        held = [[] for _ in range(MOST_WAITING + 1000)]
        watch.look()
        watch.look()
        assert len(watch.pauses_ns) == 1
        assert "collected 1 times" in watch.warnings()[0]
    assert held


def test_the_collector_is_as_it_was_also_after_an_error():
    with pytest.raises(KeyError), gc_disabled():
        raise KeyError
    assert gc.isenabled()
    gc.disable()
    try:
        with gc_disabled():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
