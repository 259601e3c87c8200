"""The line of a long step: only where a person looks on, only after a moment, and wiped in the end."""

from __future__ import annotations

import sys

import pytest
from waiting import wait_until

from lens.cli import steps as module
from lens.cli.steps import Spinner, Steps, shown_step, shown_steps


@pytest.fixture
def at_once(monkeypatch):
    """Steps are shown without patience."""
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    monkeypatch.setattr(module, "EVERY_S", 0.0)


@pytest.mark.usefixtures("at_once")
def test_each_step_is_written_over_the_one_before_and_the_line_is_wiped(capsys):
    shown = Steps(live=True)
    shown.reading(0.25)
    shown.reading(1)
    shown.computing()
    shown.clear()
    shown.clear()
    assert capsys.readouterr().err == ("\r\x1b[Kreading 25%\r\x1b[Kreading 100%\r\x1b[Kcomputing the figures\r\x1b[K")


def test_steps_that_are_over_in_a_moment_are_not_shown(capsys):
    shown = Steps(live=True)
    shown.reading(1)
    shown.computing()
    shown.clear()
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("at_once")
def test_nothing_is_drawn_where_nobody_looks_on(capsys):
    with shown_steps() as shown:
        shown.reading(0.5)
        shown.computing()
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("at_once")
def test_the_line_is_wiped_when_the_step_fails(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    def fail():
        with shown_steps() as shown:
            shown.computing()
            raise ValueError("odd")

    with pytest.raises(ValueError, match="odd"):
        fail()
    assert capsys.readouterr().err.endswith("\r\x1b[K")


def test_a_spinner_moves_while_a_step_takes_long_and_leaves_a_clean_line(capsys, monkeypatch):
    monkeypatch.setattr(module, "SPIN_S", 0.001)
    spinner = Spinner(live=True)
    spinner.start("computing")
    written = []

    def moved():
        written.append(capsys.readouterr().err)
        return "".join(written).count(" computing") >= 2

    wait_until(moved)
    spinner.stop()
    spinner.stop()
    written.append(capsys.readouterr().err)
    assert "".join(written).endswith("\r\x1b[K")


@pytest.mark.parametrize("looks_on", [True, False])
def test_a_step_spins_while_its_block_lasts_where_somebody_looks_on(capsys, monkeypatch, looks_on):
    monkeypatch.setattr(module, "SPIN_S", 0.001)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: looks_on)
    written = []

    def drawn():
        written.append(capsys.readouterr().err)
        return "merging" in "".join(written)

    with shown_step("merging"):
        if looks_on:
            wait_until(drawn)
    written.append(capsys.readouterr().err)
    assert "".join(written).endswith("\r\x1b[K") == looks_on


def test_without_a_terminal_nothing_spins(capsys):
    spinner = Spinner(live=False)
    spinner.start("computing")
    spinner.stop()
    assert capsys.readouterr().err == ""
