"""The one place where an exception becomes a line on stderr and an exit code.

No traceback is shown unless --log-level debug asks for it, and whatever is shown has its
secrets masked: those this process knows, and whatever looks like one.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from itertools import pairwise

import click

from lens.errors import ExitCode, LensError, causes
from lens.secrets import mask_secrets, one_line

PROGRAM = "lll"


def run(group: click.Group, arguments: Sequence[str]) -> int:
    """Run the command line; every way it can end comes back as an exit code."""
    _replace_unprintable()
    odd = next((word for word in arguments if any("\ud800" <= c <= "\udfff" for c in word)), None)
    if odd is not None:
        shown = odd.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        return _say(f"the argument {shown!r} is not UTF-8 text; write it in UTF-8, or in a file", ExitCode.USAGE)
    try:
        code = group.main(list(arguments), prog_name=PROGRAM, standalone_mode=False)
    except BaseException as error:
        return _ended_by(error, arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError as error:
        return _ended_by(error, arguments)
    return code if isinstance(code, int) else ExitCode.OK


def _replace_unprintable() -> None:
    """Let a pipe or terminal whose encoding lacks a character show another in its place, instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")


def _ended_by(error: BaseException, arguments: Sequence[str]) -> int:
    """Say what went wrong, in one line, and give the exit code."""
    found = list(causes(error))
    ours = next((c for c in found if isinstance(c, LensError)), None)
    if any(isinstance(c, KeyboardInterrupt | click.Abort) for c in found):
        return _say("interrupted", ExitCode.INTERRUPTED)
    if any(isinstance(c, SystemExit) for c in found):
        raise error
    if any(isinstance(c, BrokenPipeError) for c in found):
        # Who read our output has enough of it; what is still buffered must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return ExitCode.USAGE
    if isinstance(error, click.ClickException):
        return _say(_usage_text(error), ExitCode.USAGE)
    if wants_debug(arguments):
        _show_traceback(error)
    if ours is not None:
        return _say(str(ours), ours.exit_code)
    cause = found[0]
    hint = "" if wants_debug(arguments) else "; this is a bug, --log-level debug shows where"
    return _say(f"{type(cause).__name__}: {cause}{hint}", ExitCode.NOTHING_MEASURED)


def _usage_text(error: click.ClickException) -> str:
    text = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    return f"{text}; see {context.command_path} --help" if context is not None else text


def _say(text: str, code: int) -> int:
    click.echo(f"{PROGRAM}: {one_line(text)}", err=True)
    return code


def wants_debug(arguments: Sequence[str]) -> bool:
    """Whether the command line or the environment asks for debug or trace."""
    levels = {"debug", "trace"}
    pairs = pairwise(arguments)
    if any(name == "--log-level" and value.lower() in levels for name, value in pairs):
        return True
    if any(a.lower() in {f"--log-level={level}" for level in levels} for a in arguments):
        return True
    return os.environ.get("LLL_LOG_LEVEL", "").lower() in levels


def _show_traceback(error: BaseException) -> None:
    import traceback

    for line in traceback.format_exception(error):
        click.echo(mask_secrets(line.rstrip("\n")), err=True)
