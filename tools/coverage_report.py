"""Joins what the probes saw of the Python lines (tools/count_lines.py) with what gcov saw of the compiled ones.

    python tools/coverage_report.py COUNTED BUILD_DIR

COUNTED is the folder of the copy with probes; BUILD_DIR is where CMake built the core with LENS_CORE_COVERAGE. Cython
writes the source line before each statement's C code; a statement ran when the first instrumented C line after one of
its marks ran. Nothing is guessed: a line without C code of its own is no statement.
Prints one report over .py, .pyx, .pxd and .h; the exit code is 2 under the floor of pyproject.toml, and 3 where
a module has no test file that runs OWN_SHARE of it alone: what only passes by is not tested.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path

import coverage
from coverage import CoverageData, CoveragePlugin, FileReporter
from coverage.plugin_support import Plugins

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "src" / "lens" / "_core"
MARK = re.compile(r'^\s*/\* "([^"]+\.p(?:yx|xd))":(\d+)$')
# What follows belongs to no statement: the common way out of a function, or its end.
UNMARK = re.compile(r"^\s*/\* function exit code \*/|^}")

# Of the lines in a module's functions, by the one test file that runs the most of them.
OWN_SHARE = 0.75
# Half of it runs in Ray's processes, which are killed before they can say what they ran; no Ray for some Pythons.
LESS = {"orchestrator/workers/ray.py": 0.6 if find_spec("ray") else 0.0}

# (source file, line) -> how often it ran
Counts = dict[Path, dict[int, int]]


def gcov_counts(notes: Path) -> dict[str, dict[int, int]]:
    """Source name -> C line -> count, of one object; all zero when it was never loaded."""
    done = subprocess.run(
        ["gcov", "--json-format", "--stdout", str(notes)], capture_output=True, text=True, check=True, cwd=notes.parent
    )
    counts: dict[str, dict[int, int]] = {}
    for file in json.loads(done.stdout)["files"]:
        lines: dict[int, int] = defaultdict(int)
        for line in file["lines"]:
            lines[line["line_number"]] += line["count"]
        counts[file["file"]] = lines
    return counts


def statements(c_source: Path, c_counts: dict[int, int]) -> Counts:
    """Counts of the Cython statements in a generated C file."""
    found: Counts = defaultdict(dict)
    mark: tuple[Path, int] | None = None
    for number, text in enumerate(c_source.read_text().splitlines(), 1):
        if match := MARK.match(text):
            mark = CORE / Path(match[1]).name, int(match[2])
        elif UNMARK.match(text):
            mark = None
        elif mark and number in c_counts:
            path, line = mark
            found[path][line] = max(found[path].get(line, 0), c_counts[number])
            mark = None
    return found


def core_counts(build_dir: Path) -> Counts:
    """Counts of every source line of the core, over all its modules."""
    total: Counts = defaultdict(dict)
    for notes in sorted(build_dir.rglob("*.gcno")):
        by_name = gcov_counts(notes)
        module = Path(notes.name).name.removesuffix(".gcno").removesuffix(".c") + ".c"
        parts = [{CORE / Path(n).name: lines} for n, lines in by_name.items() if Path(n).suffix in {".h", ".c"}]
        if not (CORE / module).is_file():  # it was made by Cython
            generated = next(build_dir.rglob(module))
            parts += [statements(generated, by_name.get(next((n for n in by_name if Path(n).name == module), ""), {}))]
        for part in parts:
            for path, lines in part.items():
                if path.is_file():
                    for line, count in lines.items():
                        total[path][line] = max(total[path].get(line, 0), count)
    return total


class CoreReporter(FileReporter):
    """Tells coverage.py which lines of a compiled source are statements."""

    def __init__(self, path: str, counts: dict[int, int]) -> None:
        super().__init__(path)
        self.counts = counts

    def lines(self) -> set[int]:
        return set(self.counts)


class CorePlugin(CoveragePlugin):
    """Reports the compiled sources; their counts come from gcov, not from tracing."""

    def __init__(self, counts: Counts) -> None:
        self.counts = counts

    def file_tracer(self, filename: str) -> None:
        return None

    def file_reporter(self, filename: str) -> CoreReporter:
        return CoreReporter(filename, self.counts[Path(filename)])


def python_lines(counted: Path) -> dict[str, dict[str, set[int]]]:
    """Test file -> module -> lines that ran."""
    lines: dict[str, list[list[int]]] = json.loads((counted / "lines.json").read_text())
    found: dict[str, dict[str, set[int]]] = {}
    for file in sorted((counted / "ran").iterdir()):
        ran = iter(file.read_bytes())
        found[file.name] = {
            str(ROOT / "src" / "lens" / module): {line for probe in probes if next(ran) for line in probe}
            for module, probes in lines.items()
        }
    return found


def function_lines(path: str) -> set[int]:
    """Lines inside functions: the others run when the module is imported, by whomever."""
    functions = [
        n for n in ast.walk(ast.parse(Path(path).read_text())) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return {line for f in functions for line in range(f.body[0].lineno, (f.end_lineno or f.lineno) + 1)}


def own_tests(cov: coverage.Coverage) -> list[tuple[float, str, str]]:
    """(share, module, test file) of each Python module, the least first: which test file runs the most of it."""
    found = []
    for path in sorted(cov.get_data().measured_files()):
        statements = function_lines(path) & set(cov.analysis2(path)[1]) if path.endswith(".py") else set()
        if not statements:
            continue
        ran: dict[str, set[int]] = defaultdict(set)
        for line, names in cov.get_data().contexts_by_lineno(path).items():
            for name in names:
                ran[name].add(line)
        share, test = max(
            ((len(lines & statements) / len(statements), name) for name, lines in ran.items()), default=(0, "")
        )
        found.append((share, str(Path(path).relative_to(ROOT / "src" / "lens")), test))
    return sorted(found)


def main(counted: Path, build_dir: Path) -> int:
    counts = core_counts(build_dir)
    if not counts:
        print(f"coverage: no .gcno files under {build_dir}; run `make sanitize` first", file=sys.stderr)
        return 1

    def install(plugins: Plugins) -> None:
        plugins.add_file_tracer(CorePlugin(counts))

    cov = coverage.Coverage(data_file=None, config_file=str(ROOT / "pyproject.toml"), plugins=[install])
    data: CoverageData = cov.get_data()
    for test, modules in python_lines(counted).items():
        data.set_context(test)
        data.add_lines(modules)
    data.set_context(None)
    data.add_lines({str(path): [n for n, count in lines.items() if count] for path, lines in counts.items()})
    plugin = f"{None}.{CorePlugin.__name__}"
    data.add_file_tracers({str(path): plugin for path in counts})
    percent = cov.report()
    compiled = [count for lines in counts.values() for count in lines.values()]
    print(f"compiled lines: {sum(map(bool, compiled))} of {len(compiled)} ran")
    floor = float(cov.get_option("report:fail_under") or 0)
    if percent < floor:
        print(f"coverage: {percent:.1f} % of src is under the floor of {floor:.0f} %", file=sys.stderr)
        return 2
    own = own_tests(cov)
    print(f"least covered by a test file of its own: {own[0][1]}, {own[0][0]:.0%} by {own[0][2] or 'none'}")
    alone = [
        f"coverage: {module}: no test file runs more than {share:.0%} of it ({test or 'none'})"
        for share, module, test in own
        if share < LESS.get(module, OWN_SHARE)
    ]
    print("\n".join(alone), file=sys.stderr)
    return 3 if alone else 0


if __name__ == "__main__":
    sys.exit(main(*(Path(name).resolve() for name in sys.argv[1:])))
