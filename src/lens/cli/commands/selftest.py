"""`lll selftest`: what this instrument's own error is, on this machine, now."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lens.cli import options
from lens.cli.command import Command, Option, with_options
from lens.cli.conflicts import refuse_alone
from lens.cli.echo import echo
from lens.errors import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from lens.calibration import Calibration, Case, Spread


def _numbers(text: str) -> tuple[int, ...]:
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = (0,)
    if min(found) < 1:
        raise ValueError(f"{text!r} is not a list of stream counts; write 1,200")
    return found


def _schemes(text: str) -> tuple[str, ...]:
    found = tuple(part.strip().lower() for part in text.split(","))
    if not set(found) <= {"http", "tls"}:
        raise ValueError(f"{text!r}: write http, tls or http,tls")
    return found


SELFTEST = (
    Option("--streams", group="Self-test", type=options.Parsed("N,N", _numbers), default="1,200", metavar="N,N",
        help="Concurrent streams of each case (default: 1,200, that is 1 and 200)."),
    Option("--schemes", group="Self-test", type=options.Parsed("LIST", _schemes), default="http,tls", metavar="LIST",
        help="Schemes to test: http, tls (default: http,tls)."),
    Option("--capacity", group="Self-test", is_flag=True,
        help="Also measure the capacity of this machine, up to 20 s more."),
    Option("--output", "-o", group="Self-test", metavar="FILE", help="Write the result to a file, as JSON."),
    Option("--force", group="Self-test", is_flag=True, help="Overwrite an existing file."),
    Option("--json", "as_json", group="Self-test", is_flag=True, help="Print JSON instead of text."),
    Option("--check", group="Self-test", is_flag=True,
        help="Exit with 3 when a precision limit is not met on this machine."),
)  # fmt: skip


@with_options(SELFTEST, options.COMMON[1:])
@click.command(cls=Command, example="lll selftest\nlll selftest --streams 1,64,1000 --schemes http --check")
@click.pass_context
def command(ctx: click.Context, /, **_: object) -> int:
    """Measure this instrument's own error on this machine.

    The simulator runs in another process and logs when each of its writes happened; the error is this instrument's
    timestamp minus that log. About 3 s per line. The result is recorded in every later run on this machine, unless
    other processes disturbed it.
    """
    import msgspec
    import trio

    from lens.calibration import selftest
    from lens.history.write import NewFile
    from lens.report.terminal import console_for
    from lens.run.certificate import remember

    as_json = ctx.params["as_json"]

    def show(case: Case) -> None:
        echo(f"lll: {case.scheme}, {case.streams} streams: measured", err=True)

    async def run() -> Calibration:
        return await selftest(
            streams=ctx.params["streams"],
            schemes=ctx.params["schemes"],
            to_the_limit=ctx.params["capacity"],
            on_case=None if as_json else show,
        )

    refuse_alone(ctx, "force", "output")
    with ExitStack() as stack:
        file = None
        if ctx.params["output"]:  # one that cannot be written is told now, not after a minute
            file = stack.enter_context(NewFile(Path(ctx.params["output"]), force=ctx.params["force"]))
        found = trio.run(run)
        remember(found)
        certificate = msgspec.json.format(msgspec.json.encode(found), indent=1)
        if file is not None:
            file.write(certificate + b"\n")
    if as_json:
        click.echo(certificate)
    else:
        print_calibration(console_for(), found)
    if found.disturbed:
        echo(f"lll: not recorded for later runs, {found.disturbed}; run it again when the machine is idle", err=True)
    if not any(case.tokens for case in found.cases):
        return ExitCode.NOTHING_MEASURED
    return ExitCode.THRESHOLD if ctx.params["check"] and not found.holds else ExitCode.OK


def print_calibration(console: Console, found: Calibration) -> None:
    """Print the table of errors and, under it, which promises hold here."""
    from rich.text import Text

    from lens.report.terminal import fact

    here = found.machine
    clock = f"clock {here.clock_resolution_ns} ns, read in {here.clock_cost_ns} ns"
    console.print(Text(f"{here.system} {here.kernel}, {here.cpus} processors, Python {here.python}, {clock}"))
    console.print()
    console.print(Text("errors of token stamps, us; p99 when read (no kernel stamp) and of the simulator", style="dim"))
    _print_table(console, found)
    console.print()
    for verdict in found.verdicts:
        figure = "nothing was measured" if verdict.figure_us is None else f"{verdict.figure_us:.1f} us"
        why = f"; {verdict.why}" if verdict.why else ""
        style = "green" if verdict.holds else "yellow"
        fact(console, "met" if verdict.holds else "not met", f"{verdict.claim} ({figure}){why}", style=style)
    if found.capacity is not None:
        fact(console, "capacity", found.capacity.line)
    console.print()
    for condition in found.conditions:
        doubt = f"; {condition.doubt}" if condition.doubt else ""
        fact(console, condition.name, f"{condition.value}{doubt}", style="yellow" if doubt else "")


def _print_table(console: Console, found: Calibration) -> None:
    from lens.report.tables import WholeTable, print_left_out, without

    table = WholeTable(["", "stamps", "TTFT bias", "p50", "p99", "max", "when read", "sim. late"])
    for case in found.cases:
        tokens = case.tokens
        table.add_row(
            f"{case.scheme} x {case.streams}",
            case.stamp_kind,
            f"{case.ttft.bias_us:+.1f}" if case.ttft else "-",
            *([f"{v:.1f}" for v in (tokens.p50_us, tokens.p99_us, tokens.max_us)] if tokens else ["-"] * 3),
            _p99(case.read_tokens),
            _p99(case.simulator_late),
        )
    order = ("sim. late", "when read", "TTFT bias", "p50", "stamps")  # left out until the table fits the terminal
    print_left_out(console, table.print(console, without(table.columns, order)))


def _p99(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.p99_us:.1f}"
