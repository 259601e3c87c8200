"""`lll simulate`: a loopback endpoint with scripted timing, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lens.cli import options
from lens.cli.command import Command, Option, with_options
from lens.cli.echo import echo
from lens.errors import ConfigError, FileError
from lens.simulator.script import OPTIONS, ScriptError, make_script

# Where a new group of script options begins, in the order of the script's own table.
GROUPS = {"ttft": "Timing", "tokens": "Content", "framing": "Wire", "status": "Faults", "cold-start": "Capacity"}

SERVER = (
    Option("--script", "script_file", group="Server", metavar="FILE",
        help="Script file, TOML or JSON; options override it."),
    Option("--host", group="Server", default="127.0.0.1", metavar="HOST",
        help="Address to listen on (default: 127.0.0.1)."),
    Option("--port", group="Server", type=click.IntRange(0, 65535), default=0, metavar="N",
        help="Port to listen on; 0 is any free one (default: 0)."),
    Option("--unix", group="Server", metavar="PATH", help="Listen on a Unix domain socket instead."),
    Option("--tls", group="Server", is_flag=True, help="Serve HTTPS, with a CA of its own."),
    Option("--ca-file", group="Server", default="lens-simulator-ca.pem", metavar="FILE",
        help="File for the CA certificate (default: lens-simulator-ca.pem)."),
    Option("--log", "log_file", group="Server", metavar="FILE",
        help="Log the time of each write, one JSON line per request."),
    Option("--seconds", group="Server", type=options.FiniteRange(min=0), metavar="S",
        help="Stop after this many seconds (default: never)."),
    Option("--cpu", group="Server", type=click.IntRange(min=0), metavar="N",
        help="Pin the server to this core (default: any)."),
    Option("--spin-us", group="Server", type=click.IntRange(min=0), default=0, metavar="US",
        help="Busy-wait this long before each write, for better punctuality (default: 0)."),
    Option("--proxy-mode", group="Server", is_flag=True, help="Run an HTTP CONNECT proxy instead."),
    Option("--proxy-delay", group="Server", default="0", metavar="TIME",
        help="Delay of the proxy's answers (default: 0)."),
)  # fmt: skip


def _script_options() -> tuple[Option, ...]:
    """Return an option for each line of the script's table."""
    made, group = [], ""
    for name, option in OPTIONS.items():
        group = GROUPS.get(name, group)
        flag = name in ("gzip", "trickle", "crlf", "flood", "close", "html", "tool-buffered")
        more: dict[str, Any] = {"is_flag": True} if flag else {"metavar": "VALUE"}
        made.append(
            Option(
                f"--{name}",
                "x_" + name.replace("-", "_"),
                group=group,
                help=option.help[0].upper() + option.help[1:] + ".",
                **more,
            )
        )
    return tuple(made)


@with_options(_script_options(), SERVER, options.COMMON[1:])
@click.command(
    cls=Command,
    example="""
    lll simulate --ttft 200ms --itl 20ms --tokens 100 --port 8080
    lll simulate --rate-limit 600/m --slots 8 --prefill 50us --port 8080
    lll profile --provider openai --base-url http://127.0.0.1:8080/v1 --model any --api-key any
    """,
)
@click.pass_context
def command(ctx: click.Context, /, **_: object) -> int:
    """Serve a loopback endpoint with scripted timing, in every provider's protocol.

    The request header x-lens-script overrides the script: ttft=50ms,tokens=10,status=429. GET /_lens/log returns
    the time of each write, GET /_lens/stats the server's own delay.
    """
    from lens.simulator.launch import ServerOptions, run
    from lens.simulator.server import TlsMissing

    given = ctx.params
    if given["proxy_mode"]:
        return _run_proxy(given)
    server = ServerOptions(**{name: given[name] for name in ServerOptions.__struct_fields__ if name in given})
    try:
        script = make_script(**(_written(given["script_file"]) | _on_the_line(given)))
        stats = run(script, server, _show_address)
    except ScriptError as error:
        raise ConfigError(str(error)) from None
    except (OSError, TlsMissing) as error:
        place = server.unix or f"{server.host}:{server.port}"
        raise ConfigError(f"simulate, {place}: {_why(error, server.host) if not server.unix else error}") from None
    echo(_punctuality(stats))
    return 0


def _why(error: Exception, host: str) -> str:
    """Return why the server cannot start: a file, a value, or an address that cannot be listened on."""
    from lens.server import why_not_listening

    if isinstance(error, OSError) and error.filename is None:
        return why_not_listening(error, host)
    return str(error)


def _on_the_line(given: dict[str, Any]) -> dict[str, Any]:
    said = {name: given["x_" + name.replace("-", "_")] for name in OPTIONS}
    return {name.replace("-", "_"): value for name, value in said.items() if value not in (None, False)}


def _written(path: str | None) -> dict[str, Any]:
    """Return the script file's options."""
    if path is None:
        return {}
    from lens.parsing import parse_json, parse_toml, read_small

    try:
        text = read_small(Path(path)).decode()
        written = parse_json(text) if path.endswith(".json") else parse_toml(text)
    except (OSError, ValueError) as error:
        raise FileError(f"script file {path}: {error}") from None
    if not isinstance(written, dict):
        raise FileError(f'script file {path}: write options, as {{"ttft": "50ms", "tokens": 10}}')
    return {str(name).replace("-", "_"): value for name, value in written.items()}


def _show_address(facts: dict[str, Any]) -> None:
    """Print where it is, and how to use it; also when nobody is at a terminal."""
    base = f"{facts['url']}/v1"
    more = f" --cacert {facts['ca_file']}" if facts["ca_file"] else ""
    more += f" --unix-socket {facts['unix']}" if facts.get("unix") else ""
    echo(f"listening  {facts['url']}" + (f"  ({facts['unix']})" if facts.get("unix") else ""))
    echo(f"try        lll profile --provider openai --base-url {base} --model any --api-key any{more}")
    echo(f"log        {facts['url']}/_lens/log   (Ctrl-C stops)")


def _punctuality(stats: dict[str, Any]) -> str:
    line = f"{stats['requests']} requests, {stats['writes']} writes"
    if not stats["writes"]:
        return line
    return f"{line}; late p50 {stats['late_p50_us']} us, p99 {stats['late_p99_us']} us, max {stats['late_max_us']} us"


def _run_proxy(given: dict[str, Any]) -> int:
    """Run a proxy until a signal or its time."""
    import signal
    import threading

    from lens.simulator.proxy import ProxyScript, start_proxy
    from lens.simulator.script import parse_duration_ns

    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    try:
        script = ProxyScript(delay_ns=parse_duration_ns(given["proxy_delay"]))
        proxy = start_proxy(script, host=given["host"], port=given["port"])
    except (ValueError, OSError) as error:
        raise ConfigError(f"simulate --proxy-mode: {_why(error, given['host'])}") from None
    with proxy:
        echo(f"listening  {proxy.url}")
        echo(f"try        lll profile --proxy {proxy.url} --provider openai ...")
        stopped.wait(given["seconds"])
    echo(f"{len(proxy.tunnels)} tunnels")
    return 0
