"""The one place where an exception becomes a line on stderr and an exit code.

No traceback is shown unless --log-level debug asks for it, and whatever is shown has its
secrets masked: those this process knows, and whatever looks like one.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

import click

from lens.cli.clash import clash_warning
from lens.cli.echo import echo
from lens.cli.interrupts import interruptible
from lens.errors import ExitCode, LensError, causes, lacking
from lens.export.isolated import memory_is_limited
from lens.secrets import one_line

PROGRAM, LONG_PROGRAM = "lll", "llm-latency-lens"
# Given back before an error is told: to say that no memory is left takes some.
RESERVE_BYTES = 4 << 20
# What a write raises to a device that takes no more, and to an output that was closed before the start.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


def run(group: click.Group, arguments: Sequence[str]) -> int:
    """Run the command line; every way it can end comes back as an exit code."""
    _replace_closed()
    _replace_unprintable()
    if (clash := clash_warning(__file__.rpartition(os.sep)[0])) is not None:
        echo(f"{PROGRAM}: {clash}", err=True)
    odd = next((word for word in arguments if any("\ud800" <= c <= "\udfff" for c in word)), None)
    if odd is not None:
        shown = odd.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        return _say(f"the argument {shown!r} is not UTF-8 text; write it in UTF-8, or in a file", ExitCode.USAGE)
    reserve = _prepare_for_little_memory() if memory_is_limited() else None
    try:
        with interruptible():
            code = group.main(list(arguments), prog_name=_called(), standalone_mode=False)
    except BaseException as error:
        del reserve
        return _ended_by(error, arguments)
    try:
        sys.stdout.flush()
    except OSError as error:
        return _ended_by(error, arguments)
    return code if isinstance(code, int) else ExitCode.OK


def _prepare_for_little_memory() -> bytearray:
    """Keep numpy from starting threads, each of which takes memory, and return what is kept for telling an error."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return bytearray(RESERVE_BYTES)


def _called() -> str:
    """Return the name of the program; the long one only where a shell asks that one how to complete its words."""
    return LONG_PROGRAM if f"_{LONG_PROGRAM.replace('-', '_').upper()}_COMPLETE" in os.environ else PROGRAM


def _replace_closed() -> None:
    """Take the numbers of standard output and error where they were closed before the start: no other file gets them.

    What is printed to a closed standard output cannot be written, and it is said so.
    """
    for number, name, mode in ((1, "stdout", os.O_RDONLY), (2, "stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            file = os.open(os.devnull, mode)
            if file != number:  # else a file that is opened later would get what is printed
                os.dup2(file, number)
                os.close(file)
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115 - for all its life


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
        return output_closed()
    full = next((c for c in found if isinstance(c, OSError) and c.errno in _FULL and c.filename is None), None)
    if full is not None:
        _discard_output()
        return _say(f"cannot write to standard output: {full.strerror}", ExitCode.USAGE)
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
    missing = lacking(cause)
    if missing is not None:
        return _say(missing, ExitCode.NOTHING_MEASURED)
    hint = "" if wants_debug(arguments) else "; this is a bug, --log-level debug shows where"
    return _say(f"{type(cause).__name__}: {cause}{hint}", ExitCode.NOTHING_MEASURED)


def output_closed() -> int:
    """Return the exit code where who read the output has enough of it: nothing went wrong."""
    _discard_output()
    return ExitCode.OK


def _discard_output() -> None:
    """Drop what is still buffered for standard output, so that it does not raise again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage_text(error: click.ClickException) -> str:
    text = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    if isinstance(error, click.NoSuchOption) and _is_of_sessions(error.option_name):
        text = f"{text}: sessions are sent by `lll benchmark`, and its files compared by `lll compare FILE FILE`"
    return f"{text}; see {context.command_path} --help" if context is not None else text


def _is_of_sessions(name: str) -> bool:
    """Return whether an option says how sessions are sent, which only some commands do."""
    from lens.cli.options import SESSIONS

    return any(name in option.opts for option in SESSIONS)


def _say(text: str, code: int) -> int:
    with suppress(OSError):  # standard error takes no more either
        click.echo(f"{PROGRAM}: {one_line(text)}", err=True)
    return code


def wants_debug(arguments: Sequence[str]) -> bool:
    """Return whether the command line or the environment asks for debug or trace."""
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
        echo(line.rstrip("\n"), err=True)
