"""`lll explain`: define a metric and, for a saved run, show the request and events behind its value."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lens.cli.command import Command, Option, given_options, with_options
from lens.cli.echo import echo, echo_json
from lens.cli.figures import SLOS, slos_of
from lens.cli.options import PRICES
from lens.cli.steps import shown_steps
from lens.errors import ConfigError

if TYPE_CHECKING:
    from decimal import Decimal

    from lens.analysis.evidence import Used
    from lens.metrics.definitions import Metric
    from lens.metrics.summary import Summary
    from lens.metrics.table import Table

EXPLAIN = (Option("--json", "as_json", group="Output", is_flag=True, help="Print the definitions as JSON."),)
PERCENTS = (50.0, 95.0)
_NAME = 12  # width of the names at the left
# Fields of a definition that say how it is computed, which is no text.
_CODE = ("column", "pooled", "of_run", "by_slice")
# Of these --goodput names the promises.
_GOODPUTS = ("goodput_rps", "goodput_sessions_per_second")


@with_options(EXPLAIN, SLOS, PRICES)
@click.command(cls=Command, example="lll explain\nlll explain ttft_ms\nlll explain ttft_ms run.jsonl")
@click.argument("metric", required=False, metavar="[METRIC]")
@click.argument("file", required=False, metavar="[FILE]", type=click.Path(path_type=Path))
@click.pass_context
def command(ctx: click.Context, /, metric: str | None, file: Path | None, as_json: bool, **_: object) -> None:
    """Explain a metric: formula, unit, direction, source.

    With a run FILE it shows the requests at the p50 and p95 of the metric, and the timestamps and events that the
    values come from. Without METRIC all metrics are listed.
    """
    from lens.analysis.gates.thresholds import metric_and_statistic
    from lens.metrics.definitions import METRICS

    _check(ctx, metric, file)
    chosen = [metric_and_statistic(metric)[0]] if metric else list(METRICS.values())
    if as_json:
        _print_json(chosen)
        return
    if metric is None:
        for one in chosen:
            echo(f"{one.name:31} {one.unit:11} {one.formula}")
        return
    _print_definition(chosen[0])
    if file is not None:
        _print_run(ctx, chosen[0], file)


def _check(ctx: click.Context, metric: str | None, file: Path | None) -> None:
    """
    Raises:
        ConfigError: an option or the file would be ignored.
    """
    from lens.analysis.gates.thresholds import metric_and_statistic

    said = given_options(ctx, ("Metrics", "Output"), but=("as_json",))
    if ctx.params["as_json"] and (said or file is not None):
        left = ", ".join([*said, *([str(file)] if file is not None else [])])
        raise ConfigError(f"explain --json prints definitions; leave out {left}")
    if said and file is None:
        raise ConfigError(f"explain: {', '.join(said)} has no effect without a run file")
    if metric is None:
        return
    name = metric_and_statistic(metric)[0].name
    goodput, prices = given_options(ctx, ("Metrics",)), given_options(ctx, ("Output",), but=("as_json",))
    idle = [*([] if name in _GOODPUTS else goodput), *([] if "cost" in name else prices)]
    if idle:
        raise ConfigError(f"explain {name}: {', '.join(idle)} has no effect on it")


def _print_json(metrics: list[Metric]) -> None:

    told = [{name: getattr(m, name) for name in m.__struct_fields__ if name not in _CODE} for m in metrics]
    echo_json(told)


def _print_definition(metric: Metric) -> None:
    echo(metric.name)
    better = f"{metric.better} is better" if metric.better else "neither more nor less is better"
    one = "one a session, at the turn that ended last" if metric.of_session else "one a request"
    per = {"pooled": "many a request, pooled over all", "run": "of a whole run"}.get(metric.kind, one)
    failed = "of a request that failed too, where it was measured" if metric.partial else "of successes only"
    _line("formula", metric.formula)
    _line("unit", f"{metric.unit}; {better}")
    _line("values", per if metric.kind == "run" else f"{per}; {failed}")
    _line("source", metric.source)
    if metric.aliases:
        _line("also called", ", ".join(metric.aliases))


def _print_run(ctx: click.Context, metric: Metric, file: Path) -> None:
    from lens.cli.settings import book_of
    from lens.metrics.builder import read_table
    from lens.metrics.summarize import summarize

    with shown_steps() as steps:
        table, warnings = read_table(file, book_of(ctx), on_progress=steps.reading)
    for warning in warnings:
        echo(f"lll: {file}: {warning}", err=True)
    echo()
    if metric.name == "total_cost":
        _print_bill(table.measured())
    if metric.of_run is not None:
        summary = summarize(table, table.info, slos=slos_of(ctx), metrics=())
        _print_whole(metric, metric.of_run(summary), summary)
    else:
        _print_examples(metric, table)


def _print_bill(table: Table) -> None:
    """Print the lines of the bill of a run, which add up to its cost."""
    bill = table.bill()
    if bill.total is None:
        raise ConfigError(f"explain total_cost: no cost is known: {table.costs.reason or 'no request succeeded'}")
    for title, lines in bill.sections.items():
        _line("bill", title)
        for line in lines:
            per = "per million tokens" if line.per == 1_000_000 else "per thousand"
            _line("", f"{line.what:20} {line.quantity:>14,} at ${line.rate.normalize():f} {per} = ${_usd(line.usd)}")
    if bill.reported_requests:
        _line("bill", f"reported by the provider for {bill.reported_requests:,} requests = ${_usd(bill.reported)}")
    _line("total", f"${_usd(bill.total)}")
    for lack in bill.uncounted:
        _line("lacks", f"{lack}: no price is known")
    if bill.unpriced:
        _line("lacks", f"{bill.unpriced:,} requests without a known cost: {table.costs.reason}")
    if guessed := int(table.costs.estimated.sum()):
        _line("estimate", f"a tokenizer counted tokens that the server did not, of {guessed:,} of the requests")
    echo()


def _usd(amount: Decimal) -> str:
    return format(amount.normalize(), "f")


def _print_whole(metric: Metric, value: float | None, summary: Summary) -> None:
    """Print the parts of a figure of a whole run."""
    if value is None:
        hint = "; name the promises: --goodput ttft:200 tpot:50" if metric.name in _GOODPUTS else ""
        raise ConfigError(f"explain {metric.name}: it was not measured in this run{hint}")
    _line("value", f"{value:.6g} {metric.unit}")
    _line("requests", f"{summary.requests}, of which {summary.successes} succeeded")
    if summary.window_s is not None:
        _line("window", f"{summary.window_s:.6f} s, from the first start to the last end")
    if metric.name == "output_tokens_per_second":
        _line("tokens", f"{summary.output_tokens} of output")
    if metric.name in _GOODPUTS and summary.sessions is not None:
        _line("sessions", f"{summary.sessions.good} met {', '.join(summary.slos)} in every turn")
    if metric.name == "goodput_rps":
        _line("good", f"{summary.good} met {', '.join(summary.slos)}")
    if metric.name == "error_rate":
        for category, count in summary.by_category.items():
            _line("", f"{count} x {category}")


def _print_examples(metric: Metric, table: Table) -> None:
    from lens.analysis.evidence import examples
    from lens.metrics.distribution import percentile_name, values_needed

    n, found = examples(metric, table, PERCENTS)
    measured = len(table.measured())
    if not n:
        raise ConfigError(f"explain {metric.name}: none of {measured} requests has it")
    _line("values", f"{n:,} of {measured:,} requests")
    for example in found:
        name = percentile_name(example.percent)
        needs = values_needed(example.percent)
        if n < needs:
            _line(name, f"not estimable, needs n >= {needs}")
            continue
        record = example.record
        echo()
        _line(name, f"{example.value:.6g} {metric.unit}, of request {record.index} ({record.request_id})")
        for one in example.used:
            _print_used(one)


def _print_used(one: Used) -> None:
    at = "" if one.at_ns is None else f"{one.at_ns / 1e6:.6f} ms after the start"
    _line("", f"{one.what:{20 if at or one.says else 0}} {at}{', ' if at and one.says else ''}{one.says}".rstrip())


def _line(name: str, says: str) -> None:
    echo(f"  {name:{_NAME}} {says}")
