"""`lll ui`: the runs of a folder in the browser, live and afterwards."""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING

import click

from lens.cli import options
from lens.cli.command import Command, Option, with_options
from lens.errors import ConfigError, ExitCode, LensError

if TYPE_CHECKING:
    from lens.pricing import PriceBook
    from lens.ui.folder import Folder

_serve = partial(Option, group="Server")
SERVER = (
    _serve("--listen", metavar="ADDRESS:PORT", default="127.0.0.1:8098",
        help="Address that serves the pages (default: 127.0.0.1:8098)."),
    _serve("--remote", is_flag=True,
        help="Allow --listen on an address that other machines reach; nothing is encrypted."),
)  # fmt: skip


@with_options(SERVER, options.PRICES, options.COMMON[1:])
@click.command(
    cls=Command,
    example="""
    lll ui
    lll ui ./runs --listen 127.0.0.1:9000
    """,
)
@click.argument("folder", required=False, metavar="[FOLDER]")
@click.pass_context
def command(ctx: click.Context, /, folder: str | None, **_: object) -> int:
    """Serve a folder of runs as pages in the browser: live view, list, comparison, gates.

    Shows running benchmarks (from their journals) and monitors (from their history) as they go on, and every run file
    of the folder (default: the working directory) and below it. Needs the token in the address that it prints.
    """
    from lens.cli.settings import book_of
    from lens.server import is_this_machine, parse_listen
    from lens.ui.app import folder_of

    host, _port = parse_listen(ctx.params["listen"])
    if not (is_this_machine(host) or host == "localhost" or ctx.params["remote"]):
        raise ConfigError(
            f"--listen {ctx.params['listen']}: other machines reach this address, and the pages are not encrypted; "
            "add --remote to allow it, or listen on 127.0.0.1 and forward the port with ssh -L"
        )
    found, book = folder_of(folder), book_of(ctx)
    import trio

    from lens.errors import causes

    try:
        return trio.run(_main, found, book, ctx.params["listen"], host)
    except* LensError as errors:
        raise next(causes(errors)) from None


async def _main(folder: Folder, book: PriceBook, listen: str, host: str) -> int:
    """Serve until a signal comes."""
    import trio

    from lens.orchestrator.stop import Stop, stopped_by_signals
    from lens.server import open_listeners, serve
    from lens.ui.app import App, addresses

    token = secrets.token_urlsafe(18)
    listeners = await open_listeners(listen)
    hosts = [listener.socket.getsockname()[:2] for listener in listeners]
    for address in addresses(hosts, token):
        click.echo(address)  # with the token: masked it would open nothing
    async with stopped_by_signals(Stop()) as stop, trio.open_nursery() as nursery:
        nursery.start_soon(serve, listeners, App(folder, book, token, host).handler)
        await stop.wait()
        nursery.cancel_scope.cancel()
    folder.flush()
    return ExitCode.OK
