"""All that stands on the page, as one tree of plain data: what the drawing code reads, and nothing else.

Text is cleaned here; how it is made safe for HTML is the page's matter (html.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from lens.metrics.definitions import METRICS
from lens.metrics.summary import Distribution, Summary
from lens.model import Record, RunInfo
from lens.pricing import PriceBook
from lens.report.facts import connection_facts
from lens.report.html.plots import dots, histograms, over_time, slice_s, steps
from lens.report.html.requests import requests
from lens.report.html.series import PHASES, Series, Source, outcomes, split
from lens.report.instrument import clock_says, error_rows, error_says
from lens.report.load_curve import by_load, knee, point_of
from lens.report.terminal import clean, dollars, number
from lens.units import NS_PER_S

# Rows of the table of figures; a row that no series has is left out.
TABLE = (
    ("TTFT", "ttft_ms"), ("TTFT from schedule", "ttft_from_schedule_ms"), ("TTFO", "ttfo_ms"),
    ("thinking", "thinking_ms"), ("ITL", "itl_ms"), ("TPOT", "tpot_ms"), ("total", "total_latency_ms"),
    ("TTFB", "ttfb_ms"), ("connect", "connect_ms"), ("longest gap", "longest_gap_ms"),
    ("tokens/s of a request", "tokens_per_second"), ("round trip", "rtt_ms"), ("client lag", "client_lag_us"),
)  # fmt: skip
COLUMNS = ("p50", "p90", "p95", "p99", "p99.9")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def page_data(sources: Sequence[Source], book: PriceBook, title: str) -> dict[str, Any]:
    """The whole page."""
    from lens._version import __version__

    found = split(sources, book)
    summaries = [series.summary() for series in found]
    step_s = slice_s(found)
    infos = [source.run.info for source in sources]
    return {
        "title": clean(title, 200),
        "version": __version__,
        "phases": list(PHASES),
        "runs": [_run(source, info) for source, info in zip(sources, infos, strict=True)],
        "series": [
            _series(series, summary, info=infos[series.source], letter=_letter(i), step_s=step_s)
            for i, (series, summary) in enumerate(zip(found, summaries, strict=True))
        ],
        "step_s": step_s,
        "span_s": max((s.span_ns for s in found), default=0) / NS_PER_S,
        "columns": list(COLUMNS),
        "table": _table(summaries),
        "histograms": histograms(found),
        "dots": dots(found),
        "requests": requests(found),
        "definitions": [
            {"name": m.name, "unit": m.unit, "formula": m.formula, "source": m.source, "better": m.better or "-"}
            for m in METRICS.values()
        ],
    }


def _letter(i: int) -> str:
    return LETTERS[i] if i < len(LETTERS) else str(i + 1)


def _run(source: Source, info: RunInfo | None) -> dict[str, Any]:
    """A file: who, where, when, with what; and the instrument's own error there."""
    facts: list[list[str]] = [["file", clean(source.name, 200)]]
    run: dict[str, Any] = {"facts": facts, "error_rows": [], "warnings": list(map(_text, source.run.warnings))}
    if info is None:
        run["error_says"] = "not known: the file has no header"
        return run
    took = "" if info.ended_ns is None else f", {number((info.ended_ns - info.started_ns) / NS_PER_S)} s"
    facts.append(["started", f"{_text(info.started_at)}{took}"])
    facts += [["target", _text(f"{t.provider} {t.model} at {t.url}")] for t in info.targets]
    if info.command:
        facts.append(["command", _text(info.command)])
    here = info.machine
    if here is not None:
        facts.append(["machine", _text(f"{here.hostname}, {here.system} {here.kernel}, {here.cpus} processors")])
        facts.append(["program", _text(f"llm-latency-lens {info.version}, Python {here.python}")])
    facts += [["label", _text(f"{name}={value}")] for name, value in info.labels.items()]
    connection = next((r for r in source.run.records if r.connection and r.connection.peer), None)
    facts += _connection(connection) if connection else []
    clock = clock_says(info)
    if clock:
        facts.append(["clock", clock])
    run["error_says"] = error_says(info)
    run["error_rows"] = [list(row) for row in error_rows(info.calibration)]
    run["warnings"] += map(_text, info.warnings)
    return run


def _connection(record: Record) -> list[list[str]]:
    wanted = {"connection": "first connection", "TLS": "TLS", "network": "network", "stamps": "stamps"}
    return [[wanted[name], _text(says)] for name, says in connection_facts(record) if name in wanted]


def _text(text: str) -> str:
    return clean(text, 600)


def _series(series: Series, summary: Summary, *, info: RunInfo | None, letter: str, step_s: float) -> dict[str, Any]:
    points = by_load([point_of(clean(name, 60), g.collector.summary()) for name, g in series.stages.items()])
    groups = [series.all, *series.by_connection.values()]
    return {
        "name": series.name,
        "letter": letter,
        "run": series.source,
        "tiles": _tiles(summary),
        "warnings": [_text(w) for w in summary.warnings if info is None or w not in info.warnings],
        "outcomes": outcomes(series),
        "time": over_time(series, step_s),
        "phases": [row for group in groups if (row := group.phase_row())],
        "connections": _connections(series),
        "stages": [point._asdict() for point in points] if len(points) > 1 else [],
        "stage_phases": [r for g in series.stages.values() if (r := g.phase_row())] if len(series.stages) > 1 else [],
        "knee": knee(points),
        "cost": _cost(series, summary),
    }


