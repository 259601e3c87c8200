"""Programs and packages that a test needs: without one it is skipped with the reason, but fails in CI (CI=true)."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

# Where systems keep what an ordinary user's PATH may not have.
SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")


def missing(reason: str) -> NoReturn:
    """Fail in CI, where everything that tests need is installed; skip elsewhere."""
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        pytest.fail(f"{reason}; CI must have it", pytrace=False)
    pytest.skip(reason, allow_module_level=True)


def need_program(names: str | Sequence[str], install: str, *folders: Path) -> str:
    """Return the path of the first of these programs; `install` says how to get it."""
    names = [names] if isinstance(names, str) else names
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", ""), *SYSTEM_FOLDERS])
    found = next((found for name in names if (found := shutil.which(name, path=path))), None)
    return found or missing(f"{' or '.join(names)} is not installed: {install}")


def need_package(name: str, install: str, *, offered: bool = True) -> None:
    """Go on where a module can be imported; it may be absent where no wheel of it is `offered`."""
    try:
        found = find_spec(name)
    except ModuleNotFoundError:  # of the package it would be in
        found = None
    if found is None:
        reason = f"{name} is not installed: {install}"
        missing(reason) if offered else pytest.skip(reason, allow_module_level=True)


def need_module(name: str, install: str, *, offered: bool = True) -> ModuleType:
    """Return a module that a test uses itself."""
    need_package(name, install, offered=offered)
    return importlib.import_module(name)
