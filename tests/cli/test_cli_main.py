"""How the program starts and ends, and what its group of commands knows without loading one."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import click
import pytest
from click.shell_completion import CompletionItem
from click.testing import CliRunner
from waiting import HANG_S

from lens.__main__ import CLASH, _end_quickly, main
from lens.cli import errors
from lens.cli.main import COMMANDS, lll

ENDS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture
def leaves_with(monkeypatch):
    """Return the exit code of the program with these words."""

    def leave(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["lll", *words])
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code

    before, handlers = gc.get_threshold(), {number: signal.getsignal(number) for number in ENDS}
    yield leave
    gc.set_threshold(*before)
    gc.unfreeze()
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("words", "code"), [(["--version"], 0), (["--no-such"], 2)])
def test_the_program_leaves_with_the_code_of_its_command(leaves_with, words, code):
    assert leaves_with(*words) == code


def test_the_process_ends_with_that_code_and_without_more_ado(monkeypatch, capsys):
    left = []
    monkeypatch.setattr(os, "_exit", left.append)
    _end_quickly([3])
    _end_quickly([])  # something was raised: Python says what
    assert left == [3]


def test_what_cannot_be_written_at_the_end_is_left_to_python(monkeypatch):
    def full():
        raise OSError(28, "No space left on device")

    left = []
    monkeypatch.setattr(os, "_exit", left.append)
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(flush=full))
    _end_quickly([0])
    assert left == []


def test_ctrl_c_before_a_command_is_said_in_a_line(leaves_with, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(errors, "run", interrupted)
    assert leaves_with("--version") == 130
    assert capsys.readouterr().err == "lll: interrupted\n"


@pytest.mark.parametrize("number", ENDS)
def test_a_signal_while_the_program_is_imported_is_said_in_a_line(number):
    program = f"""
import signal, sys
class Early:
    def find_spec(self, name, *_):
        if name == "lens.cli":
            signal.raise_signal({int(number)})
sys.meta_path.insert(0, Early())
from lens.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=HANG_S)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "lll: interrupted\n")


def test_signals_are_met_as_usual_while_a_command_runs_and_ctrl_c_is_ignored_after_it(leaves_with, monkeypatch):
    met = []
    monkeypatch.setattr(errors, "run", lambda *_: met.extend(map(signal.getsignal, ENDS)) or 0)
    for number, usual in zip(ENDS, (signal.default_int_handler, signal.SIG_DFL), strict=True):
        signal.signal(number, usual)
    assert leaves_with("--version") == 0
    assert met == [signal.default_int_handler, signal.SIG_DFL]
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_a_signal_that_is_ignored_stays_ignored(leaves_with, monkeypatch):
    met = []
    monkeypatch.setattr(errors, "run", lambda *_: met.extend(map(signal.getsignal, ENDS)) or 0)
    for number in ENDS:
        signal.signal(number, signal.SIG_IGN)
    assert leaves_with("--version") == 0
    assert met == [signal.SIG_IGN, signal.SIG_IGN]


def test_a_module_of_ours_that_is_missing_is_a_clash(leaves_with, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "lens.cli.errors", None)
    assert leaves_with("--version") == 2
    said = capsys.readouterr().err
    assert said.startswith("lll: ")
    assert said.endswith(f"{CLASH}\n")


def test_a_module_of_others_that_is_missing_is_not_a_clash(monkeypatch):
    def missing(*_):
        raise ImportError("no module named elsewhere", name="elsewhere")

    monkeypatch.setattr(errors, "run", missing)
    before = gc.get_threshold()
    try:
        with pytest.raises(ImportError, match="elsewhere"):
            main()
    finally:
        gc.set_threshold(*before)


def completions(incomplete: str) -> list[CompletionItem]:
    return lll.shell_complete(click.Context(lll, info_name="lll"), incomplete)


def test_names_of_commands_are_completed_with_what_they_are_for():
    assert {item.value: item.help for item in completions("")} == {name: says for name, (_, says) in COMMANDS.items()}
    assert [item.value for item in completions("co")] == ["compare", "config"]
    assert {"--config", "--log-level", "--version"} <= {item.value for item in completions("--")}


def test_an_address_alone_is_profiled():
    context = click.Context(lll, info_name="lll")
    name, command, rest = lll.resolve_command(context, ["http://localhost:8000/v1"])
    assert (name, rest) == ("profile", ["http://localhost:8000/v1"])
    assert command is lll.get_command(context, "profile")


def test_a_command_that_does_not_exist_is_named_with_the_nearest():
    context = click.Context(lll, info_name="lll")
    assert lll.get_command(context, "benchmrak") is None
    with pytest.raises(click.UsageError, match="no command 'benchmrak'; did you mean benchmark"):
        lll.resolve_command(context, ["benchmrak"])


def test_every_command_is_where_the_table_says():
    context = click.Context(lll, info_name="lll")
    assert [name for name in lll.list_commands(context) if not lll.get_command(context, name).help] == []


def test_the_help_lists_every_command_and_a_command_runs():
    shown = CliRunner().invoke(lll, ["--help"])
    assert [
        name for name, (_, says) in COMMANDS.items() if f"  {name}" not in shown.output or says not in shown.output
    ] == []
    assert CliRunner().invoke(lll, ["--log-level", "error", "providers"]).exit_code == 0


def test_a_reader_who_has_enough_is_no_failure(monkeypatch):
    def closed(*_):
        raise BrokenPipeError

    monkeypatch.setattr(click.Group, "invoke", closed)
    monkeypatch.setattr(errors, "_discard_output", lambda: None)
    assert lll.invoke(click.Context(lll)) == 0
