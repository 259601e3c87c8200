"""`lll init`: write a config file from the answers to five questions."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from lens.cli.command import Command, Option, with_options
from lens.cli.echo import echo
from lens.errors import ConfigError, ExitCode, FileError
from lens.secrets import remember_secret

if TYPE_CHECKING:
    from lens.config.settings import TargetConfig

DEFAULT_FILE = "llm-latency-lens.toml"
DEFAULT_ENDPOINT = "http://localhost:8000/v1"
# What a shell takes as the name of a variable; a key has other characters, or small letters.
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
INIT = (
    Option("--output", "-o", group="Output", metavar="FILE", default=DEFAULT_FILE,
        help=f"File to write, as TOML (default: {DEFAULT_FILE}, which every command reads in its directory)."),
    Option("--force", group="Output", is_flag=True, help="Overwrite an existing file."),
)  # fmt: skip
T = TypeVar("T")


@with_options(INIT)
@click.command(cls=Command, example="lll init\nlll init -o staging.toml")
@click.pass_context
def command(ctx: click.Context, /, **_: object) -> int:
    """Write a config file by asking five questions: endpoint, model, key variable, requests, concurrency.

    The endpoint is asked for its models. An empty answer, or the end of piped input, takes the default in brackets.
    Of a key only the name of its environment variable is written.
    """
    from lens.history.write import NewFile, is_special, is_stdout

    path = Path(ctx.params["output"])
    if path.exists() and not ctx.params["force"] and not is_special(path):
        raise FileError(f"{path}: it exists; --force replaces it, -o FILE writes another")
    endpoint = _ask("Endpoint: its URL, or the name of a provider", DEFAULT_ENDPOINT, _endpoint)
    target = _detected(endpoint)
    model = _ask("Model", target.model, _model)
    variable = _ask("Environment variable that holds the key, - for none", _key_variable(target), _variable)
    requests = _ask("Number of requests", "100", _count)
    concurrency = _ask("Requests in flight", "8", _count)
    text = _toml(target.provider, target.base_url, model, variable, requests, concurrency)
    with NewFile(path, force=ctx.params["force"]) as file:
        file.write(text.encode())
    on_stderr = is_stdout(ctx.params["output"])
    echo(f"written      {path}", err=on_stderr)
    used = "" if path.name == DEFAULT_FILE and path.parent == Path() else f" --config {path}"
    echo(f"try          lll profile{used}", err=on_stderr)
    echo(f"             lll benchmark{used}", err=on_stderr)
    return ExitCode.OK


def _ask(question: str, default: str, read: Callable[[str], T]) -> T:
    """Return the answer as `read` takes it; on a terminal one that cannot be is asked for again.

    Raises:
        ConfigError: it cannot be, and nobody is there to ask.
    """
    while True:
        click.echo(f"{question}{f' [{default}]' if default else ''}: ", nl=False, err=True)
        line = sys.stdin.readline()
        if not sys.stdin.isatty():
            click.echo(err=True)
        try:
            return read(line.strip() or default)
        except ConfigError as error:
            if not sys.stdin.isatty() or not line:
                raise
            echo(f"lll: {error}", err=True)


def _endpoint(text: str) -> tuple[str, str | None]:
    """Return provider and base URL, None where it is the provider's own."""
    from lens.config.settings import COMPATIBLE
    from lens.providers.registry import get_provider, provider_names
    from lens.run.detect import with_scheme

    if "://" not in text and text in provider_names():
        provider = get_provider(text)
        if provider.base_url is None:
            raise ConfigError(f"provider {text} has no address of its own; write its URL")
        return text, None
    if not re.search(r"[.:/]|^localhost$", text):
        get_provider(text)  # names the nearest
    return COMPATIBLE, with_scheme(text)


def _detected(endpoint: tuple[str, str | None]) -> TargetConfig:
    """Return the target that the endpoint's address and server tell of; the model is "" where nobody knows it."""
    import trio
    from msgspec.structs import replace

    from lens.config.settings import TargetConfig
    from lens.errors import LensError
    from lens.run.detect import UNNAMED, detect

    provider, url = endpoint
    said = TargetConfig(provider=provider, base_url=url)
    try:
        one, served = trio.run(detect, said)
    except LensError:  # no key is set yet
        return said
    if served.silent:
        echo(f"lll: no answer from {url or provider}: write its model yourself, or start it first", err=True)
    if served.models:
        more = f", and {len(served.models) - 1} more" if len(served.models) > 1 else ""
        echo(f"lll: {one.base_url or provider} serves {served.models[0]}{more}", err=True)
    return replace(one, model="" if one.model == UNNAMED else one.model)


def _model(text: str) -> str:
    if not text:
        raise ConfigError("the endpoint tells no model; write its name as the second answer; nothing was written")
    return text


def _key_variable(target: TargetConfig) -> str:
    """Return the provider's own variable; "-" where its servers need no key."""
    from lens.providers.registry import get_provider

    return next(iter(get_provider(target.provider).key_variables), "-")


def _variable(text: str) -> str | None:
    if text == "-":
        return None
    if _VARIABLE.fullmatch(text):
        return text
    remember_secret(text)  # most likely the key itself
    raise ConfigError("that is no name of a variable, such as OPENAI_API_KEY; a key itself is not written to the file")


def _count(text: str) -> int:
    from lens.units import parse_count

    if not (count := parse_count(text)):
        raise ConfigError(f"{text!r}: write a number of 1 or more")
    return count


def _toml(
    provider: str, base_url: str | None, model: str, variable: str | None, requests: int, concurrency: int
) -> str:
    """Return the file; `lll config example` shows what else one may hold."""
    lines = [
        "# Settings of llm-latency-lens. `lll config check` says what would be used, `lll config example` what else",
        "# there is.",
        "",
        f"[providers.{provider}]",
        f"model = {_string(model)}",
        *([f"base_url = {_string(base_url)}"] if base_url else []),
        *([f"api_key_env = {_string(variable)}"] if variable else []),
        "",
        "[load]",
        f"iterations = {requests}",
        f"concurrency = {concurrency}",
    ]
    return "\n".join(lines) + "\n"


def _string(text: str) -> str:
    """Return a basic string of TOML, whose escapes are those of JSON."""
    import json

    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
