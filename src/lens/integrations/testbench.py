"""Test-Bench: test cases profiled while they are tested, and held to limits.

    report = run_suite(Profiler("openai", "gpt-6-sol"), cases, ["ttft_ms<500", "tokens_per_second>20"])
    assert not report.failed, report.text()

A report is plain data: it is written, read back, and compared with an earlier one.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from lens.analysis.gates.sla import Gate, GateResult, evaluate_each
from lens.analysis.gates.thresholds import Threshold, parse_threshold
from lens.columns import UNREADABLE, decode_hook, encode_hook
from lens.errors import ConfigError, FileError
from lens.export.benchmark_summary import BenchmarkSummary, benchmark_summary_of
from lens.metrics.builder import table_of
from lens.metrics.definitions import METRICS
from lens.metrics.rows import error_texts, timestamps, values_of
from lens.metrics.table import Table
from lens.model import Record, RunInfo
from lens.parsing import read_small
from lens.profiler import Profiler
from lens.results.request_metrics import RequestMetrics

# The metrics that a test case keeps of its request.
FIGURES = ("ttft_ms", "ttfb_ms", "itl_ms", "total_latency_ms", "tokens_per_second", "output_tokens", "total_cost")
# A figure moved by less than this is not worth a line in a regression report.
TOLERANCE = 0.1


class Severity(enum.StrEnum):
    """How bad a violation is: beyond twice the limit it is critical; a threshold may be there to warn only."""

    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class TestCase(msgspec.Struct, frozen=True, kw_only=True):
    """One prompt, and what came of it once it ran."""

    __test__ = False  # no tests of pytest's

    id: str
    prompt: str
    status: str = ""  # "Success", or what went wrong; empty before it ran
    error: str | None = None
    metrics: dict[str, float | None] = {}


class ThresholdViolation(msgspec.Struct, frozen=True, kw_only=True):
    """A limit that a test case did not keep."""

    test_case_id: str
    metric: str
    expected: float  # the limit, in the metric's unit
    actual: float | None  # None: it was not measured
    severity: Severity

    def __str__(self) -> str:
        unit = METRICS[self.metric].unit if self.metric in METRICS else ""
        actual = "not measured" if self.actual is None else f"{self.actual:.6g} {unit}"
        return f"{self.test_case_id}: {self.metric} is {actual}, limit {self.expected:g} ({self.severity})"


class TestBenchReport(msgspec.Struct, frozen=True, kw_only=True):
    """A suite that ran."""

    __test__ = False

    test_suite_id: str
    test_cases: tuple[TestCase, ...]
    performance_metrics: BenchmarkSummary
    threshold_violations: tuple[ThresholdViolation, ...] = ()
    started_at: str = ""

    @property
    def failed(self) -> bool:
        """A test case failed, or broke a limit that is no mere warning."""
        broken = any(one.severity is not Severity.WARNING for one in self.threshold_violations)
        return broken or any(case.status != "Success" for case in self.test_cases)

    def text(self) -> str:
        """Return the report for people: a line for each failure, then what was measured."""
        lines = [f"{c.id}: {c.status}: {c.error}" for c in self.test_cases if c.status != "Success"]
        lines += [str(violation) for violation in self.threshold_violations]
        ttft = self.performance_metrics.ttft_stats
        figures = f", TTFT p50 {ttft.median:.1f} ms, max {ttft.max:.1f} ms" if ttft else ""
        usd = self.performance_metrics.total_cost
        cost = f", cost ${usd:.6g}" if usd is not None else ""
        lines.append(f"{self.test_suite_id}: {len(self.test_cases)} test cases{figures}{cost}")
        return "\n".join(lines)

    def encoded(self) -> bytes:
        """Return the report as JSON."""
        return msgspec.json.format(msgspec.json.encode(self, enc_hook=encode_hook), indent=1)

    def write(self, path: Path | str) -> None:
        """Write the report as JSON.

        Raises:
            FileError: it cannot be written.
        """
        try:
            Path(path).write_bytes(self.encoded())
        except OSError as error:
            raise FileError(f"test bench report {path}: cannot write: {error.strerror}") from None

    @staticmethod
    def read(path: Path | str) -> TestBenchReport:
        """Return what write wrote.

        Raises:
            FileError: it cannot be read, or is no report.
        """
        try:
            return _decoded(read_small(Path(path)))
        except OSError as error:
            raise FileError(f"test bench report {path}: cannot read: {error.strerror}") from None
        except UNREADABLE as error:
            raise FileError(f"test bench report {path}: {error}") from None
        except (KeyError, TypeError, AttributeError):
            raise FileError(f"test bench report {path}: its figures are no summary of a run") from None


def _decoded(data: bytes) -> TestBenchReport:
    """Return a report of this version or of an earlier one."""
    report = msgspec.json.decode(data)
    figures = report.get("performance_metrics") if isinstance(report, dict) else None
    if isinstance(figures, dict) and "distributions" in figures:
        report["performance_metrics"] = _of_summary(figures)
    return msgspec.convert(report, TestBenchReport, dec_hook=decode_hook)


def _of_summary(old: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a BenchmarkSummary for those of a Summary, which the first reports held."""
    spread = old["distributions"]
    return {
        "total_requests": old["requests"],
        "successful_requests": old["successes"],
        "failed_requests": old["requests"] - old["successes"],
        **{f"{name}_stats": _stats(spread.get(f"{name}_ms")) for name in ("ttft", "itl", "total_latency")},
        "avg_tokens_per_second": spread.get("tokens_per_second", {}).get("mean"),
        "avg_requests_per_second": old.get("requests_per_second"),
        "total_cost": old.get("total_cost"),
        "avg_cost_per_request": old.get("cost_per_request"),
        "total_input_tokens": old.get("input_tokens"),
        "total_output_tokens": old.get("output_tokens"),
        **{name: old[name] for name in ("success_rate", "output_tokens_per_second", "by_status", "by_category")},
    }


