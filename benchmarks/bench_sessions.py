"""Claim: with 500 sessions of 6 turns at a time on one core, each turn begins within 2 ms (p99) of its time.

The time of a turn is the last byte of the answer before it, as the kernel stamped it, plus the pause of a person; so
the error holds all that this client needs in between: to read the answer, to write the history, and to wake. Client on
the first core, simulator on the last, whose own lateness is the baseline. Pauses are exponential with a mean of one
second, answers have ten tokens 20 ms apart. Sessions start within two seconds and last longer than that, so that all of
them go on at a time. Prints one line of JSON.
"""

import json
import sys

from common import claim, cpu_s, last_core, percentile, pinned

SESSIONS, TURNS = 500, 6
START_PER_S = 250.0
MOST_US = 2000


def measured(url: str) -> dict:
    import trio

    from lens.config.settings import LoadConfig, RunConfig, SessionConfig, TargetConfig
    from lens.orchestrator.engine import run_plan
    from lens.orchestrator.plan import make_plan

    target = TargetConfig(provider="simulator", model="bench", base_url=f"{url}/v1", proxy="")
    load = LoadConfig(iterations=SESSIONS, seed=1)
    sessions = SessionConfig(rate_per_s=START_PER_S, turns=str(TURNS), turn_tokens="50", think="1s:exp")
    plan = make_plan(RunConfig(targets=(target,), load=load, sessions=sessions), {})
    records: list = []
    before_s = cpu_s()
    trio.run(lambda: run_plan(plan, on_record=records.append))
    errors = [(record.stamps.start - record.stamps.intended) / 1e3 for record in records]
    return {
        "at_a_time": most_at_a_time(records),
        "p50_us": percentile(errors, 50),
        "p99_us": percentile(errors, 99),
        "max_us": max(errors),
        "turns": len(records),
        "failed": sum(record.status != "Success" for record in records),
        "cpu_ms": 1e3 * (cpu_s() - before_s) / len(records),
        "took_s": (max(r.stamps.end for r in records) - min(r.stamps.start for r in records)) / 1e9,
    }


def most_at_a_time(records: list) -> int:
    """The most sessions that had begun and not ended."""
    spans: dict[str, list[int]] = {}
    for record in records:
        span = spans.setdefault(record.session.session_id, [record.stamps.start, record.stamps.end])
        span[:] = min(span[0], record.stamps.start), max(span[1], record.stamps.end)
    level = most = 0
    for _, step in sorted([(begin, 1) for begin, _ in spans.values()] + [(end, -1) for _, end in spans.values()]):
        level += step
        most = max(most, level)
    return most


def main() -> None:
    from lens.simulator import Script, start

    script = Script(ttft_ns=50_000_000, itl_ns=20_000_000, tokens=10)
    with start(script, cpu=last_core()) as server:
        found = pinned([sys.executable, __file__, server.url])
        late_us = server.stats()["late_p99_us"]
    claim(
        f"a turn begins after its time by (p99), {SESSIONS} sessions of {TURNS} turns at a time on one core",
        found["p99_us"],
        "us",
        baseline="the simulator's writes after theirs",
        baseline_figure=late_us,
        ratio=late_us / found["p99_us"],
        holds=found["p99_us"] <= MOST_US and not found["failed"] and found["turns"] == SESSIONS * TURNS,
        also=f"p50 {found['p50_us']:.0f} us, max {found['max_us']:.0f} us; up to {found['at_a_time']} at a time, "
        f"{found['turns']:,} turns in {found['took_s']:.1f} s, {found['cpu_ms']:.2f} ms of CPU each",
    )


if __name__ == "__main__":
    if len(sys.argv) == 2:
        print(json.dumps(measured(sys.argv[1])))
    else:
        main()
