"""Runs every bench_*.py beside it, one after another, and prints what each claims and what it found.

    python benchmarks/run.py [NAME...]

A benchmark prints lines of JSON with claim, figure, unit, baseline, baseline_figure, ratio, holds and
also. The exit code is 1 when a claim does not hold here or a benchmark failed; the lines
themselves are kept in build/bench.jsonl. Of the benchmarks that are not run those of the last time stay there.
"""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

HERE = Path(__file__).resolve().parent
KEPT = HERE.parent / "build" / "bench.jsonl"
WIDTH = 52


def number(value: object) -> str:
    if not isinstance(value, int | float):
        return "-" if value is None else str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def results_of(path: Path) -> list[dict]:
    """What one benchmark printed; where it failed, one row that says so."""
    done = subprocess.run([sys.executable, path], stdout=subprocess.PIPE, text=True, check=False, timeout=1800)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not rows:
        rows.append({"claim": f"{path.name} failed with exit code {done.returncode}", "holds": False})
    return rows


def show(row: dict) -> None:
    first, *rest = textwrap.wrap(row["claim"], WIDTH)
    figure = f"{number(row.get('figure'))} {row.get('unit', '')}"
    baseline = f"{number(row.get('baseline_figure'))}  {row.get('baseline', '')}"
    verdict = "yes" if row.get("holds") else "NO"
    print(f"{verdict:5} {first:{WIDTH}}  {figure:>20}  {number(row.get('ratio')):>7}  {baseline}", flush=True)
    for line in rest:
        print(f"{'':5} {line}")
    if row.get("also"):
        print(f"{'':5}   {row['also']}")


def main(names: list[str]) -> int:
    paths = [p for p in sorted(HERE.glob("bench_*.py")) if not names or p.stem.removeprefix("bench_") in names]
    KEPT.parent.mkdir(exist_ok=True)
    print(f"{'holds':5} {'claim':{WIDTH}}  {'figure':>20}  {'ratio':>7}  baseline in the same run")
    rows = [json.loads(line) for line in KEPT.read_text().splitlines()] if names and KEPT.is_file() else []
    good = bool(paths)
    for path in paths:
        rows = [row for row in rows if row["benchmark"] != path.stem]
        for row in results_of(path):
            show(row)
            rows.append({"benchmark": path.stem, **row})
            good &= bool(row.get("holds"))
        KEPT.write_text("".join([json.dumps(row) + "\n" for row in rows]))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
