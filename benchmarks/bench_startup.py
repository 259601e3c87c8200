"""Claim: `lll --help` answers within 150 ms, and `import lens` costs less than 60 ms over a bare Python.

And: `lll profile` of a short answer, its page included, takes less than 20 times as long as a bare Python.

Whole processes, from start to exit, taken in turns with `python -c pass` in the same run, which is
the baseline: no Python program can be faster. Their modules are compiled by the first turn, as they are by
an installation. Prints one line of JSON a claim.
"""

import os
import statistics
import subprocess
import sys
import time

from common import claim, last_core

REPEATS = 15
HELP_MS, IMPORT_MS, PROFILE_TIMES = 150, 60, 20
TOKENS = 8
BARE, IMPORT, HELP = (["-c", "pass"], ["-c", "import lens"], ["-m", "lens", "--help"])


def run_ms(args: list[str]) -> float:
    """One process from start to exit."""
    start = time.perf_counter_ns()
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run([sys.executable, *args], check=True, stdout=subprocess.DEVNULL, env=environ)
    return (time.perf_counter_ns() - start) / 1e6


def turns_of(*several: list[str]) -> list[list[float]]:
    """How long each took, in turns. The first turn fills the caches of files and byte code; it is not counted."""
    return [[run_ms(args) for args in several] for _ in range(REPEATS + 1)][1:]


def profile_turns() -> list[list[float]]:
    """Bare Python and `lll profile`, against a simulator in a process of its own."""
    from lens.simulator import Script, start

    with start(Script(ttft_ns=0, itl_ns=0, tokens=TOKENS), cpu=last_core()) as server:
        words = ["profile", "--provider", "openai", "--model", "bench", "--api-key", "none", "--proxy", ""]
        return turns_of(BARE, ["-m", "lens", *words, "--base-url", f"{server.url}/v1", "--prompt", "Say hello"])


def main() -> None:
    turns = turns_of(BARE, IMPORT, HELP)
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
    pairs = profile_turns()
    ratio = statistics.median(profiled / bare for bare, profiled in pairs)
    bare, profiled = (statistics.median(column) for column in zip(*pairs, strict=True))
    claim(
        f"lll profile of {TOKENS} tokens, with its page, within {PROFILE_TIMES} x a bare Python", profiled, "ms",
        baseline="python -c pass", baseline_figure=bare, ratio=ratio, holds=ratio < PROFILE_TIMES,
        also=f"the median of {REPEATS} pairs, one after the other",
    )  # fmt: skip


if __name__ == "__main__":
    main()