def _tiles(summary: Summary) -> dict[str, Any]:
    """Figures of the head; None where not measured."""

    def median(metric: str) -> float | None:
        found = summary.distributions.get(metric)
        return found.median if found else None

    def tail(metric: str) -> list[Any]:
        found = summary.distributions.get(metric)
        if found is None:
            return []
        return next(([p, found.percentiles[p]] for p in ("p99", "p95") if p in found.percentiles), ["max", found.max])

    return {
        "requests": summary.requests,
        "failed": summary.requests - summary.successes,
        "retries": summary.retries,
        "window_s": summary.window_s,
        "ttft": median("ttft_ms"), "ttft_tail": tail("ttft_ms"),
        "itl": median("itl_ms"), "itl_tail": tail("itl_ms"),
        "total": median("total_latency_ms"), "total_tail": tail("total_latency_ms"),
        "tokens_per_second": summary.output_tokens_per_second,
        "request_speed": median("tokens_per_second"),
        "requests_per_second": summary.requests_per_second,
        "open": summary.concurrency_mean,
        "goodput": summary.goodput_rps,
        "good": summary.good,
        "slos": list(summary.slos),
        "input_tokens": summary.input_tokens,
        "output_tokens": summary.output_tokens,
        "cost": None if summary.total_cost is None else dollars(summary.total_cost),
        "cost_each": None if summary.cost_per_request is None else dollars(summary.cost_per_request),
    }  # fmt: skip


def _table(summaries: Sequence[Summary]) -> list[dict[str, Any]]:
    """The metrics that any series has, each with a row a series."""
    rows = []
    for label, metric in TABLE:
        found = [s.distributions.get(metric) for s in summaries]
        if not any(found) or (metric == "ttfo_ms" and not any("thinking_ms" in s.distributions for s in summaries)):
            continue
        known = METRICS[metric]
        row = {"label": label, "metric": metric, "unit": known.unit, "formula": known.formula, "better": known.better}
        rows.append({**row, "series": [_described(d) for d in found]})
    return rows


def _described(found: Distribution | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "n": found.n, "min": found.min, "max": found.max, "mean": found.mean, "std_dev": found.std_dev,
        "percentiles": {name: found.percentiles[name] for name in COLUMNS if name in found.percentiles},
        "needs": {name: found.needs[name] for name in COLUMNS if name in found.needs},
        "sure": {name: [i.low, i.high, i.level, i.batch] for name, i in found.intervals.items()},
    }  # fmt: skip


def _connections(series: Series) -> dict[str, Any] | None:
    """Cold against warm; only where both were measured."""
    import numpy as np

    cold, warm = series.values_by_connection[False], series.values_by_connection[True]
    if not len(cold) or not len(warm):
        return None
    found = {}
    for name, values, group in (
        ("new", cold, series.by_connection[False]),
        ("reused", warm, series.by_connection[True]),
    ):
        summary = group.collector.summary()
        metrics = ("ttft_ms", "ttft_from_send_ms", "connect_ms", "total_latency_ms")
        found[name] = {
            "cdf": steps(np.sort(np.frombuffer(values, dtype=np.float64))),
            "n": len(values),
            "medians": {m: d.median for m in metrics if (d := summary.distributions.get(m))},
        }
    return found


def _cost(series: Series, summary: Summary) -> dict[str, Any] | None:
    """Money as exact text, and as shares for the drawing; None when nothing is known to say."""
    parts = {"input": Decimal(0), "output": Decimal(0), "thinking": Decimal(0)}
    sources: dict[str, int] = {}
    for record in series.records:
        cost = series.book.cost(record)
        if cost.total_cost is None:
            continue
        sources[cost.source or "unknown"] = sources.get(cost.source or "unknown", 0) + 1
        parts["input"] += cost.input_cost or 0
        parts["output"] += (cost.output_cost or 0) - (cost.thinking_cost or 0)
        parts["thinking"] += cost.thinking_cost or 0
    if summary.total_cost is None:
        return {"reason": _text(summary.unpriced_reason)} if summary.unpriced_reason else None
    millions = Decimal(summary.output_tokens or 0) / 1_000_000
    return {
        "total": dollars(summary.total_cost),
        "each": dollars(summary.cost_per_request),
        "per_million": dollars(_cents(summary.total_cost / millions)) if millions else None,
        "parts": [[name, dollars(amount), float(amount)] for name, amount in parts.items() if amount],
        "unpriced": summary.unpriced,
        "reason": _text(summary.unpriced_reason or ""),
        "sources": [f"{_text(name)} ({n:,})" for name, n in sources.items()],
    }


def _cents(amount: Decimal) -> Decimal:
    """A quotient has no last digit; four places of a dollar are enough for a rate."""
    return amount.quantize(Decimal("0.0001"))
