"""`lll merge`: the run files of several machines as one run, exactly."""

from __future__ import annotations

from functools import partial as with_group
from pathlib import Path

import click

from lens.cli import options
from lens.cli.command import Command, Option, with_options
from lens.cli.saved_runs import saved_runs
from lens.cli.steps import shown_step
from lens.errors import ExitCode

_merge = with_group(Option, group="Merge")
MERGE = (
    _merge("--output", "-o", required=True, metavar="FILE",
        help="Where to write the run: MessagePack where the name ends in .msgpack, else JSON Lines."),
    _merge("--force", is_flag=True, help="Replace a file that exists."),
    _merge("--partial", is_flag=True, help="Merge although a shard is missing or was cut off."),
    _merge("--trust-clocks", is_flag=True,
        help="Merge although the error of the machines' clocks is unknown, or more than 1% of the run."),
)  # fmt: skip


@with_options(MERGE, options.COMMON[1:])
@click.command(
    cls=Command,
    example="""
    lll merge run-0.jsonl run-1.jsonl run-2.jsonl run-3.jsonl -o all.jsonl
    lll merge run-0.msgpack run-1.msgpack --partial -o all.msgpack
    """,
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def command(files: tuple[str, ...], output: str, *, force: bool, partial: bool, trust_clocks: bool, **_: object) -> int:
    """Join the run files of --shard 0/N to N-1/N into one run, with every request and its raw events.

    Percentiles, rates and gates of the merged run are those of one run: nothing is averaged. Runs without --shard
    are joined in the order of time where their targets are the same. Exits with 1 where no request succeeded.
    """
    from lens.history.write import is_stdout
    from lens.run.merge import merge_runs

    paths = saved_runs(files)
    with shown_step(f"merging {len(paths)} runs"):
        found = merge_runs(paths, Path(output), partial=partial, trust_clocks=trust_clocks, force=force)
    for warning in (*found.info.warnings, *found.warnings):
        click.echo(f"lll: {warning}", err=True)
    most_ns = max(clock.uncertainty_ns for clock in found.info.worker_clocks)
    clocks = f"clocks known to {most_ns / 1e6:.3f} ms" if most_ns else "one clock"
    on_stderr = is_stdout(output)
    click.echo(f"merged       {len(paths)} runs, {found.requests} requests; {clocks}", err=on_stderr)
    click.echo(f"written      {output}", err=on_stderr)
    return ExitCode.OK if found.successes else ExitCode.NOTHING_MEASURED
