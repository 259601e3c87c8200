"""Joins what coverage.py saw of the Python lines with what gcov saw of the compiled ones.

    python tools/coverage_report.py BUILD_DIR

BUILD_DIR is where CMake built the core with LENS_CORE_COVERAGE. Cython writes the source line
before each statement's C code; a statement ran when the first instrumented C line after one of
its marks ran. Nothing is guessed: a line without C code of its own is no statement.
Prints one report over .py, .pyx, .pxd and .h; the exit code is 2 under the floor of pyproject.toml.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import coverage
from coverage import CoverageData, CoveragePlugin, FileReporter
from coverage.plugin_support import Plugins

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "src" / "lens" / "_core"
MARK = re.compile(r'^\s*/\* "([^"]+\.p(?:yx|xd))":(\d+)$')
# What follows belongs to no statement: the common way out of a function, or its end.
UNMARK = re.compile(r"^\s*/\* function exit code \*/|^}")

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
        generated = next(build_dir.rglob(module))
        parts = [statements(generated, by_name.get(next((n for n in by_name if Path(n).name == module), ""), {}))]
        parts += [{CORE / Path(n).name: lines} for n, lines in by_name.items() if (CORE / Path(n).name).suffix == ".h"]
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


def main(build_dir: Path) -> int:
    counts = core_counts(build_dir)
    if not counts:
        print(f"coverage: no .gcno files under {build_dir}; run `make coverage` first", file=sys.stderr)
        return 1

    def install(plugins: Plugins) -> None:
        plugins.add_file_tracer(CorePlugin(counts))

    cov = coverage.Coverage(config_file=str(ROOT / "pyproject.toml"), plugins=[install])
    cov.combine([str(ROOT)], keep=True)
    data: CoverageData = cov.get_data()
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
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
