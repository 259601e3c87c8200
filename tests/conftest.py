"""What all tests share: how long Hypothesis may look, and which build of the program they test.

LENS_TEST_BUILD is set by the Makefile: release, sanitize, threads or coverage. Then the
program must come from what was built, never from the source tree.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import counting
import coverage
import forks
import fuzzed
import hypothesis
import pytest

import lens

BUILD = os.environ.get("LENS_TEST_BUILD")
SOURCES = Path(__file__).parent.parent / "src"

# No deadline: a machine that is busy elsewhere is no failure. Slow builds look at fewer examples.
hypothesis.settings.register_profile("full", deadline=None)
hypothesis.settings.register_profile("slow", deadline=None, max_examples=25)
hypothesis.settings.load_profile("slow" if BUILD in ("sanitize", "threads", "coverage") else "full")


def pytest_report_header() -> str:
    return f"lens: {BUILD or 'as it is in the source tree'}, from {Path(lens.__file__).parent}"


def pytest_sessionstart() -> None:
    # A shell's job in the background ignores Ctrl-C, nohup a hang-up, and what it starts does too.
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, usual)
    if BUILD and Path(lens.__file__).is_relative_to(SOURCES):
        pytest.exit(f"build {BUILD!r} was to be tested, but lens was imported from {SOURCES}", returncode=4)


def pytest_sessionfinish() -> None:
    forks.stop()


def pytest_terminal_summary(terminalreporter) -> None:
    inputs = fuzzed.inputs_of(terminalreporter.getreports("passed"))
    if inputs:
        terminalreporter.write_line(f"{inputs:,} inputs were tried by the fuzz tests")


def pytest_runtest_teardown() -> None:
    counting.count_again()


@pytest.fixture(autouse=True, scope="module")
def counted_for_this_file(request) -> None:
    """What runs from now on, also in processes that are started, counts as this file's (tools/coverage_report.py)."""
    counted = coverage.Coverage.current()
    if counted is None:
        return
    name = request.path.stem
    counted.switch_context(name)
    counted.set_option("run:context", name)
    if "COVERAGE_PROCESS_CONFIG" in os.environ:
        os.environ["COVERAGE_PROCESS_CONFIG"] = counted.config.serialize()
