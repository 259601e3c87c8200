"""The head of the page: what was measured, under which load, and what came of it in one line."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec

from lens.analysis.gates.checks import checks_of
from lens.analysis.gates.sla import Gate, evaluate_targets
from lens.analysis.gates.thresholds import parse_threshold
from lens.config.settings import LoadConfig
from lens.errors import LensError
from lens.history.write import KILLED, NOT_ENDED, unrecorded_says
from lens.metrics.summary import Summary
from lens.model import RunInfo
from lens.parsing import list_in, table_in
from lens.report.html.series import Source
from lens.report.terminal import clean
from lens.units import NS_PER_S


def heads(sources: Sequence[Source]) -> list[dict[str, Any]]:
    """Return of each run its targets, each with its address, and its load."""
    return [
        {
            "targets": [
                [clean(f"{target.provider} {target.model}", 160), clean(target.url, 300)]
                for target in (source.info.targets if source.info else ())
            ],
            "load": load_text(source.info) if source.info else "",
        }
        for source in sources
    ]


def load_text(info: RunInfo) -> str:
    """Return the load of a run in words; "" where its header does not say."""
    settings = info.config.get("load")
    if settings is None:
        return ""
    try:
        load = msgspec.convert(settings, LoadConfig, strict=False)
    except msgspec.ValidationError:
        return ""
    sessions = table_in(info.config, "sessions")
    rate = sessions.get("rate_per_s")
    parts = [
        _shape(load, rate if isinstance(rate, int | float) else None),
        *_limits(load, "session" if sessions else "request"),
    ]
    return clean(", ".join(part for part in parts if part), 300)


def _shape(load: LoadConfig, sessions_per_s: float | None) -> str:
    """Return the kind of load, with its numbers."""
    if sessions_per_s is not None:
        return f"open loop, {sessions_per_s:g} sessions/s"
    if load.trace is not None:
        return f"replay of {load.trace}"
    if load.search_slo:
        return f"search for the highest load that keeps {', '.join(load.search_slo)}"
    if load.sweep_concurrency:
        return f"sweep of concurrency {', '.join(map(str, load.sweep_concurrency))}"
    if load.sweep_min_per_s is not None and load.sweep_max_per_s is not None:
        return f"sweep from {load.sweep_min_per_s:g} to {load.sweep_max_per_s:g} requests/s"
    if load.idle_gaps_ns:
        return f"one request after each of {len(load.idle_gaps_ns)} idle gaps"
    if load.rate_per_s is not None:
        to = f" to {load.ramp_to_per_s:g}" if load.ramp_to_per_s is not None else ""
        return f"open loop, {load.rate_per_s:g}{to} requests/s{f', {load.arrival}' if load.arrival else ''}"
    return (
        f"{load.pattern}"
        if load.pattern not in (None, "iterations")
        else f"closed loop, {load.concurrency or 1} at a time"
    )


def _limits(load: LoadConfig, unit: str) -> list[str]:
    """Return what ends the load. unit: what is counted."""
    found = []
    if load.iterations is not None:
        found.append(f"{load.iterations:,} {unit}{'' if load.iterations == 1 else 's'}")
    if load.duration_ns is not None:
        found.append(f"{load.duration_ns / NS_PER_S:g} s")
    if load.until:
        found.append(f"until {load.until}")
    if load.workers > 1:
        found.append(f"{load.workers} processes")
    return found


def gate_lines(sources: Sequence[Source]) -> list[dict[str, str]]:
    """Return what came of the thresholds in the configuration of each run: a line each that was not kept."""
    lines = []
    for source in sources:
        gates = _gates(source.info)
        results = evaluate_targets(gates, source.table.measured()) if gates and len(source.table) else ()
        of = f"{source.name}: " if len(sources) > 1 else ""
        checks = checks_of(results, None)
        failed = [one for one in checks if one.state != "passed"]
        lines += [{"level": "bad", "says": f"{of}threshold not met: {one.name}: {one.says}"} for one in failed]
        if checks and not failed:
            lines.append({"level": "good", "says": f"{of}thresholds met: {', '.join(one.name for one in checks)}"})
    return [line | {"says": clean(line["says"], 600)} for line in lines]


def _gates(info: RunInfo | None) -> list[Gate]:
    """Return the thresholds of a run's configuration that this version can read."""
    found = []
    for text in list_in(info.config, "thresholds") if info else ():
        with suppress(LensError):
            found.append(Gate(threshold=parse_threshold(str(text))))
    return found


def killed_lines(sources: Sequence[Source]) -> list[dict[str, str]]:
    """Return a line of each run that was killed: requests that were open then are in no figure."""
    lines = []
    for source in sources:
        info = source.info
        if info is not None and info.stopped_by in (KILLED, NOT_ENDED):
            of = f"{source.name}: " if len(sources) > 1 else ""
            ended = NOT_ENDED if info.stopped_by == NOT_ENDED else "this run was killed"
            lines.append({"level": "warn", "says": clean(f"{of}{ended}{unrecorded_says(info.unrecorded)}", 600)})
    return lines


def verdict(
    summaries: Sequence[Summary],
    compared: Sequence[dict[str, Any]],
    gates: Sequence[dict[str, str]] = (),
    killed: Sequence[dict[str, str]] = (),
) -> list[dict[str, str]]:
    """Return what came of it, a line each with its level: good, warn or bad; what matters most first.

    Its thresholds (of `gate_lines`); of several series how they differ from the first; that a run was `killed` (of
    `killed_lines`); how the requests ended.
    """
    lines = [*gates, *[{"level": _level(one), "says": one["says"]} for one in compared]]
    failed = sum(summary.requests - summary.successes for summary in summaries)
    asked = sum(summary.requests for summary in summaries)
    lines += killed
    if asked:
        kinds: dict[str, int] = {}
        for summary in summaries:
            for category, count in summary.by_category.items():
                kinds[category] = kinds.get(category, 0) + (count if category != "success" else 0)
        why = ", ".join(f"{count:,} {category}" for category, count in kinds.items() if count)
        cut = sum(summary.interrupted for summary in summaries)
        says = f"{failed:,} of {asked:,} requests failed: {why}" if failed else _all_succeeded(asked, cut or killed)
        says += f"; {cut:,} {'was' if cut == 1 else 'were'} interrupted" if cut else ""
        empty = _without_content(summaries)
        says += f"; {empty}" if empty else ""
        level = "bad" if failed else "warn" if cut or killed or empty else "good"
        lines.append({"level": level, "says": clean(says, 300)})
    lines += [{"level": "warn", "says": clean(note, 300)} for summary in summaries for note in summary.notes]
    return lines


def _without_content(summaries: Sequence[Summary]) -> str:
    """Return how many answers that count as successes were empty; "" where none was."""
    empty = sum(summary.without_content for summary in summaries)
    answers = sum(summary.successes for summary in summaries)
    whose = "the answer" if answers == 1 else f"{empty:,} of {answers:,} answers"
    return f"{whose} brought no text, reasoning or tool call" if empty else ""


def _all_succeeded(asked: int, cut: object) -> str:
    """Return what is said of requests of which none failed. cut: whether some did not come to their end."""
    ended = " that ended" if cut else ""
    return f"all {asked:,} requests{ended} succeeded" if asked > 1 else f"the request{ended} succeeded"


def _level(one: dict[str, Any]) -> str:
    said = {shift["verdict"] for shift in one["shifts"]}
    return "bad" if "worse" in said else "good" if "better" in said else "warn"
