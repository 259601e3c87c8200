"""Findings as CSV and as Markdown. A cell that was not measured is empty; nothing is rounded in CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lens.analysis.gates.checks import format_check
from lens.export.csv import no_formula

if TYPE_CHECKING:
    from lens.analysis.explore.findings import Findings

# Shown of those that stand out.
MOST_OUTLIERS = 5
_MARKS = {"passed": "ok", "failed": "FAILED", "warned": "warning", "skipped": "not compared"}


def csv_of(found: Findings) -> bytes:
    """Return the sheet, as RFC 4180 quotes it, with plain line ends."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(found.sheet.columns)
    writer.writerows([no_formula(value) for value in row] for row in found.sheet.rows)
    return out.getvalue().encode()


def markdown_of(found: Findings, most: int = MOST_OUTLIERS) -> bytes:
    """Tables and lists, as a pull request or a step's summary shows them."""
    lines = [f"## {_text(', '.join(found.files))}", ""]
    if found.total is not None:
        failed = found.total.requests - found.total.successes
        lines += [f"{found.total.requests:,} requests, {failed:,} failed{_where(found)}", ""]
    lines += _table(found.sheet.columns, found.sheet.rows)
    if found.checks:
        broken = sum(check.state == "failed" for check in found.checks)
        lines += [
            "",
            f"### Checks: {broken} of {len(found.checks)} failed" if broken else "### Checks: none failed",
            "",
        ]
        rows = [(_MARKS[check.state], check.suite, check.name, check.says) for check in found.checks]
        lines += _table(("", "gate", "what", "says"), rows)
    said = [f"- {word}: {_text(says)}" for word, says in over_time(found, most)]
    said += [f"- {_text(says)}" for says in notes(found)]
    lines += ["", *said] if said else []
    return ("\n".join(lines) + "\n").encode()


def _where(found: Findings) -> str:
    return f"; only where `{found.where.replace('`', ' ')}`" if found.where else ""


def over_time(found: Findings, most: int) -> list[tuple[str, str]]:
    """Return what happened as time went on, as a word and a sentence each; of outliers the farthest `most`."""
    seen, several = found.trends, len({one.who for one in found.trends.trends}) > 1
    if not seen.searched:
        return [("course", "too many requests to search for outliers; fewer with --where")]

    def whose(who: str) -> str:
        return f"{who}: " if several else ""

    drifts = [one for one in seen.trends if one.better is not None]
    says = [("trend", f"{whose(one.who)}{one}") for one in drifts]
    if not seen.trends:
        says.append(("trend", "too few requests, or too alike their neighbours, to tell one"))
    elif not drifts:
        says.append(("trend", f"none shown in {', '.join(dict.fromkeys(one.metric for one in seen.trends))}"))
    says += [("change", f"{whose(one.who)}{one}") for one in seen.steps]
    says += [("outlier", f"request {one.index} ({one.request_id}), {one}") for one in seen.anomalies[:most]]
    if len(seen.anomalies) > most > 0:
        says.append(("outlier", f"{len(seen.anomalies) - most} more; --anomalies N shows N, --format json all"))
    return says


def notes(found: Findings) -> list[str]:
    """Return what is to be known of the figures, in sentences."""
    says = [*found.warnings, *found.run_warnings]
    compared = found.regression
    if compared is not None and not compared.run_to_run:
        says.append(
            f"{compared.baselines} baseline{'s' if compared.baselines > 1 else ''}: how much figures move from run to "
            "run is not in the noise model; three baselines or more tell it"
        )
    if compared is not None:
        best = [one for one in compared.changes if one.smallest is not None and one.metric == "ttft_ms"]
        says += [f"seen: {one.name} {format_check(one)}" for one in best if one.result == "within tolerance"]
    return says


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    head = [f"| {' | '.join(map(_text, columns))} |", f"|{'---|' * len(columns)}"]
    return head + [f"| {' | '.join(_text(shown(value)) for value in row)} |" for row in rows]


def shown(value: Any) -> str:
    """Return a cell for people: enough digits to tell values apart, nothing where nothing was measured."""
    from lens.report.terminal import number

    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3g}" if 0 < abs(value) < 0.1 else number(value)


def _text(text: str) -> str:
    """Text of models, labels and servers, which must not become markup."""
    for mark in "\\`*[]<>|":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())
