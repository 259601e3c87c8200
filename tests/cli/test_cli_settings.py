"""From what was typed to what a command works with: flags over environment over file, and what several say together."""

import io
import sys
from decimal import Decimal

import click
import pytest

from lens.cli.commands import doctor, monitor
from lens.cli.commands.benchmark import command
from lens.cli.settings import settings_of
from lens.config.settings import SessionConfig
from lens.errors import ConfigError, FileError
from lens.secrets import mask_secrets
from lens.units import NS_PER_S

TARGET = ("--provider", "openai", "-m", "gpt-4", "--api-key", "sk-typed-5x7")


def settings(*words, target=TARGET, above=None, **more):
    with command.make_context("benchmark", [*target, *map(str, words)], obj=above) as ctx:
        return settings_of(ctx, **more)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in ("LLL_CONFIG_FILE", "LLL_EXPORT_FORMAT", "LLL_OUTPUT_DIR", "LLL_LOG_LEVEL", "LLL_CONCURRENCY"):
        monkeypatch.delenv(name, raising=False)


def test_flags_come_before_the_environment_and_that_before_a_file(tmp_path, monkeypatch):
    file = tmp_path / "lll.toml"
    file.write_text("[load]\nconcurrency = 2\niterations = 7\n[output]\nlog_level = 'info'\n")
    assert settings("--config", file).config.load.concurrency == 2
    monkeypatch.setenv("LLL_CONCURRENCY", "4")
    assert settings("--config", file).config.load.concurrency == 4
    found = settings("--config", file, "-c", 8).config
    assert (found.load.concurrency, found.load.iterations, found.output.log_level) == (8, 7, "info")


def test_options_of_the_program_itself_count_too(tmp_path):
    file = tmp_path / "lll.toml"
    file.write_text("[load]\nconcurrency = 3\n")
    found = settings(above={"config": str(file), "log_level": "debug"}).config
    assert (found.load.concurrency, found.output.log_level) == (3, "debug")


@pytest.mark.parametrize(
    ("words", "load"),
    [
        (["--sweep-concurrency", "1,2", "--duration", "5s"], {"step_duration_ns": 5 * NS_PER_S}),
        (["--until", "ttft_p50 5%"], {"iterations": None}),
        (["--until", "ttft_p50 5%", "-n", "9"], {"iterations": 9}),
        (["--until", "ttft_p50 5%", "--duration", "9s"], {"duration_ns": 9 * NS_PER_S}),
    ],
)
def test_what_several_options_say_together(words, load):
    found = settings(*words).config.load
    assert {name: getattr(found, name) for name in load} == load


def test_the_standard_scenario_is_a_length_that_flags_may_change():
    found = settings("--scenario", "standard").config.prompts
    assert (found.input_tokens, found.output_tokens) == ("550", "150")
    assert settings("--scenario", "standard", "--input-tokens", "64").config.prompts.input_tokens == "64"


def test_a_trace_is_taken_from_the_prompts_where_no_other_is_named(tmp_path):
    trace = tmp_path / "trace.jsonl"
    trace.write_text('{"timestamp": 0, "input_length": 6, "output_length": 5}\n')
    assert settings("--arrival", "trace", "--prompt-file", trace).config.load.trace == str(trace)
    with pytest.raises(ConfigError, match="--arrival trace needs a trace: give --trace FILE"):
        settings("--arrival", "trace")


def test_a_prompt_may_come_from_standard_input(monkeypatch):
    def typed(data):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
        return settings("--prompt", "-").config.prompts.texts

    assert typed("Why is\nthe sky blüe?\n".encode()) == ("Why is\nthe sky blüe?",)
    with pytest.raises(ConfigError, match="standard input was empty"):
        typed(b" \n")
    with pytest.raises(FileError, match="cannot read standard input"):
        typed(b"\xff\xfe\xff")


@pytest.mark.parametrize(
    ("words", "formats"),
    [
        ([], []),
        (["--export", "csv,jsonl"], ["csv", "jsonl"]),
        (["-o", "run.csv"], ["csv"]),
        (["-o", "run"], ["json"]),
        (["-o", "run.csv", "--export", "json"], ["json"]),
        (["--export", "prometheus", "--prometheus-units", "seconds"], ["prometheus-seconds"]),
    ],
)
def test_formats_are_what_was_said_or_what_the_name_says(words, formats):
    assert [export.format for export in settings(*words).config.output.exports] == formats


def test_the_environment_names_a_format_where_nobody_else_does(monkeypatch):
    monkeypatch.setenv("LLL_EXPORT_FORMAT", "csv")
    assert [export.format for export in settings("-o", "run").config.output.exports] == ["csv"]


