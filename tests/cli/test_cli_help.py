"""The help as people see it, the options as they type them, and what loads to show it."""

from __future__ import annotations

import re
import subprocess
import sys

import click
import msgspec
import pytest
from click.testing import CliRunner
from waiting import HANG_S

from lens.cli import options
from lens.cli.command import Command, Option, said, with_options
from lens.cli.main import COMMANDS, lll
from lens.config.settings import MonitorConfig, RunConfig, TargetConfig
from lens.export.formats import FORMATS

HELP = """\
Usage: lll [OPTIONS] COMMAND [ARGS]...

  Measure streaming LLM endpoints: latency, throughput, errors and cost.

  lll URL profiles an endpoint; lll COMMAND --help shows a command's options.

Options:
  -V, --version      Show the version and exit.
  --config FILE      Config file: TOML, YAML or JSON (LLL_CONFIG_FILE).
  --log-level LEVEL  error, warn, info, debug or trace (default: warn;
                     LLL_LOG_LEVEL).
  -h, --help         Show this message and exit.

Commands:
"""


def lens(*arguments, **environment):
    return CliRunner().invoke(lll, list(arguments), prog_name="lll", env=environment)


def program(*arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", "lens", *arguments], capture_output=True, text=True, timeout=HANG_S, check=False, **more
    )


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_the_help_of_the_program_is_this_text(flag):
    shown = lens(flag, COLUMNS="80")
    assert shown.exit_code == 0
    assert shown.output.startswith(HELP)
    assert "Examples:\n    lll http://localhost:8000/v1\n    lll profile --provider openai" in shown.output
    for name, (_, says) in COMMANDS.items():
        assert f"  {name:<10} {says}" in shown.output


