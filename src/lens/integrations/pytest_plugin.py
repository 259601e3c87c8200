"""A pytest plugin: tests that ask an LLM endpoint, and fail when it answers too slowly.

    @pytest.mark.latency_lens(ttft_ms=500, tokens_per_second=20)
    def test_chat(latency_lens):
        metrics = latency_lens.profile("Hello")
        assert metrics.ok

Which endpoint: --latency-lens-provider, -model and -base-url, or the ini settings of the same names with
underscores; keys come from where `lll` finds them. Nothing of the instrument is loaded before a test asks for it.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lens.analysis.gates.sla import Gate
    from lens.integrations.testbench import TestBenchReport
    from lens.model import Record
    from lens.profiler import Profiler
    from lens.results.request_metrics import RequestMetrics

MARK = "latency_lens"
# Under this name a test's requests go from the process that ran it to the one that reports.
PROPERTY = "latency_lens_record"
SETTINGS = {
    "provider": "the provider's name; 'simulator' needs no address",
    "model": "the model's name",
    "base_url": "the server's address, where it is not the provider's own",
    "price": "in=USD,out=USD for a million tokens",
}
_asked = pytest.StashKey["LatencyLens"]()


class LatencyLens:
    """What the fixture gives: profile() asks, and every request it made is held to the test's limits."""

    def __init__(self, profiler: Profiler) -> None:
        self.profiler = profiler
        self.metrics: list[RequestMetrics] = []

    def profile(self, prompt: str, **options: Any) -> RequestMetrics:
        """Ask once and wait for the whole answer."""
        return self._kept(self.profiler.profile(prompt, **options))

    async def profile_request(self, prompt: str, **options: Any) -> RequestMetrics:
        """Return the same for a test that awaits, under trio or asyncio."""
        return self._kept(await self.profiler.profile_request(prompt, **options))

    def _kept(self, metrics: RequestMetrics) -> RequestMetrics:
        self.metrics.append(metrics)
        return metrics


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plugin's options and ini settings."""
    group = parser.getgroup("latency-lens", "LLM latency")
    for name, what in SETTINGS.items():
        group.addoption(f"--latency-lens-{name.replace('_', '-')}", metavar=name.upper(), help=what)
        parser.addini(f"latency_lens_{name}", what, default="")
    group.addoption("--latency-lens-export", metavar="FILE", help="write all requests and violations as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker with limits."""
    config.addinivalue_line(
        "markers",
        f"{MARK}(*thresholds, **limits): fail when a request of the test breaks one, "
        "like 'ttft_ms<500' or ttft_ms=500, tokens_per_second=20",
    )


@pytest.fixture
def latency_lens(request: pytest.FixtureRequest) -> LatencyLens:
    """Asks the endpoint that was configured; each request is measured."""
    from lens.errors import ConfigError
    from lens.profiler import Profiler

    said = {name: _setting(request.config, name) for name in SETTINGS}
    provider = said.pop("provider") or ("openai-compatible" if said["base_url"] else "")
    if not provider:
        pytest.fail(
            "latency_lens: which endpoint? give --latency-lens-provider NAME or --latency-lens-base-url URL", False
        )
    options: dict[str, Any] = {name: value for name, value in said.items() if value}
    try:
        lens = LatencyLens(Profiler(provider, options.pop("model", provider), **options))
    except ConfigError as error:
        pytest.fail(f"latency_lens: {error}", pytrace=False)
    request.node.stash[_asked] = lens
    return lens


def _setting(config: pytest.Config, name: str) -> str:
    flag = config.getoption(f"--latency-lens-{name.replace('_', '-')}")
    return str(flag or config.getini(f"latency_lens_{name}"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Check the requests of a test against its limits once it has passed."""
    result = yield
    lens = item.stash.get(_asked, None)
    _require_requests(item, lens)
    if lens is not None:
        _hold(item, lens)
    return result


def _require_requests(item: pytest.Item, lens: LatencyLens | None) -> None:
    """Fail a test that has limits and measured nothing; warn where only its class or module has them."""
    if not any(mark.args or mark.kwargs for mark in item.iter_markers(MARK)) or (lens is not None and lens.metrics):
        return
    if lens is not None:
        missing = "no request was measured: send it with latency_lens.profile() or profile_request()"
    else:
        missing = "nothing was measured: take the fixture latency_lens, or mark only tests that do"
    if lens is None and not any(mark.name == MARK for mark in item.own_markers):
        item.warn(pytest.PytestWarning(f"{MARK} mark: this test has limits, but {missing}"))
    else:
        pytest.fail(f"{MARK} mark: this test has limits, but {missing}", pytrace=False)


def _hold(item: pytest.Item, lens: LatencyLens) -> None:
    """Fail the test where a request of it broke a limit."""
    import msgspec

    from lens.analysis.gates.sla import evaluate_each
    from lens.columns import encode_hook
    from lens.integrations.testbench import violations_of
    from lens.metrics.builder import table_of

    records = [_named(metrics.record, item.nodeid, number) for number, metrics in enumerate(lens.metrics)]
    violations = violations_of(evaluate_each(_gates(item), table_of(records, book=lens.profiler.book)))
    for record in records:
        mine = [msgspec.to_builtins(v) for v in violations if v.test_case_id == record.prompt_id]
        kept = {"record": msgspec.to_builtins(record, enc_hook=encode_hook), "violations": mine}
        item.user_properties.append((PROPERTY, msgspec.json.encode(kept).decode()))
    if violations:
        told = [f"  {violation}" for violation in violations]
        pytest.fail("\n".join(["slower than this test allows:", *told]), pytrace=False)


def _named(record: Record, nodeid: str, number: int) -> Record:
    import msgspec

    name = nodeid if number == 0 else f"{nodeid} #{number + 1}"
    return msgspec.structs.replace(record, index=number, prompt_id=name, text=None, reasoning=None)


def _gates(item: pytest.Item) -> list[Gate]:
    from lens.analysis.gates.sla import Gate
    from lens.analysis.gates.thresholds import parse_threshold, thresholds_of
    from lens.errors import ConfigError

    gates: list[Gate] = []
    for mark in item.iter_markers(MARK):
        try:
            wanted = [*[parse_threshold(text) for text in mark.args], *thresholds_of(mark.kwargs)]
        except ConfigError as error:
            pytest.fail(f"{MARK} mark: {error}", pytrace=False)
        gates += [Gate(threshold=threshold) for threshold in wanted]
    return gates


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was measured, and write the report where one is wanted."""
    report = _report(
        [r for found in terminalreporter.stats.values() for r in found if getattr(r, "when", "") == "call"]
    )
    export = config.getoption("--latency-lens-export")
    if report is None:
        return
    terminalreporter.section("LLM latency")
    broken = {violation.test_case_id for violation in report.threshold_violations}
    for case in report.test_cases:
        ttft, speed = case.metrics.get("ttft_ms"), case.metrics.get("tokens_per_second")
        figures = "".join(
            text.format(value)
            for text, value in (("TTFT {:8.1f} ms  ", ttft), ("{:8.1f} tokens/s  ", speed))
            if value is not None
        )
        word = "SLOW" if case.id in broken else "ok" if case.status == "Success" else case.status
        terminalreporter.write_line(f"{word:8} {figures}{case.id}", red=word != "ok", green=word == "ok")
    if export:
        report.write(export)
        terminalreporter.write_line(f"written  {export}")


def _report(results: list[Any]) -> TestBenchReport | None:
    """Every request of every test that reported; None where no test asked anything."""
    found = [text for result in results for name, text in result.user_properties if name == PROPERTY]
    if not found:
        return None
    import msgspec

    from lens.columns import decode_hook
    from lens.export.benchmark_summary import benchmark_summary_of
    from lens.integrations.testbench import TestBenchReport, TestCase, ThresholdViolation, case_done
    from lens.metrics.builder import table_of
    from lens.model import Record
    from lens.results.request_metrics import RequestMetrics

    kept = [msgspec.json.decode(text) for text in found]
    records = [msgspec.convert(one["record"], Record, dec_hook=decode_hook) for one in kept]
    cases = [TestCase(id=record.prompt_id or "", prompt="") for record in records]
    return TestBenchReport(
        test_suite_id="pytest",
        test_cases=tuple([case_done(c, RequestMetrics(r)) for c, r in zip(cases, records, strict=True)]),
        performance_metrics=benchmark_summary_of(table_of(records), requests=True),
        threshold_violations=tuple([msgspec.convert(v, ThresholdViolation) for one in kept for v in one["violations"]]),
        started_at=min(record.timestamp for record in records),
    )
