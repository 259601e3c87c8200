"""Findings as a page of text: one run as `lll benchmark` shows it, several as a table, then what the gates said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec import structs
from rich.console import Console
from rich.text import Text

from lens.analysis.gates.checks import format_check
from lens.report.analyze_text import notes, over_time, shown
from lens.report.run import print_report
from lens.report.tables import WholeTable, print_left_out, without
from lens.report.terminal import clean, fact

if TYPE_CHECKING:
    from lens.analysis.explore.findings import Findings
    from lens.analysis.explore.groups import Sheet
    from lens.analysis.gates.checks import Check
    from lens.analysis.gates.regression import Change, Regression
    from lens.metrics.table import Table as Requests

_STATES = {
    "passed": ("ok", "green"), "failed": ("FAIL", "bold red"), "warned": ("warn", "yellow"), "skipped": ("-", "dim"),
}  # fmt: skip
_RESULTS = {
    "regressed": ("WORSE", "bold red"), "improved": ("better", "green"), "within tolerance": ("within", "yellow"),
    "no change shown": ("same", "dim"),
}  # fmt: skip
# A figure's name as a narrow table has it.
_SHORT = (
    ("total_latency_ms", "total"),
    ("tokens_per_second", "tok/s"),
    ("total_cost", "cost"),
    ("_ms", ""),
    ("_", " "),
)
# Rows beyond this are counted, not shown.
MOST_ROWS = 200
# Of more groups than this only the warnings of all together are shown.
MOST_WARNED = 50
_TEXT_WIDTH = 40
_LEAST_TEXT = 16  # cells of a text before a column is left out
_CHANGE_COLUMNS = ("", "base", "now", "change", "p", "detectable", "verdict")
# Left out in this order until the table fits the terminal.
_CHANGE_DISPENSABLE = ("p", "detectable", "change", "base")


def print_findings(console: Console, found: Findings, table: Requests, outliers: int, *, chosen: bool = False) -> None:
    """Print the whole page. table: the requests that were meant; chosen: the metrics of the sheet were asked for."""
    if found.total is None:
        print_sheet(console, found.sheet, raw=True)
        return
    # Runs that one file holds, one behind the other, are one page.
    info = table.runs[0].info if len(found.files) == 1 and table.runs else table.info
    if not found.by and info is not None:
        # What the run says of itself takes the most from its figures, like that it was killed.
        told = structs.replace(found.total, warnings=(*found.run_warnings, *found.total.warnings))
        print_report(console, told, info, table=table)
        if chosen:
            console.print()
            print_sheet(console, found.sheet)
    else:
        _print_head(console, found)
        print_sheet(console, found.sheet)
        for says in found.run_warnings:
            fact(console, "warning", clean(says), style="yellow")
        warned = found.groups if len(found.groups) <= MOST_WARNED else [found.total]
        for warning in dict.fromkeys(says for one in warned for says in one.warnings):
            fact(console, "warning", clean(warning), style="yellow")
    for word, says in over_time(found, outliers):
        fact(console, word, clean(says), style="yellow" if says.endswith(": worse") else "")
    gates = [check for check in found.checks if check.suite != "regression"]
    if gates:
        console.print()
        _print_checks(console, gates)
    if found.regression is not None:
        _print_regression(console, found.regression)
    for says in notes(found)[len(found.warnings) + len(found.run_warnings) :]:
        fact(console, "note", says, style="dim")


def _print_head(console: Console, found: Findings) -> None:
    console.print(Text(clean(", ".join(found.files), 200), style="bold"))
    assert found.total is not None
    failed = found.total.requests - found.total.successes
    where = f", of which --where is true: {clean(found.where or '', 100)}" if found.where else ""
    console.print(Text(f"{found.total.requests:,} requests, {failed:,} failed{where}"))
    console.print()


def print_sheet(console: Console, sheet: Sheet, *, raw: bool = False) -> None:
    """As many columns as fit; those that do not are named below. raw: the columns are the user's own."""
    names = [name if raw or place < sheet.keys else _short(name) for place, name in enumerate(sheet.columns)]
    rows = [[clean(shown(value), _TEXT_WIDTH) for value in row] for row in sheet.rows[:MOST_ROWS]]
    texts = [place for place in range(len(names)) if any(isinstance(row[place], str) for row in sheet.rows)]
    words = [place for place in texts if not any(isinstance(row[place], int | float) for row in sheet.rows)]
    table = WholeTable([clean(name) for name in names], left=texts, folds=dict.fromkeys(words, _LEAST_TEXT))
    for row in rows:
        table.add_row(*row)
    left_out = table.print(console, [range(many) for many in range(len(names), min(sheet.keys, len(names) - 1), -1)])
    if len(sheet.rows) > MOST_ROWS:
        fact(console, "more", f"{len(sheet.rows) - MOST_ROWS:,} rows; --format csv has all", style="dim")
    print_left_out(console, left_out, "--format csv")


def _short(name: str) -> str:
    for long, short in _SHORT:
        name = name.replace(long, short)
    return name.strip()


def _print_checks(console: Console, checks: Sequence[Check]) -> None:
    for check in checks:
        word, style = _STATES[check.state]
        fact(console, word, Text(clean(f"{check.name}: {check.says}"), style=style))


def _print_regression(console: Console, found: Regression) -> None:
    """Print a row for each figure; below it what was worse, in a sentence."""
    console.print()
    many = f"{found.baselines} baselines" if found.baselines > 1 else "the baseline"
    console.print(Text(f"against {many}, tolerance {found.tolerance * 100:g} %", style="bold"))
    for says in found.unjudged:
        fact(console, "FAIL", Text(f"not judged: {says}", style="bold red"))
    if not found.changes:
        return
    table = WholeTable(_CHANGE_COLUMNS, left=(0, len(_CHANGE_COLUMNS) - 1), folds={0: _LEAST_TEXT})
    for one in found.changes:
        table.add_row(*_row(one))
    print_left_out(console, table.print(console, without(_CHANGE_COLUMNS, _CHANGE_DISPENSABLE)))
    for one in found.regressed:
        fact(console, "FAIL", Text(f"{one.name} {format_check(one)}", style="bold red"))
    if found.not_compared:
        fact(console, "too few", ", ".join(found.not_compared), style="dim")


def _row(one: Change) -> list[Any]:
    by = f"{one.relative:+.1%}" if one.relative is not None else "-"
    could = f"{one.smallest:.1%}" if one.smallest is not None else "-"
    figures = [shown(one.baseline), shown(one.current), by, f"{one.p_adjusted:.3f}", could]
    word, style = _RESULTS[one.result]
    return [one.name, *figures, Text(word, style=style)]
