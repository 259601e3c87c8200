"""`lll monitor`: continuous probes, with a Prometheus page, pushes, alerts and a history."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from lens.cli import options
from lens.cli.command import Command, Option, with_options
from lens.cli.echo import echo
from lens.errors import ConfigError, ExitCode, LensError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lens.monitor.daemon import Monitor, Settings

_watch = partial(Option, group="Monitor")
WATCH = (
    _watch("--interval", to="monitor.interval_ns", type=options.DURATION, metavar="TIME",
        help="Interval between rounds of probes (default: 60s)."),
    _watch("--jitter", to="monitor.jitter", type=options.FiniteRange(0, 1), metavar="SHARE",
        help="Random shift of a round, as a share of the interval (default: 0.1)."),
    _watch("--listen", to="monitor.listen", metavar="ADDRESS:PORT",
        help="Address that serves /metrics and /healthz; '' for none (default: 127.0.0.1:9464)."),
    _watch("--listen-token-file", to="monitor.listen_token_file", metavar="FILE",
        help="File with a token that /metrics asks for, as Authorization: Bearer (default: none)."),
    _watch("--slo", to="monitor.slos", multiple=True, metavar="'M<X P%'",
        help="SLO whose error budget is tracked, repeatable: 'ttft<1000 99%', 'success 99.9%'."),
    _watch("--webhook", to="monitor.webhook", metavar="URL", help="URL that receives alerts as they start and end."),
    _watch("--history", to="monitor.history", metavar="DIR",
        help="Directory for run files, to be read by `lll analyze`."),
    _watch("--keep", to="monitor.keep_ns", type=options.DURATION, metavar="TIME",
        help="Retention of the history (default: 720h)."),
    _watch("--keep-mb", to="monitor.keep_mb", type=click.IntRange(min=1), metavar="N",
        help="Size limit of the history in MB (default: 1000)."),
    _watch("--once", is_flag=True, help="Run one round and exit, for cron; exit code 1 when nothing succeeded."),
    _watch("--duration", "-d", type=options.DURATION, metavar="TIME",
        help="Stop after this time (default: runs until SIGTERM)."),
)  # fmt: skip
ESSENTIAL = options.ESSENTIAL - {"warmup", "iterations", "concurrent", "rate", "threshold", "export", "output"} | {
    "interval", "listen", "slo", "webhook", "history", "once"
}  # fmt: skip
_NAMES = {"--push-gateway", "--export-prometheus", "--influx", "--otlp", "--prometheus-units", "--label"}
PUSHES = tuple(option for option in options.OUTPUT if _NAMES & set(option.opts))


@with_options(WATCH, options.TARGET, options.PROMPT, options.CONNECTION, PUSHES, options.PRICES, options.COMMON)
@click.command(
    cls=Command,
    essential=ESSENTIAL,
    example="""
    lll monitor --config monitor.yaml --slo 'ttft<1000 99%' --history ./history
    lll monitor --provider openai --model gpt-6-luna --max-tokens 32 --interval 5m
    lll monitor --provider simulator --once
    """,
)
@click.pass_context
def command(ctx: click.Context, /, **_: object) -> int:
    """Probe endpoints continuously: every target with every prompt, once per interval.

    Serves /metrics and /healthz, pushes to backends (and buffers while one is unreachable), alerts on error budget
    burn rate, change points and failing targets. On a terminal a live table shows every target. SIGHUP reloads the
    config; SIGTERM flushes what is buffered and exits (exit code 0).
    """
    settings = settings_from(ctx)
    import trio

    from lens.cli.running import remember_secrets
    from lens.cli.settings import settings_of
    from lens.errors import causes

    remember_secrets(settings_of(ctx))
    try:
        with hangups_ignored():
            return trio.run(_main, ctx, settings)
    except* LensError as errors:
        raise next(causes(errors)) from None


@contextmanager
def hangups_ignored() -> Iterator[None]:
    """Let a SIGHUP do nothing while nobody takes it: one that comes during the start would end the monitor."""
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(hangup, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(hangup, before)


def settings_from(ctx: click.Context) -> Settings:
    """Return what the flags, the environment and the file say now.

    Raises:
        ConfigError: something cannot be.
    """
    from lens.cli.settings import settings_of
    from lens.monitor.burn import parse_objective
    from lens.monitor.daemon import OBEYED, OBEYED_OUTPUT, Settings, check_monitor
    from lens.server import parse_listen

    # A probe opens a connection of its own unless somebody wants otherwise: it is to see what a newcomer sees.
    said: dict[str, Any] = {} if ctx.params.get("connection") else {"connection": "fresh"}
    obeyed = {"load": OBEYED, "output": OBEYED_OUTPUT, "sessions": (), "thresholds": ()}
    found = settings_of(ctx, obeyed=obeyed, **said)
    check_monitor(found.config)  # what cannot be asked is refused now, not in the first round
    duration_ns = ctx.params.get("duration")
    made = Settings(
        config=found.config,
        book=found.book,
        pushes=found.pushes,
        once=bool(ctx.params.get("once")),
        duration_s=duration_ns / 1e9 if duration_ns else None,
    )
    if made.monitor.listen:
        parse_listen(made.monitor.listen)
    elif made.monitor.listen_token_file:
        raise ConfigError("--listen-token-file has no effect without --listen")
    return made._replace(objectives=tuple(parse_objective(text) for text in made.monitor.slos))


async def _main(ctx: click.Context, settings: Settings) -> int:
    import trio

    from lens.cli.monitor_table import MonitorTable
    from lens.monitor.daemon import Monitor, check_monitor, listeners_of, probe
    from lens.orchestrator.stop import Stop, stopped_by_signals
    from lens.run.simulators import Simulators
    from lens.server import is_this_machine, url_of

    table: MonitorTable | None = None

    def tell(text: str) -> None:
        if table is not None:
            table.clear()
        say(text)

    with Simulators() as simulators:

        def ready(wanted: Settings) -> Settings:
            return wanted._replace(config=simulators.host(wanted.config))

        settings = ready(settings)
        monitor = Monitor(settings, check_monitor(settings.config, settings.book), probe, tell)
        listeners, address = await listeners_of(settings), ""
        for listener in listeners:
            place = listener.socket.getsockname()[:2]
            address = f"{url_of(place)}/metrics"
            say(f"{address}, {len(settings.config.targets)} targets every "
                f"{settings.monitor.interval_ns / 1e9:g} s")  # fmt: skip
            if not is_this_machine(place[0]) and settings.monitor.listen_token_file is None:
                say(f"warning: whoever reaches {address} can read the targets and their figures; listen on "
                    "127.0.0.1, or ask for a token with --listen-token-file")  # fmt: skip
        async with stopped_by_signals(Stop()) as stop, trio.open_nursery() as nursery:
            nursery.start_soon(_reload_on_hangup, ctx, monitor, ready, tell)
            if not settings.once and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
                table = MonitorTable(monitor, address)
                nursery.start_soon(table.run)
            await monitor.run(stop, listeners)
            nursery.cancel_scope.cancel()
    if stop.why == "SIGINT":
        return ExitCode.INTERRUPTED
    return ExitCode.NOTHING_MEASURED if settings.once and not monitor.succeeded else ExitCode.OK


async def _reload_on_hangup(
    ctx: click.Context, monitor: Monitor, ready: Callable[[Settings], Settings], say: Callable[[str], None]
) -> None:
    import trio

    hangup = getattr(signal, "SIGHUP", None)
    if hangup is None:
        return
    with trio.open_signal_receiver(hangup) as hangups:
        async for _ in hangups:
            try:
                later = monitor.reload(ready(settings_from(ctx)))
            except Exception as error:  # whatever a file holds, the monitor goes on
                ours = isinstance(error, LensError | click.ClickException)
                say(f"settings are as they were: {error if ours else f'{type(error).__name__}: {error}'}")
            else:
                restart = f"; start the monitor anew for a changed {', '.join(later)}" if later else ""
                say(f"settings were read again: {len(monitor.settings.config.targets)} targets{restart}")


def say(text: str) -> None:
    """Print a line on standard error, for a log."""
    from lens.secrets import one_line

    echo(f"lll: {one_line(text)}", err=True)
