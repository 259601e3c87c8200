"""LLM-Latency-Lens: an oscilloscope for streaming LLM APIs.

The public names are loaded when they are first used, so that `import lens` costs next to nothing.
"""

from __future__ import annotations

from lens._version import __version__

# As in `typing`, whose import would be most of the time that this one takes.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lens.adapters import (
        AnthropicAdapter,
        GenericOpenAIAdapter,
        OpenAIAdapter,
        PricingModel,
        ProviderAdapter,
        RateLimits,
    )
    from lens.calibration import Calibration, selftest
    from lens.config.load import load_config
    from lens.config.profile import OutputFormat, ProfileConfig, RequestConfig, TestPattern
    from lens.config.settings import (
        ExportConfig,
        LoadConfig,
        OutputConfig,
        PromptConfig,
        RunConfig,
        SessionConfig,
        TargetConfig,
    )
    from lens.errors import LensError, RunInterrupted
    from lens.export.benchmark_summary import BenchmarkSummary, LatencyStats
    from lens.metrics.rows import TokenTiming
    from lens.metrics.summarize import summarize
    from lens.metrics.summary import Summary
    from lens.model import Record, RequestStatus, RunInfo, Status
    from lens.pricing import PriceBook
    from lens.profiler import (
        Profiler,
        ProviderConfig,
        measure,
        profile,
        profile_request,
        run_config,
        run_config_blocking,
    )
    from lens.results.request_metrics import RequestMetrics
    from lens.results.saved_run import SavedRun, read_run, write_run
    from lens.run.result import RunResult
    from lens.run.sink import Sink

# Name -> the module that has it.
_HOME = {
    "AnthropicAdapter": "lens.adapters",
    "BenchmarkSummary": "lens.export.benchmark_summary",
    "Calibration": "lens.calibration",
    "ExportConfig": "lens.config.settings",
    "GenericOpenAIAdapter": "lens.adapters",
    "LatencyStats": "lens.export.benchmark_summary",
    "LensError": "lens.errors",
    "LoadConfig": "lens.config.settings",
    "OpenAIAdapter": "lens.adapters",
    "OutputConfig": "lens.config.settings",
    "OutputFormat": "lens.config.profile",
    "PriceBook": "lens.pricing",
    "PricingModel": "lens.adapters",
    "ProfileConfig": "lens.config.profile",
    "Profiler": "lens.profiler",
    "PromptConfig": "lens.config.settings",
    "ProviderAdapter": "lens.adapters",
    "ProviderConfig": "lens.profiler",
    "RateLimits": "lens.adapters",
    "Record": "lens.model",
    "RequestConfig": "lens.config.profile",
    "RequestMetrics": "lens.results.request_metrics",
    "RequestStatus": "lens.model",
    "RunConfig": "lens.config.settings",
    "SessionConfig": "lens.config.settings",
    "RunInfo": "lens.model",
    "RunInterrupted": "lens.errors",
    "RunResult": "lens.run.result",
    "SavedRun": "lens.results.saved_run",
    "Sink": "lens.run.sink",
    "Status": "lens.model",
    "Summary": "lens.metrics.summary",
    "TargetConfig": "lens.config.settings",
    "TestPattern": "lens.config.profile",
    "TokenTiming": "lens.metrics.rows",
    "load_config": "lens.config.load",
    "measure": "lens.profiler",
    "profile": "lens.profiler",
    "profile_request": "lens.profiler",
    "read_run": "lens.results.saved_run",
    "run_config": "lens.profiler",
    "run_config_blocking": "lens.profiler",
    "selftest": "lens.calibration",
    "summarize": "lens.metrics.summarize",
    "write_run": "lens.results.saved_run",
}

__all__ = [
    "AnthropicAdapter",
    "BenchmarkSummary",
    "Calibration",
    "ExportConfig",
    "GenericOpenAIAdapter",
    "LatencyStats",
    "LensError",
    "LoadConfig",
    "OpenAIAdapter",
    "OutputConfig",
    "OutputFormat",
    "PriceBook",
    "PricingModel",
    "ProfileConfig",
    "Profiler",
    "PromptConfig",
    "ProviderAdapter",
    "ProviderConfig",
    "RateLimits",
    "Record",
    "RequestConfig",
    "RequestMetrics",
    "RequestStatus",
    "RunConfig",
    "RunInfo",
    "RunInterrupted",
    "RunResult",
    "SavedRun",
    "SessionConfig",
    "Sink",
    "Status",
    "Summary",
    "TargetConfig",
    "TestPattern",
    "TokenTiming",
    "__version__",
    "load_config",
    "measure",
    "profile",
    "profile_request",
    "read_run",
    "run_config",
    "run_config_blocking",
    "selftest",
    "summarize",
    "write_run",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'lens' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