@pytest.mark.parametrize(
    ("words", "target", "says"),
    [
        ([], (), "no target; name one"),
        (["--gpu-hour", "much"], TARGET, "write USD an hour"),
        (["--price", "much"], TARGET, "write USD per million tokens"),
        (["--export", "papyrus"], TARGET, "papyrus"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_sent(words, target, says):
    with pytest.raises(ConfigError, match=says):
        settings(*words, target=target)


def test_a_log_level_that_is_none_is_refused_with_those_there_are():
    with pytest.raises(ConfigError, match="there are error, warn, info, debug, trace"):
        settings(above={"log_level": "loud"})


def test_prices_hours_and_labels_arrive():
    found = settings("--price", "in=3,out=15", "--gpu-hour", "2x4", "--label", "env=prod", "--goodput", "ttft:200")
    assert found.book.find("openai", "gpt-4").output == Decimal(15)
    assert found.usd_per_gpu_hour == 8
    assert found.config.labels == {"env": "prod"}
    assert len(found.slos) == 1


def test_targets_of_a_comparison_take_the_place_of_the_one_that_is_typed():
    two = [{"provider": "openai", "model": "a"}, {"provider": "anthropic", "model": "b"}]
    found = settings("--max-tokens", "9", targets=two).config.targets
    assert [(one.provider, one.model, one.max_tokens) for one in found] == [
        ("openai", "a", 9),
        ("anthropic", "b", 9),
    ]


def test_a_key_that_was_typed_is_masked_from_then_on():
    settings()
    assert "sk-typed-5x7" not in mask_secrets("lll --api-key sk-typed-5x7")


@pytest.mark.parametrize(("words", "ui"), [([], "plain"), (["--no-tui"], "none"), (["--ui", "live"], "plain")])
def test_a_live_drawing_needs_a_terminal(words, ui):
    assert settings(*words).ui == ui


def test_a_config_file_of_the_folder_is_found_and_reported(tmp_path, monkeypatch, capsys):
    (tmp_path / "llm-latency-lens.toml").write_text("[load]\nconcurrency = 3\n")
    monkeypatch.chdir(tmp_path)
    assert settings().config.load.concurrency == 3
    assert "settings from llm-latency-lens.toml" in capsys.readouterr().err
    other = tmp_path / "other.toml"
    other.write_text("[load]\nconcurrency = 4\n")
    assert settings("--config", other).config.load.concurrency == 4
    monkeypatch.setenv("LLL_CONFIG_FILE", "")
    assert settings().config.load.concurrency is None
    assert capsys.readouterr().err == ""


def test_thresholds_of_flags_are_recorded_with_those_of_the_file(tmp_path):
    file = tmp_path / "lll.toml"
    file.write_text('thresholds = ["ttft_p50<9"]')
    words = ("--threshold", "ttft_p95<60 abort=30s", "--threshold-tps", "3", "--sla", "interactive", "--config", file)
    found = settings(*words, "--threshold", "goodput_rps>1", "--goodput", "ttft:9")
    assert found.config.thresholds == (
        "ttft_p50<9", "ttft_ms_p95<60", "tokens_per_second_mean>=3", "ttft_ms_p95<500", "itl_ms_p95<50",
    )  # fmt: skip
    assert len(found.gates) == 6


SHARED = """
thresholds = ["ttft_p95<500"]
[load]
iterations = 100
concurrency = 8
timeout = "7s"
[prompts]
texts = ["hello"]
[sessions]
turns = "2"
"""


@pytest.mark.parametrize("module", [doctor, monitor])
def test_what_the_file_of_the_folder_says_for_other_commands_is_told_and_left(tmp_path, monkeypatch, caplog, module):
    (tmp_path / "llm-latency-lens.toml").write_text(SHARED)
    monkeypatch.chdir(tmp_path)
    name = module.__name__.rpartition(".")[2]

    def config(*words):
        with module.command.make_context(name, [*TARGET, *words]) as ctx:
            return module.settings_from(ctx).config

    found = config()
    assert (found.load.iterations, found.sessions, found.thresholds) == (None, SessionConfig(), ())
    assert found.load.concurrency == 8
    assert "load.iterations" in caplog.text
    assert found.load.timeout_ns == (60 if name == "doctor" else 7) * NS_PER_S
    with pytest.raises(ConfigError, match="cannot be obeyed"):
        config("--config", "llm-latency-lens.toml")


EXPORTS = """
[[export]]
format = "prometheus"
file = "metrics.prom"
[[export]]
type = "influxdb"
endpoint = "http://influxdb:8086"
[[export]]
format = "csv"
"""


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--export", "prometheus"], [("prometheus", "metrics.prom"), ("influxdb", None)]),
        (["--export", "json"], [("json", None), ("prometheus", "metrics.prom"), ("influxdb", None)]),
        (["--export", "json", "--output", "a.json"], [("json", None)]),
        ([], [("prometheus", "metrics.prom"), ("influxdb", None), ("csv", None)]),
    ],
)
def test_an_export_that_is_asked_for_leaves_the_files_of_the_config_file(tmp_path, words, wanted):
    file = tmp_path / "lll.toml"
    file.write_text(EXPORTS)
    found = settings("--config", file, *words)
    assert [(one.format, one.file) for one in found.config.output.exports] == wanted
    assert len(found.pushes) == (0 if "--output" in words else 1)


@pytest.mark.parametrize(
    ("words", "option", "says"),
    [
        ("--duration 0", "--duration", "must be more than 0"),
        ("--idle-gaps 0,5s", "--idle-gaps", "must be more than 0"),
        ("--trace t.csv --speedup 0", "--speedup", "must be more than 0"),
        ("--search-slo ttft_p95<5 --search-max -5", "--search-max", "must be more than 0"),
        ("--rate 5 --arrival gamma --burstiness 0", "--burstiness", "must be at least 0.001"),
        ("--rate 5 --arrival gamma --burstiness 1e-300", "--burstiness", "must be at least 0.001"),
        (f"--seed {10**22}", "--seed", "must be a number of at most 64 bits"),
    ],
)
def test_a_number_out_of_range_is_refused_by_the_name_of_its_option(words, option, says):
    with pytest.raises(click.BadParameter) as refused:
        settings(*words.split())
    assert refused.value.param is not None
    assert option in refused.value.param.opts
    assert refused.value.message == says