@pytest.mark.parametrize("name", ["profile", "benchmark"])
def test_all_options_of_a_command_are_listed_in_groups_with_examples(name):
    shown = lens(name, "--help-all", COLUMNS="80").output
    titles = [line for line in shown.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles[0] == "Target:"
    assert titles[-2:] == ["Program:", "Examples:"]
    assert f"\n  lll {name} --provider" in shown
    for option in command_at(name).params:
        assert isinstance(option, click.Argument) or option.hidden or f" {option.opts[0]}" in shown


@pytest.mark.parametrize("name", ["", "recover", "config", "testbench", "config schema"])
def test_help_all_of_a_command_without_more_is_its_help(name):
    assert lens(*name.split(), "--help-all").output == lens(*name.split(), "--help").output


def test_the_help_of_benchmark_is_the_options_most_people_need():
    shown = lens("benchmark", "--help", COLUMNS="80").output
    names = re.findall(r"^  (?:-\w, )?--([\w-]+)", shown, re.MULTILINE)
    assert names == [
        "provider", "model", "base-url", "iterations", "concurrent", "rate", "duration", "warmup", "prompt",
        "max-tokens", "sessions", "timeout", "threshold", "export", "output", "config", "help-all", "help",
    ]  # fmt: skip


def commands():
    """Every command and subcommand, by its words."""
    for name in COMMANDS:
        command = command_at(name)
        if isinstance(command, click.Group):
            yield from [(f"{name} {below}", one) for below, one in command.commands.items()]
        else:
            yield name, command


def command_at(name):
    return lll.get_command(click.Context(lll), name)


@pytest.mark.parametrize(("name", "command"), list(commands()), ids=lambda one: one if isinstance(one, str) else "")
def test_every_command_has_two_or_three_examples_of_itself(name, command):
    lines = command.example.splitlines()
    assert 2 <= len(lines) <= 3
    assert all(line.startswith("lll ") for line in lines)
    assert sum(line.startswith(f"lll {name}") for line in lines) >= 2


@pytest.mark.parametrize(("name", "command"), list(commands()), ids=lambda one: one if isinstance(one, str) else "")
def test_every_default_is_in_the_help(name, command):
    own = {"target": TargetConfig(provider=""), "monitor": MonitorConfig()}
    defaults = msgspec.structs.asdict(RunConfig()) | own
    for option in command.params:
        if not isinstance(option, Option) or option.is_flag or option.hidden:
            continue
        section, _, field = (option.to or "").partition(".")
        default = getattr(defaults[section], field) if field else None
        if default not in (None, (), {}, 0, "") or isinstance(option.default, str | float):
            assert "default" in option.help, option.opts


def test_other_tools_names_are_taken_and_not_shown():
    assert "--num-prompts" not in lens("benchmark", "--help").output
    ctx = parsed(options.LOAD, "--num-prompts", "7", "--max-concurrency", "3", "--request-rate", "600/m")
    assert said(ctx) == {"load": {"iterations": 7, "concurrency": 3, "rate_per_s": 10.0}}


def parsed(group, *arguments):
    command = with_options(group)(Command("x", params=[]))
    return command.make_context("x", list(arguments))


def test_only_what_was_said_is_handed_over():
    assert said(parsed(options.TARGET + options.CONNECTION)) == {}
    tree = said(parsed(options.CONNECTION, "--timeout", "1m30s", "--insecure", "-4", "--disable-keepalive"))
    assert tree == {
        "load": {"timeout_ns": 90_000_000_000, "connection": "fresh"},
        "target": {"insecure": True, "family": "ipv4"},
    }


@pytest.mark.parametrize(
    ("text", "header"), [("X-A: b: c", ("X-A", "b: c")), ("X-A=b", ("X-A", "b")), ("X-A:", ("X-A", ""))]
)
def test_a_header_is_written_with_a_colon_or_an_equals_sign(text, header):
    assert said(parsed(options.PROMPT, "-H", text))["target"]["headers"] == (header,)


def test_a_body_may_come_from_a_file(tmp_path):
    (tmp_path / "body.json").write_text('{"top_p": 0.5}')
    tree = said(parsed(options.PROMPT, "--extra-body", f"@{tmp_path / 'body.json'}"))
    assert tree["target"]["extra_body"] == {"top_p": 0.5}


# Options without a place in the settings tree: the commands read these themselves.
READ_BY_COMMANDS = {
    "prompt", "export", "output", "force", "price", "prices", "price_tier", "prometheus_units", "label",
    "config", "dry_run", "push_gateway", "targets",
    "export_prometheus", "influx", "otlp", "gpu_hour", "scenario",
}  # fmt: skip


def test_every_option_leads_somewhere_or_is_read_by_its_command():
    for group in (options.TARGET, options.PROMPT, options.LOAD, options.CONNECTION, options.OUTPUT, options.COMMON):
        for option in group:
            assert isinstance(option, Option)
            assert option.help or option.hidden
            assert option.to or option.name in READ_BY_COMMANDS


def test_the_help_names_every_format_that_is_built_in():
    (option,) = [option for option in options.OUTPUT if option.name == "export"]
    named = {word.strip("(),") for word in option.help.split()}
    assert FORMATS.keys() - named == {"prometheus-seconds"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["benchmrak"], "lll: no command 'benchmrak'; did you mean benchmark?; see lll --help"),
        (["compare", "--sessions", "x"], "lll: No such option '--sessions'. (Did you mean one of"),
        (
            ["monitor", "--session-rate", "2"],
            "lll: No such option '--session-rate': sessions are sent by `lll benchmark`",
        ),
        (["profile", "--promt", "x"], "lll: No such option '--promt'."),
        (["profile", "--timeout", "soon"], "lll: Invalid value for '--timeout': 'soon' is not a duration; write 60"),
        (["benchmark", "-n", "0"], "lll: Invalid value for '--iterations': 0 is not in the range x>=1"),
        (["benchmark", "--rate", "fast"], "lll: Invalid value for '--rate': 'fast' is not a rate; write 10, 10/s"),
        (["profile", "-H", "nothing"], "lll: Invalid value for '--header': a header is written 'Name: value'"),
        (["profile", "--extra-body", "{"], "lll: Invalid value for '--extra-body': this is not JSON"),
        (["profile", "--label", "x"], "lll: Invalid value for '--label': 'x' is not KEY=VALUE"),
        (["profile"], "lll: no target; name one: --provider openai"),
        (["profile", "--config", "/absent.toml"], "lll: config file /absent.toml: cannot read"),
        (["profile", "--provider", "x", "--log-level", "loud"], "lll: log level 'loud'; there are error, warn"),
        (["benchmark", "--provider", "x", "--price", "3"], "lll: price '3': cannot read '3'; write USD per million"),
    ],
)
def test_a_mistake_is_one_line_with_what_would_work_and_exit_code_2(arguments, says):
    ended = program(*arguments)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith(says)
    assert ended.stderr.count("\n") == 1


def test_without_a_command_the_help_is_shown():
    ended = program()
    assert ended.returncode == 2
    assert "Commands:" in ended.stderr


def test_the_version_is_reported():
    assert program("-V").stdout.startswith("llm-latency-lens ")


def test_the_help_loads_nothing_that_is_heavy():
    code = (
        "import sys; from click.testing import CliRunner; from lens.cli.main import lll\n"
        "assert CliRunner().invoke(lll, ['--help']).exit_code == 0\n"
        "assert CliRunner().invoke(lll, ['benchmark', '--help']).exit_code == 0\n"
        "assert CliRunner().invoke(lll, ['benchmark', '--help-all']).exit_code == 0\n"
        "print([m for m in ('numpy', 'rich', 'trio', 'h11', 'msgspec', 'ssl') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_S, check=True)
    assert shown.stdout.strip() == "[]"