def _stats(old: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if old is None:
        return None
    tails = {name: old["percentiles"].get(name, old["max"]) for name in ("p95", "p99")}
    plain = {name: old[name] for name in ("min", "max", "mean", "median", "std_dev", "n", "unit")}
    return {**plain, **tails, "too_few": old.get("needs", {})}


Cases = Iterable[TestCase | str | Mapping[str, Any]]


def run_suite(
    profiler: Profiler,
    cases: Cases,
    thresholds: Iterable[str | Threshold] = (),
    *,
    test_suite_id: str = "suite",
) -> TestBenchReport:
    """Ask each case once, one after the other, and hold each to the thresholds. Blocking, from anywhere.

    cases: prompts, {"id": ..., "prompt": ...}, or TestCases.

    Raises:
        ConfigError: a case or a threshold is none, or the target cannot be asked.
    """
    wanted = [_case(case, number) for number, case in enumerate(cases, 1)]
    if not wanted:
        raise ConfigError(f"test suite {test_suite_id!r} has no test cases")
    gates = [Gate(threshold=t if isinstance(t, Threshold) else parse_threshold(t)) for t in thresholds]
    records: list[Record] = []
    done = []
    for case in wanted:
        metrics = profiler.profile(case.prompt)
        records.append(msgspec.structs.replace(metrics.record, index=len(records), prompt_id=case.id))
        done.append(case_done(case, metrics))
    table = table_of(records, book=profiler.book)
    return TestBenchReport(
        test_suite_id=test_suite_id,
        test_cases=tuple(done),
        performance_metrics=benchmark_summary_of(table, requests=True),
        threshold_violations=tuple(violations_of(evaluate_each(gates, table))),
        started_at=records[0].timestamp,
    )


def report_of(
    table: Table, gates: Iterable[Gate] = (), *, test_suite_id: str = "suite", info: RunInfo | None = None
) -> TestBenchReport:
    """Return the report of requests that were measured: each is a test case, held to the gates by itself.

    A case is named by its prompt's id, or its place; the prompt itself stands in no record.
    """
    prompts, numbers = table.codes("prompt_id").listed(), table.column("index").tolist()
    statuses, errors = table.codes("status").listed(), error_texts(table)
    figures = {name: values_of(table, METRICS[name]) for name in FIGURES}
    cases = [
        TestCase(
            id=prompts[row] or f"request {numbers[row] + 1}",
            prompt="",
            status=str(statuses[row]),
            error=errors[row],
            metrics={name: _number(values[row]) for name, values in figures.items()},
        )
        for row in range(len(table))
    ]
    return TestBenchReport(
        test_suite_id=test_suite_id,
        test_cases=tuple(cases),
        performance_metrics=benchmark_summary_of(table, info, requests=True),
        threshold_violations=tuple(violations_of(evaluate_each(gates, table))),
        started_at=min(timestamps(table), default=""),
    )


def violations_of(results: Iterable[GateResult]) -> list[ThresholdViolation]:
    """Return a violation for each gate that was not met."""
    return [
        ThresholdViolation(
            test_case_id=one.case or "all",
            metric=one.gate.threshold.metric,
            expected=one.gate.threshold.limit,
            actual=one.verdict.actual,
            severity=_severity(one),
        )
        for one in results
        if not one.verdict.kept
    ]


def _severity(one: GateResult) -> Severity:
    if not one.failed:
        return Severity.WARNING
    limit, actual = one.gate.threshold.limit, one.verdict.actual
    if actual is None or limit <= 0:
        return Severity.ERROR
    times = actual / limit if one.gate.threshold.operator.startswith("<") else limit / actual if actual > 0 else 2
    return Severity.CRITICAL if times >= 2 else Severity.ERROR


def _case(said: TestCase | str | Mapping[str, Any], number: int) -> TestCase:
    if isinstance(said, TestCase):
        return said
    if isinstance(said, str):
        return TestCase(id=f"case {number}", prompt=said)
    prompt = said.get("prompt", said.get("text"))
    if not isinstance(prompt, str):
        raise ConfigError(f"test case {number}: write a prompt, or {{'id': 'name', 'prompt': 'text'}}")
    return TestCase(id=str(said.get("id", f"case {number}")), prompt=prompt)


def case_done(case: TestCase, metrics: RequestMetrics) -> TestCase:
    """Return the case with its result."""
    kept = {name: _number(metrics.figures.get(name)) for name in FIGURES}
    return msgspec.structs.replace(case, status=metrics.status, error=metrics.error, metrics=kept)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float | Decimal) else None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """How one figure of one test case moved between two reports."""

    test_case_id: str
    metric: str
    before: float
    after: float
    worse: bool

    def __str__(self) -> str:
        unit = METRICS[self.metric].unit
        by = f" ({self.relative:+.0%})" if self.before else ""
        return f"{self.test_case_id}: {self.metric} {self.before:.6g} -> {self.after:.6g} {unit}{by}"

    @property
    def relative(self) -> float:
        """+0.5 is half as much again."""
        return self.after / self.before - 1 if self.before else 0.0


