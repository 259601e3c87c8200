"""LLM-Latency-Lens: an oscilloscope for streaming LLM APIs.

The public names are loaded when they are first used, so that `import lens` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lens.calibration import Calibration, selftest
    from lens.config import LoadConfig, PromptConfig, RunConfig, TargetConfig, load_config
    from lens.errors import LensError
    from lens.export.request_metrics import RequestMetrics
    from lens.history import read_run, write_run
    from lens.metrics.summary import Summary, summarize
    from lens.model import Record, RunInfo, Status
    from lens.pricing import PriceBook
    from lens.profiler import Profiler, ProviderConfig, measure, profile, profile_request

__version__ = "0.1.0"

# Name -> the module that has it.
_HOME = {
    "Calibration": "lens.calibration",
    "LensError": "lens.errors",
    "LoadConfig": "lens.config",
    "PriceBook": "lens.pricing",
    "Profiler": "lens.profiler",
    "PromptConfig": "lens.config",
    "ProviderConfig": "lens.profiler",
    "Record": "lens.model",
    "RequestMetrics": "lens.export.request_metrics",
    "RunConfig": "lens.config",
    "RunInfo": "lens.model",
    "Status": "lens.model",
    "Summary": "lens.metrics.summary",
    "TargetConfig": "lens.config",
    "load_config": "lens.config",
    "measure": "lens.profiler",
    "profile": "lens.profiler",
    "profile_request": "lens.profiler",
    "read_run": "lens.history",
    "selftest": "lens.calibration",
    "summarize": "lens.metrics.summary",
    "write_run": "lens.history",
}

__all__ = [
    "Calibration",
    "LensError",
    "LoadConfig",
    "PriceBook",
    "Profiler",
    "PromptConfig",
    "ProviderConfig",
    "Record",
    "RequestMetrics",
    "RunConfig",
    "RunInfo",
    "Status",
    "Summary",
    "TargetConfig",
    "__version__",
    "load_config",
    "measure",
    "profile",
    "profile_request",
    "read_run",
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
