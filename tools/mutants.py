"""Breaks a few lines on purpose, one at a time, and sees whether the tests notice: python tools/mutants.py [NAME...]

Each mutant is a copy of src/ with one line changed; a changed module of the core is compiled anew. The tests
named beside it must fail. Exit code 1 when a mutant lives. Needs the development environment, and a C compiler.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
CORE = ("tape", "signals", "frames", "stream", "reactor")
LONGEST_S = 300


class Mutant(NamedTuple):
    """One lie that the tests must find out."""

    name: str
    file: str  # under src/lens
    old: str
    new: str
    tests: str


MUTANTS = (
    Mutant("a stamp is that of the read, not of the arrival", "_core/reactor.pyx",
        "reactor.c_arrival(stream, real, seen, stepped), seen)", "seen, seen)", "tests/core/test_core_reactor.py"),
    Mutant("a stamp is taken after parsing", "_core/frames.pyx",
        "at.arrived, at.seen, at.read = arrived, seen,", "at.arrived, at.seen, at.read = seen, seen,", "tests/core"),
    Mutant("an empty content counts as a token", "metrics/timeline.py",
        "        if signals & mask and chars:", "        if signals & mask:", "tests/metrics"),
    Mutant("a role-only chunk is the first token", "metrics/timeline.py",
        "        if signals & mask and chars:", "        if True:", "tests/metrics"),
    Mutant("a comment is data", "_core/sse.h", "*line == ':'", "*line == '\\1'", "tests/core"),
    Mutant("a percentile is one rank too low", "metrics/distribution.py",
        "ordered[max(rank, 1) - 1]", "ordered[max(rank, 2) - 2]", "tests/metrics"),
    Mutant("cached tokens cost what others cost", "pricing/rates.py",
        "cached * _first(rates.cached, plain_rate)", "cached * plain_rate", "tests/test_pricing.py"),
    Mutant("a late start is moved to look punctual", "orchestrator/engine.py",
        "slot = self.plan.slot(self._begin(), stage, zero + offset, warmup=warmup)",
        "slot = self.plan.slot(self._begin(), stage, now_ns(), warmup=warmup)", "tests/orchestrator"),
    Mutant("certificates are not verified", "transport/tls.py",
        "    if insecure:", "    if True:", "tests/faults tests/transport"),
    Mutant("a key shows in a repr", "wire.py", 'return "Secret(***)"', "return self._value", "tests/test_profiler.py"),
    Mutant("a truncated stream is a success", "providers/outcomes.py",
        'return "truncated", truncation(exchange)', 'return "success", None', "tests/providers tests/faults"),
    Mutant("warm-up counts", "metrics/summary.py", "if record.warmup:", "if False:", "tests/metrics"),
)  # fmt: skip


def build(place: Path) -> None:
    """The core's modules that read and cut, from the sources in `place`."""
    for module in CORE:
        source, made = place / "lens" / "_core" / f"{module}.pyx", place / f"{module}.c"
        run([sys.executable, "-m", "cython", "-3", "-I", place, source, "-o", made])
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        includes = [f"-I{sysconfig.get_path('include')}", f"-I{place / 'lens' / '_core'}"]
        target = source.with_name(f"{module}{suffix}")
        run([shutil.which("cc") or "gcc", "-O1", "-shared", "-fPIC", "-w", *includes, made, "-o", target])


def run(command: list) -> None:
    subprocess.run(list(map(str, command)), check=True, capture_output=True)


def lives(mutant: Mutant) -> str | None:
    """Why the mutant was not found, None when it was."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        shutil.copytree(ROOT / "src" / "lens", place / "lens", ignore=shutil.ignore_patterns("__pycache__"))
        for built in core_of_this_environment():
            shutil.copy(built, place / "lens" / "_core")
        path = place / "lens" / mutant.file
        text = path.read_text()
        if mutant.old not in text:
            return f"its line is gone: {mutant.old}"
        path.write_text(text.replace(mutant.old, mutant.new))
        if mutant.file.startswith("_core/"):
            build(place)
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mutant.tests.split()]
        env = {**os.environ, "PYTHONPATH": str(place)}
        done = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=LONGEST_S, check=False
        )
        return None if done.returncode == 1 else f"the tests passed (exit code {done.returncode})"


def core_of_this_environment() -> list[Path]:
    """The compiled modules, wherever `import lens` finds them."""
    code = "import lens._core, os; print(os.path.dirname(lens._core.__file__))"
    folder = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    return sorted(Path(folder).glob("*.so"))


def main(names: list[str]) -> int:
    alive = 0
    for mutant in MUTANTS:
        if names and not any(name in mutant.name for name in names):
            continue
        why = lives(mutant)
        alive += why is not None
        print(f"{'ALIVE' if why else 'found':6} {mutant.name}{': ' + why if why else ''}", flush=True)
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
