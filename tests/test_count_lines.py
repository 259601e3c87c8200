"""Lines that probes count: those that Python itself tells of the same program, also in a process that is killed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAM = '''"""A docstring."""

from __future__ import annotations

import enum
import functools


@functools.cache
def kind(value: object) -> str:
    """Tell what it is."""
    match value:
        case int():
            return "number"
        case _:
            pass
    try:
        len(value)
    except (
        TypeError
    ):
        return "other"
    else:
        found = [
            one
            for one in value
        ]
    finally:
        value = None
    if not found:
        return "empty"
    elif found == ["a"]:
        return "a"
    while found:
        found.pop()
    return "many"


class Level(enum.Enum):
    """Names."""

    LOW = 1

    def above(self) -> bool:
        return False


async def never() -> None:
    async with never():
        ...


print(kind("ab"), kind(1), kind(None))
'''
TRACED = """
import json, sys
lines = set()
def trace(frame, event, value):
    if frame.f_code.co_filename.endswith("program.py"):
        lines.add(frame.f_lineno)
    return trace
sys.settrace(trace)
import lens.program
sys.settrace(None)
print(json.dumps(sorted(lines)))
"""


@pytest.fixture(scope="module")
def counted(tmp_path_factory) -> Path:
    """The folder of a package's counted copy."""
    folder = tmp_path_factory.mktemp("counted")
    package = folder / "plain" / "lens"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "program.py").write_text(PROGRAM)
    tool = [sys.executable, ROOT / "tools" / "count_lines.py", folder / "out"]
    subprocess.run(tool, check=True, env=os.environ | {"PYTHONPATH": str(folder / "plain")})
    return folder


def run(code: str, site: Path, test: str = "") -> str:
    env = os.environ | {"PYTHONPATH": str(site), "LENS_RAN_LINES_FOR": test}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env).stdout


def lines(counted: Path, test: str) -> set[int]:
    """Return the lines of the program that ran for a test file."""
    ran = iter((counted / "out" / "ran" / test).read_bytes())
    probes = json.loads((counted / "out" / "lines.json").read_text())
    return {n for module in ("__init__.py", "program.py") for line in probes[module] if next(ran) for n in line}


def statements(shown: set[int]) -> set[int]:
    """Leave out what is no statement's first line: docstrings, `else`, and the second lines of a statement."""
    text = PROGRAM.splitlines()
    beside = ('"""', "TypeError", "):", "one", "for one", "]", "finally")
    return {n for n in shown if n and text[n - 1] and not text[n - 1].strip().startswith(beside)}


def test_lines_are_those_that_python_tells(counted):
    *told, traced = run(TRACED, counted / "plain").splitlines()
    assert told == run("import lens.program", counted / "out" / "site", "traced").splitlines() == ["many number other"]
    assert lines(counted, "traced") == statements(set(json.loads(traced)))


def test_each_test_file_has_its_own_also_where_the_process_is_killed(counted):
    code = "import lens.program as p, ran_lines, os; ran_lines.count_for('second'); p.kind(''); os.kill(os.getpid(), 9)"
    run(code, counted / "out" / "site", "first")
    text = PROGRAM.splitlines()
    empty = text.index('        return "empty"') + 1
    assert empty in lines(counted, "second") - lines(counted, "first")
    assert {n for n in lines(counted, "second") if text[n - 1].startswith("import")} == set()


def test_a_forked_process_counts_for_the_same(counted):
    code = "import lens.program as p, os; os.fork() or (p.Level.LOW.above(), os._exit(0)); os.wait()"
    run(code, counted / "out" / "site", "forked")
    above = PROGRAM.splitlines().index("        return False") + 1
    assert above in lines(counted, "forked")
    assert above not in lines(counted, "traced")
