"""Settings under their names in Python: short names with units, and messages that name arguments."""

from __future__ import annotations

import re

import click
import pytest

from lens.cli.command import Option
from lens.cli.main import COMMANDS, lll
from lens.config.settings import LoadConfig, TargetConfig
from lens.config.spelling import ARGUMENTS, in_python, python_errors, section_of
from lens.errors import ConfigError, FileError
from lens.units import NS_PER_S


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ({"duration": "1m30s"}, "duration_ns", 90 * NS_PER_S),
        ({"duration": 60}, "duration_ns", 60 * NS_PER_S),
        ({"duration": 0.5}, "duration_ns", NS_PER_S // 2),
        ({"duration_ns": 7}, "duration_ns", 7),
        ({"duration_ns": "7s"}, "duration_ns", 7 * NS_PER_S),
        ({"rate": "600/m"}, "rate_per_s", 10),
        ({"rate": 2.5}, "rate_per_s", 2.5),
        ({"rate": None}, "rate_per_s", None),
        ({"idle_gaps": ["1s", 2]}, "idle_gaps_ns", (NS_PER_S, 2 * NS_PER_S)),
        ({"sweep_concurrency": [1, 2]}, "sweep_concurrency", (1, 2)),
        ({"timeout": "0"}, "timeout_ns", 0),
    ],
)
def test_a_setting_has_a_short_name_that_takes_units(given, field, value):
    assert getattr(section_of(LoadConfig, given, "run()"), field) == value


def test_arguments_replace_the_fields_of_a_section():
    over = LoadConfig(iterations=5, retries=2)
    assert section_of(LoadConfig, {"iterations": 7}, "run()", over=over) == LoadConfig(iterations=7, retries=2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"iteration": 3}, "run(): no argument 'iteration'; did you mean iterations?"),
        ({"iterations": 0}, "run(): iterations=0: expected int >= 1"),
        ({"iterations": "x"}, "run(): iterations='x': expected int | None, got str"),
        ({"duration": "soon"}, "run(): duration: 'soon' is not a duration; write 60, 60s, 1m30s or 500ms"),
        ({"duration": True}, "run(): duration: True is not a duration"),
        ({"rate": -1}, "run(): rate: '-1' is not a rate above zero"),
        ({"rate": 1, "rate_per_s": 2}, "run(): rate and rate_per_s are the same setting; give one"),
    ],
)
def test_a_mistake_names_the_argument_and_the_call(given, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        section_of(LoadConfig, given, "run()")


@pytest.mark.parametrize("given", [{"headers": [["a", 1]]}, {"proxy": 5}, {"api_key": "sk-secret"}, {"base_url": 1}])
def test_a_message_never_repeats_what_may_be_secret(given):
    with pytest.raises(ConfigError) as caught:
        section_of(TargetConfig, {"provider": "openai", **given}, "target")
    assert not re.search(r"sk-secret|=5|=1|\[", str(caught.value))


@pytest.mark.parametrize(
    ("said", "python"),
    [
        ("give --duration or --iterations", "give duration or iterations"),
        ("a constant rate needs a number: --rate 10", "a constant rate needs a number: rate=10"),
        ("--sweep-max R or --sweep-concurrency N,N", "sweep_max=R or sweep_concurrency=N,N"),
        ("--burstiness (load.burstiness) has no effect", "burstiness has no effect"),
        ("without --arrival gamma: give both", "without arrival='gamma': give both"),
        ("--cacert FILE trusts its issuer", "cacert=FILE trusts its issuer"),
        ("--until 'ttft_p95 5%'", "until='ttft_p95 5%'"),
        ("--warmup 5s leaves nothing", "warmup='5s' leaves nothing"),
        ("measure longer with --duration or -n", "measure longer with duration or iterations"),
        ("use --insecure to measure", "use insecure=True to measure"),
        ("give --price in=1,out=2 (USD)", "give price='in=1,out=2' (USD)"),
        ("merge what there is by --partial", "merge what there is by --partial"),
        ("a range 1--2, a well-known --- dash -n", "a range 1--2, a well-known --- dash iterations"),
    ],
)
def test_a_message_names_arguments_in_place_of_options(said, python):
    assert in_python(said) == python


def test_errors_of_a_block_are_the_same_errors_in_other_words():
    error = FileError("run.jsonl exists; choose another --output, or --force to replace it")
    with pytest.raises(FileError) as caught, python_errors(output="path"):
        raise error
    assert str(caught.value) == "run.jsonl exists; choose another path, or force=True to replace it"
    assert caught.value is error


def options() -> list[Option]:
    """Every option of every command that sets a field of the settings."""
    commands = [lll.get_command(click.Context(lll), name) for name in COMMANDS]
    return [one for command in commands for one in command.params if isinstance(one, Option) and one.to]


def test_every_option_of_a_setting_is_said_by_the_setting_that_it_sets():
    for option in options():
        section, _, field = option.to.partition(".")
        name = next(name for name in option.opts if name.startswith("--") and name not in option.aliases)
        said = in_python(name)
        assert said != name, f"{name} has no name in Python: add it to ARGUMENTS"
        if section in ("target", "load", "prompts", "output", "sessions"):
            short = field.removesuffix("_ns").removesuffix("_per_s")
            named = said.partition("=")[0].rpartition(".")[2]
            assert named in (field, short), f"{name} sets {option.to}, and is called {said}"


def test_no_argument_is_listed_that_follows_from_the_fields():
    assert not [name for name, said in ARGUMENTS.items() if said == name.replace("-", "_") and name != "price"]
