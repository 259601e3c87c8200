"""How a command looks: options in named groups, other tools' names as hidden aliases, examples.

A command with many options shows the essential ones in --help and all of them, by group, in --help-all.

An option carries its destination in the settings tree of `lens.config.settings` ("load.rate_per_s"), so
that a command hands over what was said without naming each option again.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from lens.errors import ConfigError
from lens.patterns import lazy_pattern
from lens.secrets import remember_secret

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# ttft:200, e2el:1s
_LIMIT = lazy_pattern(r"[A-Za-z_]\w*(?::|<=|>=|=)[\d.]+\w*")
# What may follow a threshold.
_ABORT = lazy_pattern(r"abort(=\S+)?")


class Option(click.Option):
    """An option with a group, a destination and hidden aliases."""

    def __init__(
        self,
        *names: str,
        group: str,
        to: str | None = None,
        aliases: Sequence[str] = (),
        stands_for: Any = None,
        secret: bool = False,
        greedy: bool = False,
        once: bool = False,
        **more: Any,
    ) -> None:
        """
        to: "section.field" of the settings tree; None: the command reads it itself.
        stands_for: of a flag: the value that it sets in place of True.
        greedy: takes all the words that follow and look like metric:limit, as vllm's --goodput does.
        once: given twice it is an error, where click would keep the last without a word.
        """
        if once:
            more |= {"multiple": True, "callback": _given_once}
        super().__init__([*names, *aliases], **more)
        self.group, self.to, self.stands_for, self.secret = group, to, stands_for, secret
        self.aliases, self.greedy = frozenset(aliases), greedy

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the help without the aliases."""
        shown, self.opts = self.opts, [o for o in self.opts if o not in self.aliases]
        try:
            record = super().get_help_record(ctx)
            # What range a number has is said when it is left; "[x>=1]" helps nobody before.
            return record and (record[0], record[1].partition("  [")[0])
        finally:
            self.opts = shown

    def get_error_hint(self, ctx: click.Context | None) -> str:  # noqa: ARG002
        """Errors speak of the option by its first long name."""
        return f"'{next((o for o in self.opts if o.startswith('--')), self.opts[0])}'"


def _given_once(ctx: click.Context, parameter: click.Parameter, values: Sequence[Any]) -> Any:
    """Return the only value of an option, None where it was not given."""
    if len(values) > 1:
        name = parameter.get_error_hint(ctx).strip("'")
        raise ConfigError(
            f"{name} was given {len(values)} times ({', '.join(map(str, values))}) and names one; "
            "for several targets write --target NAME=provider:model@URL, once for each"
        )
    return values[0] if values else None


class Command(click.Command):
    """A command whose options are listed by group, with examples at the end."""

    def __init__(self, *args: Any, example: str = "", essential: Collection[str] = (), **more: Any) -> None:
        """
        example: lines shown at the end of the help.
        essential: names of the options that --help shows; none: it shows all of them.
        """
        more.setdefault("context_settings", {"help_option_names": ["-h", "--help"], "max_content_width": 100})
        super().__init__(*args, **more)
        self.example = inspect.cleandoc(example)
        self.essential = frozenset(essential)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the parameters, with --help-all, which is listed where --help is short."""
        return with_help_all(super().get_params(ctx), listed=bool(self.essential))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give each word after a greedy option an option of its own, which is what click understands."""
        greedy = {name for p in self.get_params(ctx) if isinstance(p, Option) and p.greedy for name in p.opts}
        spread: list[str] = []
        taking: str | None = None  # the option whose words these are
        for arg in args:
            if _ABORT.fullmatch(arg) and len(spread) > 1 and spread[-2] == "--threshold":
                spread[-1] += f" {arg}"
                continue
            if taking and spread[-1] != taking and _LIMIT.fullmatch(arg):
                spread.append(taking)
            elif not (taking and spread[-1] == taking):
                name = arg.partition("=")[0]
                taking = name if name in greedy else None
            spread.append(arg)
        return super().parse_args(ctx, spread)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete options as click does, without other tools' names for them."""
        aliases = {name for one in self.get_params(ctx) if isinstance(one, Option) for name in one.aliases}
        return [one for one in super().shell_complete(ctx, incomplete) if one.value not in aliases]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section per group, in the order in which the groups first appear; of --help the essential ones."""
        short = bool(self.essential) and not ctx.meta.get(_ALL)
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            # An argument stands in the usage line, and is explained above.
            record = None if isinstance(parameter, click.Argument) else parameter.get_help_record(ctx)
            if record and not (short and isinstance(parameter, Option) and parameter.name not in self.essential):
                group = getattr(parameter, "group", "Program")
                groups.setdefault("Options" if short else group, []).append(record)
        for name, records in groups.items():
            with formatter.section(name):
                formatter.write_dl(records, col_max=28)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the examples."""
        if self.example:
            with formatter.section("Examples"):
                for line in self.example.splitlines():
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")


