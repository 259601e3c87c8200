"""All that stands on the page, as one tree of plain data: what the drawing code reads, and nothing else.

Text is cleaned here; how it is made safe for HTML is the page's matter (html.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from lens._version import __version__
from lens.metrics.columns import Column
from lens.metrics.definitions import METRICS
from lens.metrics.distribution import Distribution, percentile
from lens.metrics.rows import error_texts
from lens.metrics.summarize import summarize
from lens.metrics.summary import Summary
from lens.metrics.table import Table
from lens.model import RunInfo
from lens.pricing.columns import PICO, UNKNOWN, Costs
from lens.report.facts import connection_facts
from lens.report.figures import other_run_figures, rows_of
from lens.report.html.comparison import comparisons
from lens.report.html.header import gate_lines, heads, killed_lines, verdict
from lens.report.html.load_curve import by_load, knee, point_of
from lens.report.html.plots import dots, histograms, over_time, slice_s, steps
from lens.report.html.requests import requests
from lens.report.html.series import CONNECTIONS, DRAWN, Series, Source, split
from lens.report.html.sessions import sessions_on_page
from lens.report.instrument import clock_says, error_rows, error_says
from lens.report.phases import PHASES
from lens.report.terminal import clean, dollars, number
from lens.units import NS_PER_S

COLUMNS = ("p50", "p90", "p95", "p99", "p99.9")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def page_data(sources: Sequence[Source], title: str, summary: Summary | None = None) -> dict[str, Any]:
    """Return all that stands on the page. summary: of the only run, where it is known already."""
    found = split(sources)
    step_s = slice_s(found)
    summaries, drawn, values = [], [], []
    known = {number: iter(source.summaries) for number, source in enumerate(sources)}
    for i, series in enumerate(found):
        told = next(known[series.source], summary if len(found) == 1 else None)
        one = told if told is not None else summarize(series.table)
        summaries.append(one)
        drawn.append(_series(series, one, info=sources[series.source].info, letter=_letter(i), step_s=step_s))
        values.append({name: series.drawn_values(name) for name in DRAWN})
        series.forget()
    compared = comparisons(sources, found, summaries)
    return {
        "title": clean(title, 200),
        "heads": heads(sources),
        "verdict": verdict(summaries, compared, gate_lines(sources), killed_lines(sources)),
        "comparisons": compared,
        "version": __version__,
        "phases": list(PHASES),
        "runs": [_run(source) for source in sources],
        "series": drawn,
        "step_s": step_s,
        "span_s": max((s.span_ns for s in found), default=0) / NS_PER_S,
        "columns": list(COLUMNS),
        "table": _table(summaries),
        "histograms": histograms(values),
        "dots": dots(found),
        "requests": requests(found),
        "definitions": [
            {"name": m.name, "unit": m.unit, "formula": m.formula, "source": m.source, "better": m.better or "-"}
            for m in METRICS.values()
        ],
    }


def _letter(i: int) -> str:
    return LETTERS[i] if i < len(LETTERS) else str(i + 1)


def _run(source: Source) -> dict[str, Any]:
    """Return of a file who, where, when, with what; and the instrument's own error there."""
    info = source.info
    facts: list[list[str]] = [["file", clean(source.name, 200)]]
    run: dict[str, Any] = {"facts": facts, "error_rows": [], "warnings": list(map(_text, source.warnings))}
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
    facts += _connection(source.table)
    clock = clock_says(info)
    if clock:
        facts.append(["clock", clock])
    run["error_says"] = error_says(info)
    run["error_rows"] = [list(row) for row in error_rows(info.calibration)]
    run["warnings"] += map(_text, info.warnings)
    return run


def _connection(table: Table) -> list[list[str]]:
    """Return what is known of the first connection that was made."""
    connected = np.flatnonzero(table.codes("peer").codes >= 0)
    if not len(connected):
        return []
    wanted = {"connection": "first connection", "TLS": "TLS", "network": "network", "stamps": "stamps"}
    facts = connection_facts(table.record(int(connected[0])))
    return [[wanted[name], _text(says)] for name, says in facts if name in wanted]


def _text(text: str) -> str:
    return clean(text, 600)


def _series(series: Series, summary: Summary, *, info: RunInfo | None, letter: str, step_s: float) -> dict[str, Any]:
    stages = series.stages if len(series.stages) > 1 else {}
    points = by_load([point_of(clean(name, 60), series.table.take(rows)) for name, rows in stages.items()])
    return {
        "name": series.name,
        "letter": letter,
        "run": series.source,
        "tiles": _tiles(summary),
        "warnings": [_text(w) for w in summary.warnings if info is None or w not in info.warnings],
        "outcomes": _outcomes(series.table, summary),
        "span_s": series.span_ns / NS_PER_S,
        "time": over_time(series, step_s),
        "phases": series.phase_rows(),
        "connections": _connections(series),
        "stages": [point._asdict() for point in points] if len(points) > 1 else [],
        "stage_phases": series.stage_phase_rows() if stages else [],
        "knee": knee(points),
        "cost": _cost(series, summary),
        "sessions": sessions_on_page(series, summary),
    }


