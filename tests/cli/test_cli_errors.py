"""How the command line ends: one clear line on stderr, the right exit code, never a secret."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys

import click
import pytest
from waiting import HANG_S

from lens.cli import errors
from lens.cli.errors import run
from lens.errors import BudgetError, ConfigError, ExitCode, TlsError
from lens.secrets import one_line, remember_secret


def ended(error, arguments=()):
    """The exit code of a command that raises this."""

    @click.group(invoke_without_command=True)
    def group():
        raise error

    return run(group, list(arguments))


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (ConfigError("threshold 'x': no metric 'x'"), ExitCode.USAGE, "lll: threshold 'x': no metric 'x'\n"),
        (BudgetError("the next request may cost more"), ExitCode.BUDGET, "lll: the next request may cost more\n"),
        (TlsError("certificate\nexpired"), ExitCode.NOTHING_MEASURED, "lll: certificate expired\n"),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, "lll: interrupted\n"),
        (ExceptionGroup("x", [ExceptionGroup("y", [ConfigError("inner")])]), ExitCode.USAGE, "lll: inner\n"),
        (BaseExceptionGroup("x", [KeyboardInterrupt()]), ExitCode.INTERRUPTED, "lll: interrupted\n"),
        (
            MemoryError(),
            ExitCode.NOTHING_MEASURED,
            "lll: no memory is left; raise the limit of this process (ulimit -v), or lower --concurrent\n",
        ),
        (
            ImportError("libx.so: failed to map segment"),
            ExitCode.NOTHING_MEASURED,
            "lll: no memory is left; raise the limit of this process (ulimit -v), or lower --concurrent\n",
        ),
        (
            RuntimeError("can't start new thread"),
            ExitCode.NOTHING_MEASURED,
            "lll: no thread can be started: memory (ulimit -v) or the number of processes (ulimit -u) is limited; "
            "raise the limit\n",
        ),
        (
            OSError(errno.EMFILE, "Too many open files"),
            ExitCode.NOTHING_MEASURED,
            "lll: no file can be opened: the "
            "limit of open files is reached; raise it (ulimit -n 4096), or lower --concurrent\n",
        ),
        (click.UsageError("no such thing"), ExitCode.USAGE, "lll: no such thing; see lll --help\n"),
    ],
)
def test_every_end_has_its_line_and_its_code(capsys, error, code, says):
    assert ended(error) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.lstrip("\n") == says  # click ends the line in which ^C stands


def test_a_bug_is_one_line_too_and_says_how_to_see_more(capsys):
    assert ended(ZeroDivisionError("division by zero")) == 1
    assert capsys.readouterr().err == (
        "lll: ZeroDivisionError: division by zero; this is a bug, --log-level debug shows where\n"
    )


def test_the_traceback_is_for_those_who_ask_and_holds_no_secret(capsys):
    remember_secret("hunter2hunter2")
    assert errors._ended_by(ValueError("bad key hunter2hunter2"), ["--log-level", "debug"]) == 1
    shown = capsys.readouterr().err
    assert "ValueError" in shown
    assert "hunter2" not in shown


def test_an_error_cannot_steer_the_terminal():
    assert one_line("a\x1b[31m\nb\tc") == "a [31m b c"


def test_a_reader_who_has_had_enough_is_no_error():
    program = "import sys; from lens.__main__ import main; sys.argv[1:] = ['--help']; main()"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(HANG_S) in (0, 1)


def test_an_argument_that_is_no_text_is_refused_with_words(capsys):
    assert run(click.Group(), ["benchmark", "-p", "Gr\udcf6\udcdfe"]) == ExitCode.USAGE
    assert "is not UTF-8 text" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii"])
def test_a_pipe_of_another_encoding_shows_what_it_can(monkeypatch, encoding):
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", out)

    @click.group(invoke_without_command=True)
    def group():
        print("日本 done")

    assert run(group, []) == 0
    out.flush()
    assert out.buffer.getvalue() == b"?? done\n"


def test_an_argument_that_is_no_text_is_refused(capsys):
    assert run(click.Group("lll"), ["\udcff"]) == ExitCode.USAGE
    assert "is not UTF-8 text; write it in UTF-8, or in a file" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--no-such", "--sessions"])
def test_an_option_that_does_not_exist_is_named_with_what_would_work(capsys, option):
    context = click.Context(click.Command("profile"), info_name="profile")
    assert ended(click.NoSuchOption(option, ctx=context)) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert "see profile --help" in said
    assert ("lll benchmark" in said) == (option == "--sessions")


def test_a_failing_write_at_the_end_is_a_full_disk(monkeypatch, capsys):
    class Full(io.StringIO):
        def flush(self):
            raise OSError(errno.ENOSPC, "No space left on device")

        def fileno(self):
            return self.file

    with open("/dev/null", "w") as null:
        full = Full()
        full.file = null.fileno()
        monkeypatch.setattr(sys, "stdout", full)
        assert run(click.Group("lll", invoke_without_command=True, callback=lambda: None), []) == ExitCode.USAGE
    assert "cannot write to standard output: No space left on device" in capsys.readouterr().err


def test_where_memory_is_limited_some_is_kept_to_say_so_and_numpy_starts_no_threads(capsys, monkeypatch):
    monkeypatch.setattr("lens.cli.errors.memory_is_limited", lambda: True)
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    assert ended(MemoryError()) == ExitCode.NOTHING_MEASURED
    assert "no memory is left" in capsys.readouterr().err
    assert os.environ.pop("OPENBLAS_NUM_THREADS") == "1"
