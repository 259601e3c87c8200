"""`lll config`: check a config file, print its schema or an example."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lens.cli import options
from lens.cli.command import Command, Group, Option, said, with_options
from lens.cli.echo import echo, echo_json
from lens.errors import ConfigError, ExitCode
from lens.secrets import mask_secrets, remember_headers, remember_secret

if TYPE_CHECKING:
    from lens.cli.config_check import Problem
    from lens.cli.config_shown import Setting

CHECK = (Option("--json", "as_json", group="Output", is_flag=True, help="Print JSON instead of text."),)


_ESSENTIAL = options.ESSENTIAL | {"as_json"}
EXAMPLE = """
    lll config check llm-latency-lens.toml
    lll config check llm-latency-lens.toml --rate 5 --json
    """


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def command() -> None:
    """Check a config file, print its schema, or an example of one.

    A file is TOML, YAML or JSON; --config FILE or LLL_CONFIG_FILE gives it to every command.
    """


@with_options(CHECK, options.TARGET, options.PROMPT, options.LOAD, options.CONNECTION, options.COMMON)
@command.command("check", cls=Command, essential=_ESSENTIAL, example=EXAMPLE)
@click.argument("file", required=False, metavar="[FILE]", type=click.Path(path_type=Path))
@click.pass_context
def check(ctx: click.Context, /, file: Path | None, **_: object) -> int:
    """Show each setting with its source, or list every error.

    Options override the file as in `lll benchmark`. Nothing is sent, and no secret is shown.
    """
    from lens.cli.config_check import Checked, check_environment, check_file, check_whole
    from lens.cli.config_shown import Sources, missing_keys, option_names, settings
    from lens.config.load import config_file, from_environment, make_config

    above = ctx.obj or {}
    path = file or config_file(ctx.params.get("config") or above.get("config"))
    _remember_variables()
    checked = check_file(path, os.environ) if path else Checked((), {}, {})
    problems = [*checked.problems, *check_environment(os.environ)]
    flags = said(ctx)
    if ctx.params.get("prompt"):
        flags.setdefault("prompts", {})["texts"] = list(ctx.params["prompt"])
    if problems:
        return _print_problems(ctx, path, problems)
    try:
        config = make_config(flags, file=path)
    except ConfigError as error:
        raise ConfigError(f"these settings together: {error}") from None
    problems = check_whole(config, os.environ)
    if problems:
        return _print_problems(ctx, path, problems)
    for target in config.targets:
        remember_secret(target.api_key.reveal() if target.api_key else None)
    names = option_names(ctx.command.params)
    sources = Sources(flags, from_environment(os.environ), checked.tree, checked.lines, names)
    notes = missing_keys(config, os.environ)
    if not config.targets:
        notes.append("no target: name one under [providers], or with --provider and --model")
    _print_settings(ctx, path, list(settings(config, sources, os.environ)), notes)
    return ExitCode.OK


@command.command("schema", cls=Command, example="lll config schema > llm-latency-lens.schema.json\nlll config schema")
def schema() -> None:
    """Print the JSON Schema of a config file, for editors that complete and check."""
    from lens.config.json_schema import schema_text

    click.echo(schema_text(), nl=False)


@command.command("example", cls=Command, example="lll config example > llm-latency-lens.toml\nlll config example")
def example() -> None:
    """Print a commented example config file."""
    click.echo(example_text(), nl=False)


def example_text() -> str:
    """Return the example that ships."""
    from importlib.resources import files

    return files("lens.config").joinpath("example.toml").read_text(encoding="utf-8")


def _remember_variables() -> None:
    """Values of variables that hold secrets by their name are shown nowhere, also when a file names them."""
    remember_headers(os.environ.items())


def _print_problems(ctx: click.Context, path: Path | None, problems: Sequence[Problem]) -> int:
    """Every mistake a line, as compilers write them."""
    told = []
    for problem in problems:
        place = ":".join(str(part) for part in (path, problem.line) if part is not None)
        known = path is not None and str(path) in problem.says
        told.append(
            mask_secrets(problem.says if known and problem.line is None else f"{place}: {problem.says}".lstrip(": "))
        )
    if ctx.params["as_json"]:
        _print_json({"file": str(path) if path else None, "errors": told})
    else:
        for line in told:
            echo(line, err=True)
        echo(f"lll: {len(told)} {'error' if len(told) == 1 else 'errors'}; nothing would be run", err=True)
    return ExitCode.USAGE


def _print_settings(ctx: click.Context, path: Path | None, found: list[Setting], notes: list[str]) -> None:
    import msgspec

    if ctx.params["as_json"]:
        rows = [msgspec.structs.replace(one, value=mask_secrets(one.value)) for one in found]
        _print_json({"file": str(path) if path else None, "settings": rows, "notes": notes, "errors": []})
        return
    echo(f"{path or 'no config file'}: fine")
    wide = max(len(one.name.rpartition(".")[2]) for one in found)
    section = None
    for one in found:
        head, _, name = one.name.rpartition(".")
        if head != section:
            section = head
            echo(f"\n[{head}]" if head else "")
        echo(f"  {name:{wide}}  {_short(mask_secrets(one.value)):32}  {_source(one, path)}".rstrip())
    for note in notes:
        echo(f"\nnote: {note}")


def _source(one: Setting, path: Path | None) -> str:
    if one.source == "file":
        return f"{path.name if path else 'file'}:{one.line}" if one.line else "file"
    return {"flag": f"flag {one.by or ''}", "environment": f"environment {one.by or ''}"}.get(one.source, "default")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:57]}..."


def _print_json(value: Any) -> None:

    echo_json(value)
