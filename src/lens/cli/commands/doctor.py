"""`lll doctor`: probe an endpoint and explain where its latency comes from, largest cause first."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lens.cli import options
from lens.cli.command import Command, Option, given_options, with_options
from lens.cli.conflicts import refuse_alone
from lens.cli.echo import echo
from lens.cli.endpoint import take_url, url_argument
from lens.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from lens.analysis.diagnosis.diagnose import Diagnosis
    from lens.analysis.diagnosis.symptoms import Finding
    from lens.cli.settings import Settings
    from lens.config.settings import TargetConfig
    from lens.history.write import NewFile
    from lens.run.probes import Examination, Question

DOCTOR = (
    Option("--iterations", "-n", group="Probes", type=click.IntRange(min=1), default=3, metavar="N",
        help="Requests per probe (default: 3)."),
    Option("--concurrent", "-c", group="Probes", type=click.IntRange(min=2), default=8, metavar="N",
        help="Concurrency of the last probe (default: 8)."),
    Option("--input-tokens", group="Probes", type=click.IntRange(min=100), default=1500, metavar="N",
        help="Length of the long prompt in tokens (default: 1500)."),
    Option("--output-tokens", group="Probes", type=click.IntRange(min=20), default=96, metavar="N",
        help="Length of the long completion in tokens (default: 96)."),
    Option("--max-cost", group="Probes", to="load.max_cost_usd", metavar="USD",
        help="Budget: stop before a request whose worst-case cost would exceed it; exit code 4 (default: none)."),
)  # fmt: skip
PRINT = (
    Option("--json", "as_json", group="Output", is_flag=True, help="Print JSON instead of text."),
    Option("--export", "-e", group="Output", type=click.Choice(["json"]), metavar="json", help="Same as --json."),
    Option("--output", "-o", group="Output", metavar="FILE", help="Output file (default: standard output)."),
    Option("--force", group="Output", is_flag=True, help="Overwrite an existing file."),
)  # fmt: skip
_OF_THE_PAGE = tuple(str(option.name) for option in PRINT)
# Of the connection's options those that make no sense where the questions decide.
_DECIDED = ("connection", "disable_keepalive", "retries")
WAY = tuple(option for option in options.CONNECTION if option.name not in _DECIDED)
ASK = tuple(option for option in options.PROMPT if option.name in ("temperature", "extra_body", "header"))
# A patient who does not answer within a minute is not asked again; --timeout waits longer.
TIMEOUT_NS = 60 * 10**9
CONNECT_TIMEOUT_NS = 10 * 10**9
ESSENTIAL = options.ESSENTIAL | {"input_tokens", "output_tokens", "max_cost", "as_json"}
NO_TARGET = "doctor needs an endpoint: give a URL, like lll doctor http://localhost:8000/v1, or --provider and --model"


@with_options(options.TARGET, DOCTOR, ASK, WAY, PRINT, options.PRICES, options.COMMON)
@click.command(
    cls=Command,
    essential=ESSENTIAL,
    example="""
    lll doctor http://localhost:8000/v1
    lll doctor http://localhost:8000/v1 --model my-model -n 5 -c 16 --json
    lll doctor --provider openai --model gpt-6-luna --max-cost 0.50
    """,
)
@url_argument
@click.pass_context
def command(ctx: click.Context, /, url: str | None, **_: object) -> int:
    """Diagnose why an endpoint is slow or does not answer.

    Probes it over new and reused connections, with short and long prompts and completions and a tool call, one by one
    and concurrently. Each cause comes with the milliseconds it explains, its evidence, and a fix. Without --model the
    first model that the server lists is used. --timeout is 60s here, --connect-timeout 10s.
    """
    take_url(ctx, url)
    from lens.history.write import NewFile

    settings, output = settings_from(ctx), ctx.params["output"]
    codes: list[int] = []
    with NewFile(Path(output), force=ctx.params["force"]) if output else nullcontext() as file:
        for target in settings.config.targets:
            codes.append(_one(settings, target, ctx.params, file, more=bool(codes)))
            if codes[-1] in (ExitCode.INTERRUPTED, ExitCode.BUDGET):
                break
    return max(codes)


def settings_from(ctx: click.Context) -> Settings:
    """Return what the flags, the environment and the file say.

    Raises:
        ConfigError: something cannot be, or would be ignored.
    """
    from lens.cli.settings import settings_of
    from lens.run.probes import OBEYED, OBEYED_OUTPUT, check_doctor

    refuse_alone(ctx, "force", "output")
    obeyed = {"load": OBEYED, "output": OBEYED_OUTPUT, "prompts": (), "sessions": (), "thresholds": ()}
    settings = settings_of(ctx, no_target=NO_TARGET, obeyed=obeyed, **_limits(ctx))
    if len(settings.config.targets) > 1 and not ctx.params["targets"]:
        raise ConfigError("doctor: the config has several endpoints; name them with --target, or one with a URL")
    prices = given_options(ctx, ("Output",), but=_OF_THE_PAGE)
    if prices and settings.config.load.max_cost_usd is None:
        raise ConfigError(f"doctor: {', '.join(prices)} has no effect without --max-cost")
    check_doctor(settings.config)
    return settings


def _one(settings: Settings, target: TargetConfig, given: dict[str, Any], file: NewFile | None, *, more: bool) -> int:
    """Examine one target, tell what was found, and return the exit code. more: others were told before it."""
    from msgspec.structs import replace

    alone = settings._replace(config=replace(settings.config, targets=(target,)))
    found, diagnosis = _examined(alone, given)
    _deliver(found, diagnosis, alone, given, file, more=more)
    if found.stopped_by in ("SIGINT", "SIGTERM"):
        echo(f"lll: interrupted ({found.stopped_by}); showing what was measured", err=True)
        return ExitCode.INTERRUPTED
    if found.over_budget:
        echo(f"lll: {found.over_budget}", err=True)
        return ExitCode.BUDGET
    return ExitCode.OK if diagnosis.answered > diagnosis.empty else ExitCode.NOTHING_MEASURED


def _limits(ctx: click.Context) -> dict[str, Any]:
    """Our own time limits, where the user gave none."""
    ours = {"timeout": TIMEOUT_NS, "connect_timeout": CONNECT_TIMEOUT_NS}
    return {f"{name}_ns": limit for name, limit in ours.items() if ctx.params.get(name) is None}


def _examined(settings: Settings, given: dict[str, Any]) -> tuple[Examination, Diagnosis]:
    import trio

    from lens.analysis.diagnosis.diagnose import diagnose
    from lens.cli.running import remember_secrets
    from lens.orchestrator.stop import Stop, stopped_by_signals
    from lens.run.probes import Asking, examine

    remember_secrets(settings)
    asking = Asking(given["iterations"], given["concurrent"], given["input_tokens"], given["output_tokens"])

    def tell(question: Question) -> None:
        if sys.stderr.isatty():
            echo(f"lll: asking: {question.name} ({question.requests})", err=True)

    async def run() -> Examination:
        async with stopped_by_signals(Stop()) as stop:
            return await examine(settings.config, settings.book, asking, on_question=tell, stop=stop)

    found = trio.run(run)
    return found, diagnose(found.records, client=found.client, served=found.served)


def _deliver(
    found: Examination,
    diagnosis: Diagnosis,
    settings: Settings,
    given: dict[str, Any],
    file: NewFile | None,
    *,
    more: bool,
) -> None:
    """Write to standard output or the file that was named; more: behind what stands there already.

    Raises:
        FileError: it cannot be written.
    """
    from lens.report.terminal import console_for

    out = StringIO() if file is not None else sys.stdout
    if given["as_json"] or given["export"]:
        out.write(_json(found, diagnosis, settings))
    else:
        target = settings.config.targets[0]
        out.write("\n" if more else "")
        print_diagnosis(console_for(out), found, diagnosis, target.provider, target.name)
    if file is not None and isinstance(out, StringIO):
        file.write(out.getvalue().encode())


def _json(found: Examination, diagnosis: Diagnosis, settings: Settings) -> str:
    import msgspec

    from lens.secrets import clean_json, mask_secrets

    told = {
        **({"target": name} if (name := settings.config.targets[0].name) else {}),
        "provider": settings.config.targets[0].provider,
        "model": found.served.model,
        "url": found.served.base_url,
        "questions": _questions(found),
        **({"notes": found.notes} if found.notes else {}),
        **msgspec.to_builtins(diagnosis),
    }
    return clean_json(mask_secrets(msgspec.json.format(msgspec.json.encode(told)).decode())) + "\n"


def _questions(found: Examination) -> dict[str, list[int]]:
    """Which requests each question had."""
    by_name: dict[str, list[int]] = {}
    for record in found.records:
        by_name.setdefault(record.stage or "", []).append(record.index)
    return by_name


def print_diagnosis(
    console: Console, found: Examination, diagnosis: Diagnosis, provider: str, name: str | None = None
) -> None:
    """Print the page for people. name: of the target, if it was given one."""
    from rich.text import Text

    from lens.analysis.diagnosis.symptoms import figure, requests
    from lens.report.terminal import clean, fact

    def line(name: str, says: str, style: str = "") -> None:
        fact(console, name, clean(says, 600), style=style)

    called = f"{name}: " if name else ""
    console.print(Text(clean(f"{called}{provider} {found.served.model}".strip()), style="bold"))
    console.print(Text(clean(found.served.base_url)))
    if found.served.models and found.served.model and found.named_by_server:
        others = len(found.served.models) - 1
        lists = f"{found.served.model} first, and {others} more" if others else f"only {found.served.model}"
        line("model", f"none was named; the server lists {lists}")
    asked = "; ".join(f"{name}: {requests(numbers)}" for name, numbers in _questions(found).items())
    empty = f", {diagnosis.empty} of them empty" if diagnosis.empty else ""
    line(
        "asked", f"{diagnosis.asked} requests, {diagnosis.answered} answered{empty}" + (f" ({asked})" if asked else "")
    )
    for note in found.notes:
        line("note", note)
    if diagnosis.total_ms is not None:
        whole = "a request over a new connection, with long prompt and long answer, while the others ask too"
        line("total", f"{figure(diagnosis.total_ms)} ms: {whole}")
    for number, finding in enumerate(diagnosis.findings, 1):
        console.print()
        line(f"{number}", _head(finding), _style(finding))
        for evidence in finding.evidence:
            line("", f"- {evidence}")
        if finding.try_next:
            line("   fix", finding.try_next)
    console.print()
    for finding in diagnosis.fine:
        line("negligible", finding.says, "dim")
    for sentence in diagnosis.untold:
        line("unknown", sentence, "dim")


def _head(finding: Finding) -> str:
    share = f" [{finding.share:.0%}]" if finding.share is not None else ""
    return f"{finding.says}{share}"


def _style(finding: Finding) -> str:
    return {"failure": "bold red", "time": "bold", "warning": "yellow"}.get(finding.kind, "")
