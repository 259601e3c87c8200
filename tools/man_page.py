"""The manual page of `lll`, made from its help: `make man` writes share/man/man1/lll.1, which the wheel installs.

python tools/man_page.py share/man/man1
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from lens._version import __version__
from lens.cli.main import COMMANDS, lll
from lens.config.load import VARIABLES
from lens.errors import ExitCode

EXIT_CODES = (
    (ExitCode.OK, "everything went well"),
    (ExitCode.NOTHING_MEASURED, "nothing could be measured: every request failed"),
    (ExitCode.USAGE, "wrong options, files or settings; an output that cannot be written"),
    (ExitCode.THRESHOLD, "a threshold, SLA or regression gate is not met"),
    (ExitCode.BUDGET, "the budget of --max-cost ended the run"),
    (ExitCode.INTERRUPTED, "interrupted; what was measured is kept"),
)


def man_page() -> str:
    """Return the whole page."""
    return "\n".join([*_head(), *_commands(), *_tail()]) + "\n"


def _head() -> Iterator[str]:
    yield f'.TH LLL 1 "" "llm-latency-lens {__version__}" "User Commands"'
    yield ".SH NAME"
    yield "lll, llm\\-latency\\-lens \\- measure streaming LLM endpoints: latency, throughput, errors and cost"
    yield ".SH SYNOPSIS"
    yield ".B lll\n.I URL\n.br\n.B lll\n[\\fIOPTIONS\\fR]\n.I COMMAND\n[\\fIARGS\\fR]..."
    yield ".SH DESCRIPTION"
    yield from _paragraphs(lll.help)
    yield ".SH OPTIONS"
    yield from _options(lll, click.Context(lll, info_name="lll", **lll.context_settings))
    yield ".SH COMMANDS"


def _commands() -> Iterator[str]:
    above = click.Context(lll, info_name="lll", **lll.context_settings)
    for name in COMMANDS:
        command = lll.get_command(above, name)
        assert command is not None
        if isinstance(command, click.Group):
            for below, one in command.commands.items():
                yield from _command(f"{name} {below}", one, above)
        else:
            yield from _command(name, command, above)


def _command(name: str, command: click.Command, above: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=above, **command.context_settings)
    yield f".SS {_text(f'lll {name}')}"
    yield f".B {_text(command.get_usage(context).removeprefix('Usage: ').strip())}"
    yield from _paragraphs(command.help)
    yield from _options(command, context)
    example = getattr(command, "example", "")
    if example:
        yield ".PP\nExamples:"
        yield ".nf"
        yield from [f"  {_text(line)}" for line in example.splitlines()]
        yield ".fi"


def _paragraphs(text: str | None) -> Iterator[str]:
    for paragraph in (text or "").strip().split("\n\n"):
        yield ".PP"
        yield _text(" ".join(paragraph.replace("\b", "").split()))


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = None if isinstance(parameter, click.Argument) else parameter.get_help_record(context)
        if record:
            yield ".TP"
            yield f".B {_text(record[0])}"
            yield _text(record[1])


def _tail() -> Iterator[str]:
    yield ".SH EXIT STATUS"
    for code, means in EXIT_CODES:
        yield f".TP\n.B {code}\n{_text(means)}"
    yield ".SH FILES"
    yield ".TP\n.B llm\\-latency\\-lens.toml"
    yield _text("Settings for every command in its directory; lll init writes it, --config names another.")
    yield ".SH ENVIRONMENT"
    yield _text(f"{', '.join(VARIABLES)}, LLL_CONFIG_FILE, NO_COLOR, and each provider's own variable for its key.")


def _text(text: str) -> str:
    """Return text of which no character is a command of roff."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join([f"\\&{line}" if line.startswith((".", "'")) else line for line in escaped.split("\n")])


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lll.1").write_text(man_page(), encoding="utf-8")
    (folder / "llm-latency-lens.1").write_text(".so man1/lll.1\n", encoding="utf-8")


if __name__ == "__main__":
    main()
