"""Breaks a few lines on purpose, one at a time, and sees whether the tests notice: python tools/mutants.py [NAME...]

Each mutant is a copy of src/ with one line changed; a changed module of the core is compiled anew. The tests
named beside it must fail, and pass on a copy that is as it was. Exit code 1 when a mutant lives. Needs the
development environment, and a C compiler.
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
    Mutant("an empty content counts as a token", "metrics/builder.py",
        "!= 0) & (chars > 0))", "!= 0))", "tests/metrics"),
    Mutant("a role-only chunk is the first token", "metrics/builder.py",
        "((signals & int(CONTENT)) != 0) & (chars > 0)", "chars >= 0", "tests/metrics"),
    Mutant("a comment is data", "_core/sse.h", "*line == ':'", "*line == '\\1'", "tests/core"),
    Mutant("a percentile is one rank too low", "metrics/distribution.py",
        "ordered[max(rank, 1) - 1]", "ordered[max(rank, 2) - 2]", "tests/metrics"),
    Mutant("cached tokens cost what others cost", "pricing/rates.py",
        "_first(rates.cached, plain_rate), _first", "plain_rate, _first", "tests/pricing"),
    Mutant("a late start is moved to look punctual", "orchestrator/engine.py",
        "slot = self.plan.slot(self._begin(), stage, zero + offset, warmup=warmup)",
        "slot = self.plan.slot(self._begin(), stage, now_ns(), warmup=warmup)", "tests/orchestrator"),
    Mutant("certificates are not verified", "transport/tls.py",
        "    if insecure:", "    if True:", "tests/faults tests/transport"),
    Mutant("a key shows in a repr", "wire.py", 'return "Secret(***)"', "return self._value", "tests/test_profiler.py"),
    Mutant("a truncated stream is a success", "providers/outcomes.py",
        'return "truncated", truncation_failure(exchange)', 'return "success", None', "tests/providers tests/faults"),
    Mutant("warm-up counts", "metrics/columns.py",
        "np.flatnonzero(~self.warmup)", "np.flatnonzero(self.warmup == self.warmup)",
        "tests/metrics"),
)  # fmt: skip


def build(place: Path) -> None:
    """The core's modules that read and cut, from the sources in `place`."""
    for module in CORE:
        source, made = place / "lens" / "_core" / f"{module}.pyx", place / f"{module}.c"
        run([sys.executable, "-m", "cython", "-3", "-I", place, source, "-o", made])
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        includes = [f"-I{sysconfig.get_path('include')}", f"-I{place / 'lens' / '_core'}"]
        target = source.with_name(f"{module}{suffix}")
        sources = [made, source.with_name("crc32.c")]
        run([shutil.which("cc") or "gcc", "-O1", "-shared", "-fPIC", "-w", *includes, *sources, "-o", target])


def run(command: list) -> None:
    subprocess.run(list(map(str, command)), check=True, capture_output=True)


def passes(tests: str, mutant: Mutant | None = None) -> bool:
    """Whether the tests pass on a copy of the sources, with the mutant's line changed.

    Raises:
        LookupError: its line is gone.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        shutil.copytree(ROOT / "src" / "lens", place / "lens", ignore=shutil.ignore_patterns("__pycache__"))
        for built in core_of_this_environment():
            shutil.copy(built, place / "lens" / "_core")
        if mutant is not None:
            path = place / "lens" / mutant.file
            text = path.read_text()
            if mutant.old not in text:
                raise LookupError(mutant.old)
            path.write_text(text.replace(mutant.old, mutant.new))
        if mutant is None or mutant.file.startswith("_core/"):
            build(place)
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests.split()]
        env = {**os.environ, "PYTHONPATH": str(place)}
        done = subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=LONGEST_S, check=False
        )
        if done.returncode not in (0, 1):  # neither passed nor failed: nothing was tested
            raise LookupError(f"pytest's exit code was {done.returncode}: {done.stdout[-300:]}")
        return done.returncode == 0


def core_of_this_environment() -> list[Path]:
    """The compiled modules, wherever `import lens` finds them."""
    code = "import lens._core, os; print(os.path.dirname(lens._core.__file__))"
    folder = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    return sorted(Path(folder).glob("*.so"))


def main(names: list[str]) -> int:
    chosen = [mutant for mutant in MUTANTS if not names or any(name in mutant.name for name in names)]
    wrong = 0
    for tests in dict.fromkeys(mutant.tests for mutant in chosen):
        if not passes(tests):
            wrong += 1
            print(f"BROKEN {tests}: fails although nothing was changed", flush=True)
    for mutant in chosen:
        try:
            said = "ALIVE" if passes(mutant.tests, mutant) else "found"
        except LookupError as error:
            said = f"GONE ({error})"
        wrong += said != "found"
        print(f"{said:6} {mutant.name}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
