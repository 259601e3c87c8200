"""The house keeps its floors: who may import whom, read from the sources themselves.

Every import counts, also one inside a function or under TYPE_CHECKING. A room that is not
in FLOOR is a failure, so that a new one is placed on purpose.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from lens._core.signals import CONTENT_BITS, SIGNAL_BITS
from lens.model import CONTENT, Signal

SRC = Path(__file__).parent.parent / "src" / "lens"
MOST_LINES = 400

# From the top down: a room imports from lower floors or from itself. Rooms of one floor do not know each other.
FLOORS = (
    {"__init__", "__main__"},
    {"cli", "analyzer", "exporters"},
    {"ui"},
    {"monitor", "calibration", "integrations", "adapters"},
    {"profiler"},
    {"run"},
    {"results"},
    {"report", "push"},
    {"export"},
    {"analysis", "orchestrator"},
    {"transport", "metrics"},
    {"providers", "pricing", "history"},
    {"config", "plugins", "server"},
    {"errors", "wire"},
    {"_core", "arrays", "columns", "model", "parsing", "secrets", "units", "_version"},
    {"clocks", "patterns"},
    {"simulator"},
)
FLOOR = {room: floor for floor, rooms in enumerate(reversed(FLOORS)) for room in rooms}
# Who may start a simulator: what stands on the floor of a run, or above it.
STARTS_SIMULATORS = FLOOR["run"]
READING = {"pricing", "metrics", "history", "analysis", "export"}
MEASURING = {"_core", "wire", "transport", "providers", "orchestrator"}

PYTHON = sorted(SRC.rglob("*.py"))
CYTHON = sorted(SRC.rglob("*.pyx"))
SOURCES = sorted(p for p in SRC.rglob("*") if p.suffix in {".py", ".pyi", ".pyx", ".pxd", ".h"})


def name_of(path: Path) -> str:
    return str(path.relative_to(SRC))


def module_of(path: Path) -> str:
    parts = path.relative_to(SRC.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """The room of a dotted name: lens.cli.main -> cli, lens -> __init__."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def exists(module: str) -> bool:
    path = SRC.parent.joinpath(*module.split("."))
    return path.is_dir() or any(path.with_suffix(s).is_file() for s in (".py", ".pyx"))


@cache
def imports_of(path: Path) -> set[str]:
    """Full names of the modules of lens that a file imports, wherever the import stands."""
    if path.suffix == ".pyx":
        return set(re.findall(r"^\s*(?:from|import|cimport)\s+(lens[\w.]*)", path.read_text(), re.MULTILINE))
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports by a relative name"
            base = node.module or ""
            for alias in node.names:
                full = f"{base}.{alias.name}"
                found.add(full if base.split(".")[0] == "lens" and exists(full) else base)
    return {m for m in found if m.split(".")[0] == "lens"} - {module_of(path)}


@cache
def all_imports() -> dict[str, set[str]]:
    """Read when a test wants it: each worker collects this file."""
    return {module_of(path): imports_of(path) for path in PYTHON + CYTHON}


def reach(start: str) -> set[str]:
    """Every module of lens that comes along with one, over any number of imports."""
    seen: set[str] = set()
    todo = [start]
    while todo:
        for module in all_imports().get(todo.pop(), ()):
            if module not in seen and module != "lens":
                seen.add(module)
                todo.append(module)
    return seen


def in_simulator(module: str) -> bool:
    return room_of(module) == "simulator"


@pytest.mark.parametrize("path", PYTHON + CYTHON, ids=name_of)
def test_a_room_imports_only_from_lower_floors_or_itself(path: Path) -> None:
    room = room_of(module_of(path))
    assert room in FLOOR, f"{name_of(path)}: room {room!r} has no floor yet; give it one here"
    for module in imports_of(path):
        other = room_of(module)
        assert other in FLOOR, f"{name_of(path)} imports {module}, a room without a floor"
        assert other == room or FLOOR[other] < FLOOR[room], f"{name_of(path)} imports {module}, which is not below it"
        assert other != "simulator" or room == other or FLOOR[room] >= STARTS_SIMULATORS


def test_every_room_has_a_floor_and_every_floor_its_rooms() -> None:
    assert {room_of(module_of(path)) for path in PYTHON + CYTHON} == set(FLOOR)


def test_no_module_comes_along_with_itself() -> None:
    assert [module for module in all_imports() if module in reach(module)] == []


@pytest.mark.parametrize("path", [p for p in PYTHON if in_simulator(module_of(p))], ids=name_of)
def test_the_simulator_imports_nothing_of_the_instrument(path: Path) -> None:
    assert all(in_simulator(module) for module in imports_of(path))


@pytest.mark.parametrize(("leg", "other"), [(READING, MEASURING), (MEASURING, READING)], ids=["reading", "measuring"])
def test_the_two_legs_know_nothing_of_each_other(leg: set[str], other: set[str]) -> None:
    for module in (m for m in all_imports() if room_of(m) in leg):
        strangers = {m for m in reach(module) if room_of(m) in other}
        assert not strangers, f"{module} brings in {', '.join(sorted(strangers))}"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_file_is_short_enough_to_be_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", PYTHON + CYTHON, ids=name_of)
def test_a_module_says_what_it_is(path: Path) -> None:
    if path.suffix == ".py":
        assert ast.get_docstring(ast.parse(path.read_text()))
    else:
        assert re.match(r'(#.*\n|\s)*"""\S', path.read_text())


def test_the_core_and_the_model_name_the_same_signals() -> None:
    assert {signal.name: signal.value for signal in Signal} == SIGNAL_BITS
    assert CONTENT_BITS == CONTENT


def test_the_core_gives_each_signal_its_number_in_one_place() -> None:
    numbered = re.compile(r"\b(LENS_SIGNAL_\w+|\w+_BITS?) *= *\(?(0x)?\d")
    assert [path.name for path in SOURCES if path.suffix != ".py" and numbered.search(path.read_text())] == [
        "signal_bits.h"
    ]
