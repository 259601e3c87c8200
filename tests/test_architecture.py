"""The house keeps its floors: who may import whom, read from the sources themselves.

Every import counts, also one inside a function or under TYPE_CHECKING. A room that is not
in FLOOR is a failure, so that a new one is placed on purpose.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from lens.model import CONTENT, Signal

SRC = Path(__file__).parent.parent / "src" / "lens"
MOST_LINES = 400

# Room -> floor. A room imports from lower floors or from itself. The package itself and
# `python -m lens` only open doors, so they stand on top; the simulator
# stands apart, and only what starts one (the floors above 4) may import it.
FLOOR = {
    "__init__": 8, "__main__": 8,
    "cli": 7,
    "monitor": 6, "calibration": 6, "integrations": 6, "searching": 6,
    "profiler": 5, "spending": 5, "until": 5,
    "orchestrator": 4, "analysis": 4, "export": 4,
    "providers": 3, "transport": 3, "metrics": 3,
    "config": 2, "config_file": 2, "plugins": 2, "pricing": 2, "tokenizers": 2, "journal": 3, "history": 2,
    "errors": 1, "wire": 1,
    "_core": 0, "model": 0, "parsing": 0, "units": 0,
}  # fmt: skip
# One room in two files.
NEIGHBOURS = {("config", "config_file"), ("config_file", "config")}
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


def only_the_version(path: Path) -> bool:
    """Whether a file wants nothing of the package itself but its version, which any room may print."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = {n.attr for n in nodes if isinstance(n, ast.Attribute) and getattr(n.value, "id", "") == "lens"}
    names |= {a.name for n in nodes if isinstance(n, ast.ImportFrom) and n.module == "lens" for a in n.names}
    return all(name == "__version__" or exists(f"lens.{name}") for name in names)


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
    return {m for m in found if m.split(".")[0] == "lens"} - ({"lens"} if only_the_version(path) else set())


IMPORTS = {module_of(path): imports_of(path) for path in PYTHON + CYTHON}


def reach(start: str) -> set[str]:
    """Every module of lens that comes along with one, over any number of imports."""
    seen: set[str] = set()
    todo = [start]
    while todo:
        for module in IMPORTS.get(todo.pop(), ()):
            if module not in seen and module != "lens":
                seen.add(module)
                todo.append(module)
    return seen


def in_simulator(module: str) -> bool:
    return room_of(module) == "simulator"


@pytest.mark.parametrize("path", PYTHON + CYTHON, ids=name_of)
def test_a_room_imports_only_from_lower_floors_or_itself(path: Path) -> None:
    room = room_of(module_of(path))
    if room == "simulator":
        return
    assert room in FLOOR, f"{name_of(path)}: room {room!r} has no floor yet; give it one here and in the design"
    for module in imports_of(path):
        other = room_of(module)
        below = other in FLOOR and FLOOR[other] < FLOOR[room]
        allowed = below or other == room or (room, other) in NEIGHBOURS or (other == "simulator" and FLOOR[room] > 4)
        assert allowed, f"{name_of(path)} imports {module}, which is not below it"


@pytest.mark.parametrize("path", [p for p in PYTHON if in_simulator(module_of(p))], ids=name_of)
def test_the_simulator_imports_nothing_of_the_instrument(path: Path) -> None:
    assert all(in_simulator(module) for module in imports_of(path))


@pytest.mark.parametrize(("leg", "other"), [(READING, MEASURING), (MEASURING, READING)], ids=["reading", "measuring"])
def test_the_two_legs_know_nothing_of_each_other(leg: set[str], other: set[str]) -> None:
    for module in (m for m in IMPORTS if room_of(m) in leg):
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
    text = (SRC / "_core" / "rules.h").read_text()
    values = dict(re.findall(r"\b([A-Z]+)_BIT = (\d+)", text))
    assert values.keys() >= {"ERROR", "DONE", "MALFORMED"}
    assert all(Signal[name] == int(value) for name, value in values.items())
    content = re.search(r"\bCONTENT_BITS = ([\d |]+)", text)
    assert content
    assert sum(map(int, content[1].split("|"))) == CONTENT
