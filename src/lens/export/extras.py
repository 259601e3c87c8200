"""Libraries that only some formats need: imported when one is asked for, with a clear word when absent."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from lens.errors import ConfigError


def need(module: str, extra: str, what: str) -> Any:
    """Import a module and return it.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise ConfigError(f"{what} needs {package}: pip install 'llm-latency-lens[{extra}]'") from None
