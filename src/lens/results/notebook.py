"""Runs and requests as HTML for notebooks: small tables without scripts, which take the notebook's own colours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from lens.config.spelling import in_python
from lens.metrics.definitions import METRICS, request_metrics
from lens.metrics.distribution import Distribution
from lens.metrics.rows import Value, file_name
from lens.metrics.summary import Summary
from lens.report.terminal import clean, count, dollars, number

PERCENTILES = ("p50", "p90", "p95", "p99")
_TEXT = "text-align:left;vertical-align:top"
_NUMBER = "text-align:right"


def run_html(targets: Iterable[str], summary: Summary, warnings: Iterable[str]) -> str:
    """Return what a run comes to: target, requests, throughput and cost, the latency table, and warnings."""
    failures = ", ".join(f"{clean(name)} {n:,}" for name, n in summary.by_status.items() if name != "Success")
    failed = f"{count(summary.requests - summary.successes)} failed"
    rate, tokens = summary.requests_per_second, summary.output_tokens_per_second
    facts = [
        ("target", ", ".join(map(clean, targets))),
        ("requests", f"{count(summary.requests)}, {failed}{f' ({failures})' if failures else ''}"),
        ("throughput", f"{number(rate)} requests/s, {number(tokens)} output tokens/s"),
        ("cost", dollars(summary.total_cost)),
    ]
    spread = [one for name in METRICS if (one := summary.distributions.get(name)) is not None]
    parts = [_facts(facts), _table(("metric", "unit", "n", "mean", *PERCENTILES, "max"), map(_row, spread))]
    items = [f"<li>{escape(in_python(clean(text)))}</li>" for text in dict.fromkeys((*warnings, *summary.warnings))]
    if items:
        parts.append(f"<p>Warnings</p><ul>{''.join(items)}</ul>")
    return f"<div>{''.join(parts)}</div>"


def _row(one: Distribution) -> Sequence[str]:
    percentiles = [number(one.percentiles.get(name)) for name in PERCENTILES]
    return (one.metric, one.unit, count(one.n), number(one.mean), *percentiles, number(one.max))


def request_html(target: str, status: str, error: str | None, figures: Mapping[str, Value | None]) -> str:
    """Return one request: its target and outcome, and a table of the figures that were measured."""
    facts = [("target", clean(target)), ("status", status), *([("error", clean(error))] if error else [])]
    units = {file_name(metric): metric.unit for metric in request_metrics()}
    rows = []
    for name, value in figures.items():
        if value is not None:
            shown = format(value, "f") if units[name] == "USD" else number(float(value))
            rows.append((name, units[name], shown))
    return f"<div>{_facts(facts)}{_table(('metric', 'unit', 'value'), rows)}</div>"


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    rows = [f"<tr>{_cell('th', _TEXT, name)}{_cell('td', _TEXT, says)}</tr>" for name, says in facts]
    return f"<table>{''.join(rows)}</table>"


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table whose first two columns are text and whose others are numbers."""
    styles = [_TEXT, _TEXT, *[_NUMBER] * (len(names) - 2)]
    lines = [("th", names), *[("td", row) for row in rows]]
    head, *body = [
        f"<tr>{''.join([_cell(tag, *pair) for pair in zip(styles, cells, strict=True)])}</tr>" for tag, cells in lines
    ]
    return f"<table><thead>{head}</thead><tbody>{''.join(body)}</tbody></table>"


def _cell(tag: str, style: str, text: str) -> str:
    return f'<{tag} style="{style}">{escape(text)}</{tag}>'
