"""Suites held to limits, their reports, and the pytest plugin against simulators of known speed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from handmade import record
from waiting import HANG_S

from lens import BenchmarkSummary, Profiler, summarize
from lens.errors import ConfigError, FileError
from lens.integrations.testbench import Severity, TestBenchReport, TestCase, regressions, run_suite, trend
from lens.simulator import make_script, start, start_thread

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "pytest" / "test_chat.py"
QUICK = {"itl": "2ms", "tokens": 8}


@pytest.fixture(scope="module")
def profiler():
    with start_thread(make_script(ttft="30ms", **QUICK)) as handle:
        yield Profiler("openai", "m", base_url=f"{handle.url}/v1", proxy="", price="in=3,out=15")


def test_a_suite_is_asked_case_by_case_and_held_to_its_limits(profiler):
    cases = ["Hello", {"id": "named", "prompt": "Hi"}, TestCase(id="own", prompt="Hey")]
    report = run_suite(profiler, cases, ["ttft_ms<10", "tokens_per_second>1", "itl_p50:60000"], test_suite_id="chat")
    assert [case.id for case in report.test_cases] == ["case 1", "named", "own"]
    assert all(case.status == "Success" and case.metrics["ttft_ms"] >= 30 for case in report.test_cases)
    assert [v.test_case_id for v in report.threshold_violations] == ["case 1", "named", "own"]
    first = report.threshold_violations[0]
    assert (first.metric, first.expected, first.severity) == ("ttft_ms", 10, Severity.CRITICAL)
    assert first.actual >= 30
    assert report.failed
    assert "named: ttft_ms is" in report.text()
    assert report.performance_metrics.total_requests == 3


def test_what_is_kept_is_no_violation(profiler):
    report = run_suite(profiler, ["Hello"], ["ttft_ms<60000"])
    assert not report.failed
    assert report.threshold_violations == ()


def test_a_case_that_fails_fails_the_suite():
    with start_thread(make_script(status=500)) as handle:
        report = run_suite(Profiler("openai", "m", base_url=f"{handle.url}/v1", proxy=""), ["Hello"])
    assert report.failed
    assert report.test_cases[0].error


@pytest.mark.parametrize("cases", [[], [{"id": "a"}], [{"prompt": 7}]])
def test_what_is_no_suite_is_reported(profiler, cases):
    with pytest.raises(ConfigError):
        run_suite(profiler, cases)


def test_a_report_comes_back_as_it_was_written(profiler, tmp_path):
    report = run_suite(profiler, ["Hello"], ["ttft_ms<10"])
    report.write(tmp_path / "report.json")
    found = json.loads((tmp_path / "report.json").read_text())
    assert {"test_suite_id", "test_cases", "performance_metrics", "threshold_violations"} <= set(found)
    assert TestBenchReport.read(tmp_path / "report.json").threshold_violations == report.threshold_violations
    (tmp_path / "other.json").write_text("{}")
    for name in ("other.json", "none.json"):
        with pytest.raises(FileError, match=name):
            TestBenchReport.read(tmp_path / name)


def test_what_got_worse_between_two_reports_is_listed_and_trends_are_rows(profiler):
    before = run_suite(profiler, [{"id": "a", "prompt": "Hello"}])
    case = before.test_cases[0]
    slower = msgspec.structs.replace(case, metrics={**case.metrics, "ttft_ms": case.metrics["ttft_ms"] * 2})
    after = msgspec.structs.replace(before, test_cases=(slower, TestCase(id="new", prompt="x")))
    (change,) = regressions(before, after)
    assert (change.test_case_id, change.metric, change.relative) == ("a", "ttft_ms", 1.0)
    assert regressions(after, before) == []
    with pytest.raises(ConfigError, match="none of these test cases"):
        regressions(msgspec.structs.replace(before, test_cases=()), after)
    assert trend([before, after], "ttft_ms") == {
        "a": [case.metrics["ttft_ms"], slower.metrics["ttft_ms"]],
        "new": [None, None],
    }


def run_pytest(folder, *words):
    # The plugin is found by its entry point where the package is installed; where it is not, it is named.
    from importlib.metadata import entry_points

    named = [] if any(e.name == "latency_lens" for e in entry_points(group="pytest11")) else [
        "-p", "lens.integrations.pytest_plugin"
    ]  # fmt: skip
    command = [sys.executable, "-m", "pytest", *named, "-p", "no:cacheprovider", *map(str, words)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=HANG_S)


@pytest.fixture
def suite(tmp_path):
    (tmp_path / "test_chat.py").write_text(EXAMPLE.read_text())
    return tmp_path


def test_the_example_passes_on_a_quick_server(suite):
    # How quick is for the example to say; that a busy machine is not, is no fault of the server.
    text = EXAMPLE.read_text().replace("ttft_ms=500, tokens_per_second=20", "ttft_ms=60_000, tokens_per_second=0.1")
    (suite / "test_chat.py").write_text(text.replace("itl_p50<100", "itl_p50<60s"))
    with start(make_script(ttft="20ms", **QUICK)) as handle:
        done = run_pytest(suite, "--latency-lens-base-url", f"{handle.url}/v1", "--latency-lens-model", "m")
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
    assert "LLM latency" in done.stdout
    assert "ok       TTFT" in done.stdout


def test_a_slow_server_fails_a_test_with_a_report_that_can_be_read(suite):
    with start(make_script(ttft="700ms", **QUICK)) as handle:
        done = run_pytest(
            suite,
            "--latency-lens-base-url",
            f"{handle.url}/v1",
            "--latency-lens-export",
            "out.json",
            "-k",
            "performance",
        )
    assert done.returncode == 1
    assert "slower than this test allows:" in done.stdout
    # 700 ms and what a busy machine adds.
    assert re.search(r"test_chat.py::test_chat_endpoint_performance: ttft_ms is ([7-9]|\d+,?\d)\d\d", done.stdout)
    assert re.search(r"SLOW     TTFT  +([7-9]|\d+,?\d)\d\d", done.stdout)
    assert "Traceback" not in done.stdout
    report = TestBenchReport.read(suite / "out.json")
    assert report.failed
    assert report.threshold_violations[0].metric == "ttft_ms"


def test_ini_settings_name_the_endpoint_and_a_wrong_mark_is_reported(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "@pytest.mark.latency_lens(tft_ms=5)\n"
        "def test_it(latency_lens):\n    assert latency_lens.profile('hi').ok\n"
    )
    with start(make_script(ttft="5ms", **QUICK)) as handle:
        (tmp_path / "pytest.ini").write_text(f"[pytest]\nlatency_lens_base_url = {handle.url}/v1\n")
        done = run_pytest(tmp_path)
    assert done.returncode == 1
    assert "did you mean ttft" in done.stdout


def test_limits_that_were_held_against_nothing_are_not_kept(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "limits = pytest.mark.latency_lens(ttft_ms=500)\n"
        "@limits\ndef test_asks_nothing(latency_lens):\n    pass\n"
        "@limits\ndef test_takes_nothing():\n    pass\n"
        "@limits\ndef test_is_skipped():\n    pytest.skip('today')\n"
        "@pytest.mark.latency_lens\ndef test_has_no_limit():\n    pass\n"
        "@limits\nclass TestOfAll:\n    def test_needs_no_answer(self):\n        pass\n"
    )
    done = run_pytest(tmp_path, "--latency-lens-provider", "simulator")
    assert "2 failed, 2 passed, 1 skipped, 1 warning" in done.stdout, done.stdout
    failures, _, warnings = done.stdout.partition("warnings summary")
    assert "limits, but no request was measured: send it with latency_lens.profile()" in failures
    assert "limits, but nothing was measured: take the fixture latency_lens" in failures
    assert "limits, but nothing was measured: take the fixture latency_lens" in warnings.partition("short test")[0]


def test_without_an_endpoint_the_message_says_what_to_give(suite):
    done = run_pytest(suite)
    assert done.returncode == 1
    assert "which endpoint?" in done.stdout


def test_a_run_without_the_fixture_loads_nothing_of_the_instrument(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import sys\nLIGHT = {'lens._version', 'lens.integrations', 'lens.integrations.pytest_plugin'}\n"
        "def test_it():\n    assert {name for name in sys.modules if name.startswith('lens.')} <= LIGHT\n"
    )
    done = run_pytest(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "LLM latency" not in done.stdout


def test_the_figures_of_a_suite_are_a_benchmark_summary_with_its_requests(profiler, tmp_path):
    report = run_suite(profiler, ["Hello", "Hi"])
    figures = report.performance_metrics
    assert isinstance(figures, BenchmarkSummary)
    assert figures.ttft_stats.max >= 30
    assert [one["status"] for one in figures.requests] == ["Success"] * 2
    assert figures.total_cost > 0
    report.write(tmp_path / "report.json")
    assert TestBenchReport.read(tmp_path / "report.json").performance_metrics == figures


def test_a_report_of_before_is_still_read(tmp_path):
    fields = {"test_suite_id": "old", "test_cases": [], "performance_metrics": summarize([record((100, 110))])}
    (tmp_path / "old.json").write_bytes(msgspec.json.encode(fields))
    old = TestBenchReport.read(tmp_path / "old.json")
    assert (old.performance_metrics.total_requests, old.performance_metrics.ttft_stats.median) == (1, 100)
    assert old.performance_metrics.ttft_stats.too_few["p99"] == 100
    fields["performance_metrics"] = {"distributions": {}}
    (tmp_path / "odd.json").write_bytes(msgspec.json.encode(fields))
    with pytest.raises(FileError, match="no summary of a run"):
        TestBenchReport.read(tmp_path / "odd.json")
