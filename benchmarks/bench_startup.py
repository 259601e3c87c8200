"""Claim: `lll --help` answers within 150 ms, and `import lens` costs less than 60 ms over a bare Python.

Whole processes, from start to exit, taken in turns with `python -c pass` in the same run, which is
the baseline: no Python program can be faster. Prints one line of JSON a claim.
"""

import statistics
import subprocess
import sys
import time

from common import claim

REPEATS = 15
HELP_MS, IMPORT_MS = 150, 60
BARE, IMPORT, HELP = (["-c", "pass"], ["-c", "import lens"], ["-m", "lens", "--help"])


def run_ms(args: list[str]) -> float:
    """One process from start to exit."""
    start = time.perf_counter_ns()
    subprocess.run([sys.executable, *args], check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter_ns() - start) / 1e6


def main() -> None:
    # The first turn fills the caches of files and byte code; it is not counted.
    turns = [[run_ms(args) for args in (BARE, IMPORT, HELP)] for _ in range(REPEATS + 1)][1:]
    bare, imported, helped = (statistics.median(column) for column in zip(*turns, strict=True))
    worst = max(turn[2] for turn in turns)
    claim(
        f"lll --help within {HELP_MS} ms", helped, "ms", baseline="python -c pass", baseline_figure=bare,
        ratio=helped / bare, holds=helped < HELP_MS, also=f"the slowest of {REPEATS} took {worst:.0f} ms",
    )  # fmt: skip
    claim(
        f"import lens adds less than {IMPORT_MS} ms", imported - bare, "ms", baseline="python -c pass",
        baseline_figure=bare, ratio=imported / bare, holds=imported - bare < IMPORT_MS,
    )  # fmt: skip


if __name__ == "__main__":
    main()
