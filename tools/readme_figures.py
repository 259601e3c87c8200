"""Puts the figures of the last `make bench` into README.md, between its two marks.

    python tools/readme_figures.py

Nothing is typed by hand: what build/bench.jsonl does not hold is not in the README.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOUND, README = ROOT / "build" / "bench.jsonl", ROOT / "README.md"
BEGIN, END = "<!-- figures of make bench -->\n", "<!-- end of figures -->\n"
# What the README shows of bench_stamps; with more streams the simulator of a small machine falls behind.
STREAMS = (1, 200, 1000)

Rows = list[dict[str, Any]]


def many(streams: int) -> str:
    return "1 stream" if streams == 1 else f"{streams:,} streams"


def short(value: float) -> str:
    for least, digits in ((100, 0), (2, 1), (0.01, 2), (0.001, 3)):
        if abs(value) >= least:
            return f"{value:,.{digits}f}"
    return "<0.001"


def stamps(rows: Rows) -> Iterator[str]:
    yield "| token stamps, us | TTFT bias | p50 | p99 | max | p99 without kernel stamps |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        if row.get("streams") in STREAMS:
            cells = [row["ttft_bias_us"], row["p50_us"], row["figure"], row["max_us"], row["baseline_figure"]]
            name = f"{row['scheme'].upper()}, {many(row['streams'])}"
            yield f"| {name} | {' | '.join(map(short, cells))} |"


def peers(rows: Rows) -> Iterator[str]:
    """What each says less what is so, TTFT p50 / ITL p99; the first line is ours."""
    errors: dict[str, dict[tuple[str, str], float]] = {}
    for row in rows:
        what, _, at = row["claim"].partition(" is off by, at ")
        if at:
            errors.setdefault("**this instrument**", {})[what, at] = row["figure"]
            errors.setdefault(row["baseline"], {})[what, at] = row["baseline_figure"]
    columns = list(dict.fromkeys(at for _, at in errors["**this instrument**"]))
    yield f"| off by, ms: TTFT p50 / ITL p99 | {' | '.join(columns)} |"
    yield "|---" * (len(columns) + 1) + "|"
    for name, found in errors.items():
        cells = [[found.get((what, at)) for what in ("TTFT p50", "ITL p99")] for at in columns]
        said = [" / ".join(short(v) for v in pair if v is not None) or "fails" for pair in cells]
        yield f"| {name} | {' | '.join(said)} |"


def others(rows: Rows) -> Iterator[str]:
    yield "| claim | figure | baseline in the same run | ratio | holds |"
    yield "|---|---|---|---|---|"
    for row in rows:
        base = f"{short(row['baseline_figure'])} ({row['baseline']})"
        holds = "yes" if row["holds"] else "no"
        yield f"| {row['claim']} | {short(row['figure'])} {row['unit']} | {base} | {short(row['ratio'])} | {holds} |"


def page(rows: Rows) -> str:
    here = rows[0]["machine"]
    kernel = ".".join(here["kernel"].split(".")[:2])
    stamped = [row for row in rows if row["benchmark"] == "bench_stamps" and "streams" in row]
    beside = [row for row in rows if row["benchmark"] == "bench_peers" and " is off by, at " in row["claim"]]
    rest = [row for row in rows if row not in stamped and row not in beside]
    parts = [
        f"Measured by `make bench` on {here['cpus']} processors, Linux {kernel}, Python {here['python']}, server on\n"
        "the same machine. The truth is the simulator's log of its own writes.",
        "\n".join(stamps(stamped)),
        "\n".join(peers(beside)),
        "Peers read the same script in the same run (TTFT 200 ms, a token each 20 ms). In each TTFT is the way of the\n"
        "request to the server.",
        "<details><summary>All other claims</summary>",
        "\n".join(others(rest)),
        "</details>",
    ]
    return "\n\n".join(parts)


def main() -> int:
    rows = [json.loads(line) for line in FOUND.read_text().splitlines()]
    missing = {path.stem for path in (ROOT / "benchmarks").glob("bench_*.py")} - {row["benchmark"] for row in rows}
    failed = [row["claim"] for row in rows if "figure" not in row]
    if missing or failed:
        print(f"{FOUND} is not whole: {', '.join([*sorted(missing), *failed])}; run `make bench`", file=sys.stderr)
        return 1
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(f"{before}{BEGIN}\n{page(rows)}\n\n{END}{after}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