def _tiles(summary: Summary) -> dict[str, Any]:
    """Return the figures of the head; None where not measured."""

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
        "cost_estimated": bool(summary.estimated_costs),
        "cost_each": None if summary.cost_per_request is None else dollars(summary.cost_per_request),
        "more": [[metric.name, value, metric.unit] for metric, value in other_run_figures(summary)],
    }  # fmt: skip


def _outcomes(table: Table, summary: Summary) -> list[dict[str, Any]]:
    """Return how requests ended, most frequent first, each with one message."""
    categories = table.codes("category")
    failed = np.flatnonzero(table.codes("failure").codes >= 0)
    codes, first = np.unique(categories.codes[failed], return_index=True)
    texts = error_texts(table.take(failed[first]))
    examples = {categories.values[code]: clean(text or "", 300) for code, text in zip(codes, texts, strict=True)}
    return [
        {"category": name, "count": count, "share": count / summary.requests, "example": examples.get(name, "")}
        for name, count in summary.by_category.items()
    ]


def _table(summaries: Sequence[Summary]) -> list[dict[str, Any]]:
    """Return the metrics that any series has, each with a row a series."""
    return [
        {
            "label": label,
            "metric": metric.name,
            "unit": metric.unit,
            "formula": metric.formula,
            "better": metric.better,
            "series": [_described(summary.distributions.get(metric.name)) for summary in summaries],
        }
        for label, metric in rows_of(summaries)
    ]


def _described(found: Distribution | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "n": found.n, "min": found.min, "max": found.max, "mean": found.mean, "std_dev": found.std_dev,
        "percentiles": {name: found.percentiles[name] for name in COLUMNS if name in found.percentiles},
        "needs": {name: found.needs[name] for name in COLUMNS if name in found.needs},
        "sure": {name: [i.low, i.high, i.level, i.batch] for name, i in found.intervals.items()},
        "unsure": found.no_interval,
    }  # fmt: skip


def _connections(series: Series) -> dict[str, Any] | None:
    """Return cold against warm; None unless both were measured."""
    table = series.table
    reused = table.codes("reused")
    if any(value not in reused.used() for value in CONNECTIONS.values()):
        return None
    metrics = ("ttft_ms", "ttft_from_send_ms", "connect_ms", "total_latency_ms")
    values = {metric: table.counted(metric) for metric in metrics}
    found = {}
    for name, kept in CONNECTIONS.items():
        which = reused.equal(kept)
        ordered = {metric: np.sort(column[which & ~np.isnan(column)]) for metric, column in values.items()}
        if not len(ordered["ttft_ms"]):
            return None
        medians = {metric: percentile(column, 50) for metric, column in ordered.items() if len(column)}
        found[name] = {"cdf": steps(ordered["ttft_ms"]), "n": len(ordered["ttft_ms"]), "medians": medians}
    return found


def _cost(series: Series, summary: Summary) -> dict[str, Any] | None:
    """Return money as exact text, and as shares for the drawing; None when nothing is known to say."""
    if summary.total_cost is None:
        reason = summary.unpriced_reason
        return {"reason": _text(reason), "unpriced": summary.unpriced} if reason else None
    costs = series.table.costs
    thinking = _sum(costs, "thinking_cost")
    parts = {
        "input": _sum(costs, "input_cost"),
        "output": _sum(costs, "output_cost") - thinking,
        "thinking": thinking,
    }
    millions = Decimal(summary.output_tokens or 0) / 1_000_000
    return {
        "total": dollars(summary.total_cost),
        "each": dollars(summary.cost_per_request),
        "per_million": dollars(_cents(summary.total_cost / millions)) if millions else None,
        "parts": [[name, dollars(amount), float(amount)] for name, amount in parts.items() if amount],
        "unpriced": summary.unpriced,
        "reason": _text(summary.unpriced_reason or ""),
        "sources": [*[f"{_text(name)} ({n:,})" for name, n in costs.sources.items()], *_cost_notes(summary, costs)],
    }


def _cost_notes(summary: Summary, costs: Costs) -> list[str]:
    """Return what belongs to the cost beside tokens at known prices."""
    fees = [f"of which fees of tools {dollars(costs.fees)}"] if costs.fees else []
    guessed = summary.estimated_costs
    estimates = [f"an estimate for {guessed:,}, whose tokens a tokenizer counted"] if guessed else []
    return [*fees, *estimates, *map(_text, summary.uncounted)]


def _sum(costs: Costs, name: str) -> Decimal:
    """Return the exact sum of a cost over all requests where it is known, in USD."""
    pico, usd = costs.pico[name], costs.columns[name]
    exact = pico[pico != UNKNOWN]
    # In two halves, neither of whose sums leaves an int64.
    total = (int((exact >> 32).sum()) << 32) + int((exact & 0xFFFFFFFF).sum())
    large: Column = usd[(pico == UNKNOWN) & ~np.isnan(usd)]
    return Decimal(total) / PICO + sum(map(Decimal, large.tolist()), Decimal(0))


def _cents(amount: Decimal) -> Decimal:
    """Round a rate: a quotient has no last digit; four places of a dollar are enough for a rate."""
    return amount.quantize(Decimal("0.0001"))
