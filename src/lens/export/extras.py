"""Libraries that only some formats need: imported when one is asked for, with a clear word when absent."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from lens.errors import ConfigError, lacking


def need(module: str, extra: str, what: str) -> Any:
    """Import a module and return it.

    Raises:
        ConfigError: it is not installed, or cannot be loaded. MemoryError: it does not fit into the memory there is.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError:
        raise _missing(module, extra, what) from None
    except ImportError as error:
        if lacking(error) is not None:
            raise MemoryError from error
        package = module.partition(".")[0]
        raise ConfigError(f"{what} needs {package}, which cannot be loaded: {error}") from error


def check_installed(module: str, extra: str, what: str) -> None:
    """Check that a module is there to be imported later.

    Raises:
        ConfigError: it is not installed.
    """
    package = module.partition(".")[0]
    try:
        found = sys.modules[package] is not None if package in sys.modules else find_spec(package) is not None
    except ValueError:  # a module without a place
        found = True
    if not found:
        raise _missing(module, extra, what)


def _missing(module: str, extra: str, what: str) -> ConfigError:
    package = module.partition(".")[0]
    return ConfigError(f"{what} needs {package}: pip install 'llm-latency-lens[{extra}]'")
