"""What all tests share: how long Hypothesis may look, and which build of the program they test.

LENS_TEST_BUILD is set by the Makefile: release, sanitize or threads. Then the
program must come from what was built, never from the source tree.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import forks
import fuzzed
import hypothesis
import pytest

import lens

BUILD = os.environ.get("LENS_TEST_BUILD")
SOURCES = Path(__file__).parent.parent / "src"
# The files that take longest, the longest first: none of them is begun when the others are done.
LONGEST = (
    "test_docs", "test_run_driver", "test_providers_mutants", "test_report_chromium", "test_analysis_regression",
    "test_core_fuzz", "test_specified_commands", "test_metrics_table", "test_export_roundtrip", "test_cli_doctor",
    "test_simulator_official_sdks", "test_workflow_example", "test_cli_conflicts", "test_monitor_watch",
    "test_cli_compare", "test_cli_patterns", "test_monitor_daemon", "test_analysis_optimize", "test_fuzz_guided",
    "test_core_walk", "test_integrations_testbench", "test_network_realism", "test_deploy_release",
    "test_cli_analyze", "test_analysis_compare", "test_cli_file_options", "test_ray_engine", "test_monitor_cli",
    "test_workers", "test_real_backends", "test_cli_gates", "test_metrics_intervals", "test_push_http",
    "test_cli_echo", "test_integrations_optimizer", "test_run_probes", "test_faults", "test_cli_profile",
    "test_real_llama", "test_cli_benchmark", "test_profiler", "test_push_push", "test_cli_optimize", "test_engine",
    "test_packaging", "test_report_html", "test_plugin_example", "test_cli_signals",
)  # fmt: skip

# No deadline: a machine that is busy elsewhere is no failure. Slow builds look at fewer examples.
hypothesis.settings.register_profile("full", deadline=None)
hypothesis.settings.register_profile("slow", deadline=None, max_examples=25)
hypothesis.settings.load_profile("slow" if BUILD in ("sanitize", "threads") else "full")


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


def pytest_collection_modifyitems(config, items) -> None:
    """Put the longest files first where workers take one file after the other."""
    if hasattr(config, "workerinput"):
        places = {name: place for place, name in enumerate(LONGEST)}
        items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(autouse=True, scope="module")
def counted_for_this_file(request) -> None:
    """What runs from now on, also in processes that are started, counts as this file's (tools/coverage_report.py)."""
    if "ran_lines" in sys.modules:
        sys.modules["ran_lines"].count_for(request.path.stem)