# Set in the context while --help-all writes the help.
_ALL = "lens.help_all"


def _show_all(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    """Print the help with every option and exit."""
    if value and not ctx.resilient_parsing:
        ctx.meta[_ALL] = True
        click.echo(ctx.get_help(), color=ctx.color)
        ctx.exit()


_HELP_ALL, _HELP_ALL_UNLISTED = (
    click.Option(
        ["--help-all"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_all,
        hidden=hidden,
        help="Show all options, by group, and exit.",
    )
    for hidden in (False, True)
)


def with_help_all(parameters: Sequence[click.Parameter], *, listed: bool) -> list[click.Parameter]:
    """Return the parameters of a command with --help-all before the last, --help; where that shows all, unlisted."""
    return [*parameters[:-1], _HELP_ALL if listed else _HELP_ALL_UNLISTED, *parameters[-1:]]


class Group(click.Group):
    """A group of commands; --help-all says what --help does."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the parameters with --help-all."""
        return with_help_all(super().get_params(ctx), listed=False)


def with_options(*groups: Sequence[Option]) -> Callable[[click.Command], click.Command]:
    """Add the options of these groups to a command."""

    def add(command: click.Command) -> click.Command:
        command.params.extend(option for group in groups for option in group)
        return command

    return add


def _names(option: Option) -> str:
    return next((name for name in option.opts if name.startswith("--")), option.opts[0])


def given_options(ctx: click.Context, groups: Collection[str], but: Collection[str] = ()) -> list[str]:
    """Return the options of these groups that were given on the command line, without those named in `but`."""
    return [
        _names(one)
        for one in ctx.command.params
        if isinstance(one, Option)
        and one.group in groups
        and one.name is not None
        and one.name not in but
        and ctx.get_parameter_source(one.name) is ParameterSource.COMMANDLINE
    ]


def said(ctx: click.Context) -> dict[str, Any]:
    """Return what the command line says, as the tree of sections that lens.config.settings takes.

    An option that was left out is absent; the environment and the config file speak for it.

    Raises:
        UsageError: two options set the same setting to different values, or a number is out of range.
    """
    tree: dict[str, Any] = {}
    for parameter in ctx.command.params:
        if not isinstance(parameter, Option) or parameter.name is None:
            continue
        value = ctx.params.get(parameter.name)
        if parameter.secret:
            remember_secret(value)
        given = ctx.get_parameter_source(parameter.name) is not ParameterSource.DEFAULT
        if parameter.to is None or value is None or not given:
            continue
        section, _, field = parameter.to.partition(".")
        chosen = value if parameter.stands_for is None else parameter.stands_for
        if field:
            if tree.get(section, {}).get(field, chosen) != chosen:
                raise click.UsageError(f"{_names(parameter)} contradicts another option: both set {parameter.to}", ctx)
            _check_range(ctx, parameter, section, field, chosen)
            tree.setdefault(section, {})[field] = chosen
        else:
            tree[section] = chosen
    return tree


# How bounds are told of a setting, and of the option that sets it.
_BOUND = lazy_pattern(r"expected (?:int|float) (>=|<=|>|<) (\S+)")
_BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


def _check_range(ctx: click.Context, option: Option, section: str, field: str, value: Any) -> None:
    """Refuse a number, or one of several, that the setting of the option cannot be; the message names the option.

    Raises:
        BadParameter: it is too small or too large.
    """
    if isinstance(value, bool) or not isinstance(
        value[0] if isinstance(value, tuple) and value else value, int | float
    ):
        return
    from lens.config.load import convert

    of_target = {"targets": [{"provider": "openai", field: value}]}
    try:
        convert(of_target if section == "target" else {section: {field: value}})
    except ConfigError as error:
        says = str(error).partition(": ")[2].replace("expected a number", "must be a number")
        if (bound := _BOUND.fullmatch(says)) is not None:
            above, least = bound[1], float(bound[2])
            if field.endswith("_ns") and (above, least) == (">=", 1):
                above, least = ">", 0
            says = f"must be {_BOUNDS[above]} {least:g}"
        raise click.BadParameter(says, ctx, option) from None