def regressions(before: TestBenchReport, after: TestBenchReport, tolerance: float = TOLERANCE) -> list[Change]:
    """Return what got worse by more than the tolerance, worst first; cases that only one of them has are left out.

    One request a case tells no noise from a change: for that, compare runs (`lll compare`, `lll analyze --baseline`).

    Raises:
        ConfigError: they have no case in common.
    """
    old = {case.id: case for case in before.test_cases}
    if not any(case.id in old for case in after.test_cases):
        raise ConfigError("the baseline has none of these test cases: there is nothing to compare")
    found = [
        change
        for case in after.test_cases
        if case.id in old
        for name in FIGURES
        if (change := _change(old[case.id], case, name)) is not None
    ]
    bad = [change for change in found if change.worse and abs(change.relative) > tolerance]
    return sorted(bad, key=lambda change: -abs(change.relative))


def _change(old: TestCase, new: TestCase, name: str) -> Change | None:
    before, after = old.metrics.get(name), new.metrics.get(name)
    metric = METRICS.get(name)
    if before is None or after is None or metric is None or metric.better not in ("lower", "higher"):
        return None
    worse = after > before if metric.better == "lower" else after < before
    return Change(test_case_id=new.id, metric=name, before=before, after=after, worse=worse)


def trend(reports: Sequence[TestBenchReport], metric: str) -> dict[str, list[float | None]]:
    """{test case: the figure in each report, None where it has none}, in the order of the reports."""
    names = dict.fromkeys(case.id for report in reports for case in report.test_cases)
    by_report = [{case.id: case.metrics.get(metric) for case in report.test_cases} for report in reports]
    return {name: [figures.get(name) for figures in by_report] for name in names}
