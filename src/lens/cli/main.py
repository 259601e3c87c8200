"""The command group. A command's module is imported when the command runs, not before.

The table below holds a command's line of help too, so that `lll --help` reads no other file.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from lens._version import __version__
from lens.cli.command import Group
from lens.cli.endpoint import is_address
from lens.errors import did_you_mean

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# Name -> where it is, what it is for; in the order in which --help lists them.
COMMANDS = {
    "profile": ("lens.cli.commands.profile:command", "Measure one request, phase by phase."),
    "benchmark": ("lens.cli.commands.benchmark:command", "Load an endpoint and summarize the results."),
    "compare": ("lens.cli.commands.compare:command", "Compare targets in one interleaved run, or saved runs."),
    "analyze": ("lens.cli.commands.analyze:command", "Analyze saved runs: groups, thresholds, baseline, SQL."),
    "optimize": ("lens.cli.commands.optimize:command", "Recommend a target, with evidence and savings."),
    "monitor": ("lens.cli.commands.monitor:command", "Probe endpoints continuously; serve /metrics, push, alert."),
    "testbench": ("lens.cli.commands.testbench:command", "Report on test suites: failures, regressions, trends."),
    "report": ("lens.cli.commands.report:command", "Write saved runs as one self-contained HTML page."),
    "ui": ("lens.cli.commands.ui:command", "Serve a folder of runs in the browser, live and afterwards."),
    "recover": ("lens.cli.commands.recover:command", "Turn the journal of a killed run into a run file."),
    "merge": ("lens.cli.commands.merge:command", "Merge the runs of several machines into one run."),
    "doctor": ("lens.cli.commands.doctor:command", "Diagnose why an endpoint is slow or does not answer."),
    "explain": ("lens.cli.commands.explain:command", "Define a metric; show the events behind its value."),
    "selftest": ("lens.cli.commands.selftest:command", "Measure this instrument's own error on this machine."),
    "simulate": ("lens.cli.commands.simulate:command", "Serve a loopback endpoint with scripted timing."),
    "init": ("lens.cli.commands.init:command", "Write a config file by asking five questions."),
    "config": ("lens.cli.commands.config:command", "Check a config file, print its schema or an example."),
    "prices": ("lens.cli.commands.prices:command", "Show token prices and their sources."),
    "providers": ("lens.cli.commands.providers:command", "List the built-in providers."),
}
EXAMPLE = """\b
Examples:
  lll http://localhost:8000/v1
  lll profile --provider openai --model gpt-6-luna --prompt "Say hello"
  lll benchmark --base-url http://localhost:8000/v1 --model my-model -n 100 -c 8
  lll doctor http://localhost:8000/v1
"""


class LazyGroup(Group):
    """Knows its commands by name and loads the one that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and is_address(args[0]):
            args = ["profile", *args]  # the address of an endpoint alone
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            hint = did_you_mean(args[0], COMMANDS, otherwise=f"there are {', '.join(COMMANDS)}")
            raise click.UsageError(f"no command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a closed pipe ends it here, for click would exit with 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            from lens.cli.errors import output_closed

            return output_closed()

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the names of commands from the table, and options as click does."""
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        from click.shell_completion import CompletionItem

        return [CompletionItem(name, help=says) for name, (_, says) in COMMANDS.items() if name.startswith(incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, says) for name, (_, says) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    epilog=EXAMPLE,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="llm-latency-lens", message="%(prog)s %(version)s")
@click.option("--config", metavar="FILE", help="Config file: TOML, YAML or JSON (LLL_CONFIG_FILE).")
@click.option("--log-level", metavar="LEVEL", help="error, warn, info, debug or trace (default: warn; LLL_LOG_LEVEL).")
@click.pass_context
def lll(ctx: click.Context, config: str | None, log_level: str | None) -> None:
    """Measure streaming LLM endpoints: latency, throughput, errors and cost.

    lll URL profiles an endpoint; lll COMMAND --help shows a command's options.
    """
    # A command may repeat these two; its own win.
    ctx.obj = {"config": config, "log_level": log_level}
