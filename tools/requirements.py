"""Prints what pyproject.toml asks for, a requirement a line: what builds the package, or what extras of it bring.

    python tools/requirements.py build
    python tools/requirements.py test sdks

So they can be installed before the package itself is built.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).resolve().parent.parent / "pyproject.toml").read_text())
# An extra that brings others names the package itself.
OWN = re.compile(rf"{PROJECT['project']['name']}\[(.+)\]")


def of_extra(name: str) -> Iterator[str]:
    """Yield the requirements of an extra, those of the extras it brings among them."""
    for requirement in PROJECT["project"]["optional-dependencies"][name]:
        if match := OWN.fullmatch(requirement):
            for other in match[1].split(","):
                yield from of_extra(other)
        else:
            yield requirement


def requirements(names: list[str]) -> list[str]:
    """Return the requirements of the package with these extras, or of its build."""
    if names == ["build"]:
        return PROJECT["build-system"]["requires"]
    return [*PROJECT["project"]["dependencies"], *(one for name in names for one in of_extra(name))]


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1:])))
