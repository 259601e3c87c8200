"""Copies the installed package with probes among its statements, so that tests can tell which lines they run.

    python tools/count_lines.py FOLDER

FOLDER/site, first on the path, holds the package: the same sources, each beside its compiled form with probes, which
Python takes unchecked. A probe sets one byte (tools/counters/ran_lines.py): all other code runs at its own speed, and a
process needs nothing to begin counting or to end. FOLDER/lines.json says which lines each probe speaks for.
"""

from __future__ import annotations

import ast
import json
import marshal
import shutil
import sys
from collections.abc import Iterator
from importlib.util import MAGIC_NUMBER, cache_from_source, find_spec, source_hash
from pathlib import Path

from _pytest.assertion.rewrite import PYC_TAIL

COUNTERS = Path(__file__).resolve().parent / "counters"
sys.path.append(str(COUNTERS))
from ran_lines import SIZE  # noqa: E402

# PEP 552: the hash of the source is kept; Python need not compare it, pytest does.
UNCHECKED, CHECKED = (flags.to_bytes(4, "little") for flags in (1, 3))
FIRST = ast.parse("from ran_lines import ran as __ran__").body[0]


class Probes:
    """Numbers the probes of all files through; `lines` are those that each of them speaks for."""

    def __init__(self) -> None:
        self.lines: list[list[int]] = []

    def put_into(self, tree: ast.Module) -> None:
        """Put probes into a module."""
        for node in list(ast.walk(tree)):
            for statements in blocks(node):
                self._put_into_block(statements, header_lines(node), is_left_early=is_left_early(node))
        place = next((i for i, s in enumerate(tree.body) if not is_head(s)), len(tree.body))
        tree.body.insert(place, ast.copy_location(FIRST, tree.body[place - 1]) if tree.body else FIRST)

    def _put_into_block(self, statements: list[ast.stmt], header: list[int], *, is_left_early: bool) -> None:
        """Put a probe before the last of each row of statements that run one after the other.

        It speaks for all of them, the first for the block's header too. A row that an exception leaves did not run;
        where exceptions are awaited each statement is a row.
        """
        counted: list[ast.stmt] = []
        lines, last = header, next((one for one in reversed(statements) if not is_head(one)), None)
        for statement in statements:
            if not is_head(statement):
                lines = [*lines, *own_lines(statement)]
                if is_left_early or statement is last or ends_row(statement):
                    counted.append(self._probe(statement, lines))
                    lines = []
            counted.append(statement)
        statements[:] = counted

    def _probe(self, statement: ast.stmt, lines: list[int]) -> ast.stmt:
        self.lines.append(lines)
        return ast.fix_missing_locations(ast.copy_location(probe(len(self.lines) - 1), statement))


def own_lines(statement: ast.stmt) -> list[int]:
    """Return the line that a statement begins on, and those of its decorators."""
    return [*[d.lineno for d in getattr(statement, "decorator_list", ())], statement.lineno]


def is_left_early(node: ast.AST) -> bool:
    """Tell whether exceptions are awaited in the blocks of a statement."""
    return isinstance(node, ast.Try | ast.TryStar | ast.With | ast.AsyncWith)


def ends_row(statement: ast.stmt) -> bool:
    """Tell whether what follows a statement may not run after it: it has blocks, leaves, or hands over meanwhile."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return False
    leaves = ast.Return | ast.Raise | ast.Continue | ast.Break
    if isinstance(statement, leaves) or next(blocks(statement), None) or isinstance(statement, ast.Match):
        return True
    return any(isinstance(node, ast.Yield | ast.YieldFrom | ast.Await) for node in ast.walk(statement))


def probe(number: int) -> ast.stmt:
    """Return the statement that sets the byte of this number."""
    return ast.parse(f"__ran__[{number}] = 1").body[0]


def blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """Yield each list of statements in a node."""
    for name in ("body", "orelse", "finalbody"):
        found = getattr(node, name, None)
        if isinstance(found, list) and found:
            yield found


def header_lines(node: ast.AST) -> list[int]:
    """Return the lines that run just before a block and have no probe of their own."""
    if isinstance(node, ast.Module):
        return [s.lineno for s in node.body if isinstance(s, ast.ImportFrom) and is_head(s)]
    if isinstance(node, ast.ExceptHandler):
        return [node.lineno]
    return [node.pattern.lineno] if isinstance(node, ast.match_case) else []


def is_head(statement: ast.stmt) -> bool:
    """Tell whether nothing may come before a statement: a docstring, or an import from the future."""
    if isinstance(statement, ast.ImportFrom):
        return statement.module == "__future__"
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def write_compiled(path: Path, tree: ast.Module) -> None:
    """Write the compiled form of a source for Python, and for pytest, which loads packages with plugins itself."""
    code = marshal.dumps(compile(tree, path, "exec", dont_inherit=True))
    compiled, source = Path(cache_from_source(str(path))), source_hash(path.read_bytes())
    compiled.parent.mkdir(exist_ok=True)
    compiled.write_bytes(MAGIC_NUMBER + UNCHECKED + source + code)
    compiled.with_name(path.stem + PYC_TAIL).write_bytes(MAGIC_NUMBER + CHECKED + source + code)


def main(folder: Path) -> None:
    spec = find_spec("lens")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    package, site = Path(spec.submodule_search_locations[0]), folder / "site"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "ran").mkdir(parents=True)
    shutil.copytree(package, site / "lens", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(COUNTERS / "ran_lines.py", site)
    probes = Probes()
    numbers: dict[str, tuple[int, int]] = {}
    for path in sorted((site / "lens").rglob("*.py")):
        first, tree = len(probes.lines), ast.parse(path.read_bytes(), path)
        probes.put_into(tree)
        numbers[str(path.relative_to(site / "lens"))] = first, len(probes.lines)
        write_compiled(path, tree)
    assert len(probes.lines) <= SIZE, f"{len(probes.lines)} statements; ran_lines.py has a place for {SIZE}"
    lines = {name: probes.lines[first:end] for name, (first, end) in numbers.items()}
    (folder / "lines.json").write_text(json.dumps(lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
