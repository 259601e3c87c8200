"""Claim: `lll --help` answers within 150 ms, and `import lens` costs less than 60 ms over a bare Python.

Whole processes, from start to exit, taken in turns with `python -c pass` in the same run, which is
the baseline: no Python program can be faster. Prints one line of JSON.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time

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
    print(
        json.dumps(
            {
                "claim": f"lll --help within {HELP_MS} ms; import lens adds less than {IMPORT_MS} ms",
                "figure": round(helped, 1),
                "unit": "ms",
                "baseline": "python -c pass",
                "baseline_figure": round(bare, 1),
                "ratio": round(helped / bare, 2),
                "holds": helped < HELP_MS and imported - bare < IMPORT_MS,
                "import_ms": round(imported - bare, 1),
                "help_worst_ms": round(max(turn[2] for turn in turns), 1),
                "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "kernel": platform.release()},
            }
        )
    )


if __name__ == "__main__":
    main()
