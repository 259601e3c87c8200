"""What a user may say, from every source, and what is said back when it cannot be."""

from __future__ import annotations

import msgspec
import pytest
from specified import CONFIG as SPECIFIED_TOML

from lens.config.load import load_config, make_config, settings_of_program
from lens.config.settings import ExportConfig, LoadConfig, RunConfig, TargetConfig
from lens.errors import ConfigError, ExitCode, FileError
from lens.units import NS_PER_MS, NS_PER_S

SPECIFIED_YAML = """
providers:
  - name: openai
    model: gpt-4
    api_key: ${OPENAI_API_KEY}
  - name: anthropic
    model: claude-4.1-sonnet
    api_key: ${ANTHROPIC_API_KEY}

monitoring:
  interval: 60s
  test_prompts:
    - "Hello, how are you?"
    - "Explain photosynthesis briefly."

export:
  - type: prometheus
    endpoint: http://prometheus:9090
  - type: influxdb
    endpoint: http://influxdb:8086
    database: llm_metrics
"""


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_specified_toml_file_is_understood(tmp_path):
    config = load_config(write(tmp_path, "c.toml", SPECIFIED_TOML), {})
    openai, anthropic = config.targets
    assert (openai.provider, openai.model, openai.api_key_env, openai.temperature, openai.max_tokens) == (
        "openai",
        "gpt-4",
        "OPENAI_API_KEY",
        0.7,
        500,
    )
    assert anthropic.base_url == "https://api.anthropic.com/v1"
    assert (config.load.pattern, config.load.rate_per_s, config.load.duration_ns) == ("rate", 5.0, 120 * NS_PER_S)
    assert config.prompts.file == "test-prompts.txt"
    assert config.output.exports == (ExportConfig(format="prometheus", file="metrics.prom"),)
    assert config.output.real_time
    assert config.thresholds == (
        "ttft_p95_ms:1000.0",
        "ttft_p99_ms:2000.0",
        "tokens_per_second>=15.0",
        "success_rate>=0.99",
        "cost_per_request<=0.1",
    )
    assert config.name == "production-baseline"


def test_the_specified_yaml_file_is_understood(tmp_path):
    keys = {"OPENAI_API_KEY": "sk-one", "ANTHROPIC_API_KEY": "sk-two"}
    config = load_config(write(tmp_path, "m.yaml", SPECIFIED_YAML), keys)
    assert [t.api_key.reveal() for t in config.targets] == ["sk-one", "sk-two"]
    assert config.monitor.interval_ns == 60 * NS_PER_S
    assert config.prompts.texts == ("Hello, how are you?", "Explain photosynthesis briefly.")
    assert [(e.format, e.endpoint, e.database) for e in config.output.exports] == [
        ("prometheus", "http://prometheus:9090", None),
        ("influxdb", "http://influxdb:8086", "llm_metrics"),
    ]


def test_a_variable_that_is_not_set_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"\$\{OPENAI_API_KEY\} is not set"):
        load_config(write(tmp_path, "m.yaml", SPECIFIED_YAML), {})


def test_a_variable_may_have_a_default(tmp_path):
    text = '[providers.openai]\nmodel = "${MODEL:-small}"\n'
    assert load_config(write(tmp_path, "c.toml", text), {}).targets[0].model == "small"
    assert load_config(tmp_path / "c.toml", {"MODEL": "large"}).targets[0].model == "large"


@pytest.mark.parametrize(
    ("flag", "environment", "file", "found"),
    [(7, "5", 3, 7), (None, "5", 3, 5), (None, None, 3, 3), (None, None, None, None)],
)
def test_a_flag_goes_before_the_environment_before_the_file_before_the_default(
    tmp_path, flag, environment, file, found
):
    path = write(tmp_path, "c.toml", f"[load]\nconcurrency = {file}\n" if file else "")
    environ = {"LLL_CONCURRENCY": environment} if environment else {}
    assert make_config({"load": {"concurrency": flag}}, file=path, environ=environ).load.concurrency == found


def test_the_environment_names_the_config_file_and_the_outputs(tmp_path):
    path = write(tmp_path, "c.toml", "[load]\niterations = 3\n")
    environ = {
        "LLL_CONFIG_FILE": str(path),
        "LLL_EXPORT_FORMAT": "json,csv",
        "LLL_OUTPUT_DIR": "out",
        "LLL_LOG_LEVEL": "debug",
    }
    config = make_config({}, environ=environ)
    assert config.load.iterations == 3
    assert [e.format for e in config.output.exports] == ["json", "csv"]
    assert (config.output.dir, config.output.log_level) == ("out", "debug")


def test_a_provider_flag_chooses_among_the_files_targets_and_overrides_it(tmp_path):
    path = write(tmp_path, "c.toml", SPECIFIED_TOML)
    (target,) = make_config({"target": {"provider": "anthropic", "model": "new"}}, file=path, environ={}).targets
    assert (target.provider, target.model, target.api_key_env) == ("anthropic", "new", "ANTHROPIC_API_KEY")
    (other,) = make_config({"target": {"provider": "ollama", "model": "m"}}, file=path, environ={}).targets
    assert other == TargetConfig(provider="ollama", model="m")


def test_without_a_provider_flag_every_target_of_the_file_is_meant(tmp_path):
    path = write(tmp_path, "c.toml", SPECIFIED_TOML)
    config = make_config({"target": {"max_tokens": 9}}, file=path, environ={})
    assert [(t.provider, t.max_tokens) for t in config.targets] == [("openai", 9), ("anthropic", 9)]


def test_two_targets_of_one_provider_have_names_of_their_own(tmp_path):
    text = '[providers.near]\nprovider = "openai"\nmodel = "a"\n[providers.far]\nprovider = "openai"\nmodel = "b"\n'
    assert [(t.provider, t.model) for t in load_config(write(tmp_path, "c.toml", text), {}).targets] == [
        ("openai", "a"),
        ("openai", "b"),
    ]


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ('duration = "1m30s"', "duration_ns", 90 * NS_PER_S),
        ("duration = 2", "duration_ns", 2 * NS_PER_S),
        ('timeout = "500ms"', "timeout_ns", 500 * NS_PER_MS),
        ("timeout_ns = 5", "timeout_ns", 5),
        ('rate = "600/m"', "rate_per_s", 10.0),
        ("rate = 2.5", "rate_per_s", 2.5),
        ("sweep_concurrency = [1, 2]", "sweep_concurrency", (1, 2)),
    ],
)
def test_units_are_written_as_on_the_command_line(tmp_path, text, field, value):
    config = load_config(write(tmp_path, "c.toml", f"[load]\n{text}\n"), {})
    assert getattr(config.load, field) == value


@pytest.mark.parametrize(
    ("section", "line", "nearest"),
    [
        ("load", "itterations = 3", "iterations"),
        ("load", "retry = 3", "retries"),
        ("test_pattern", "requests_per_secnd = 3", "requests_per_second"),
        ("providers.openai", "modle = 'x'", "model"),
        ("export", "fromat = 'json'", "format"),
        ("profile", "nmae = 'x'", "name"),
        ("lod", "x = 1", "load"),
        ("monitoring", "intervall = 5", "interval_ns"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_the_nearest(tmp_path, section, line, nearest):
    path = write(tmp_path, "c.toml", f"[{section}]\n{line}\n")
    with pytest.raises(ConfigError, match=f"did you mean {nearest}") as caught:
        load_config(path, {})
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("c.toml", "[load", "c.toml"),
        ("c.yaml", "a: [1", "c.yaml"),
        ("c.json", "{", "c.json"),
        ("c.yaml", "- 1", "table of sections"),
        ("c.yaml", "? ", "None as a key is not text in YAML; write it in quotes"),
        ("c.yaml", "on: 1", "True as a key"),
        ("c.yaml", "providers:\n- {name: openai, 1: 2}", "1 as a key"),
        ("c.yaml", "load: &a\n  x: *a", "nested too deeply"),
        ("c.toml", "load = 3", "expected a table"),
        ("c.toml", "providers = 3", "a table a provider"),
        ("c.toml", "[load]\niterations = 0", "load.iterations"),
        ("c.toml", '[load]\niterations = "x"', "load.iterations"),
        ("c.toml", '[load]\nduration = "soon"', "not a duration"),
        ("c.toml", '[load]\nrate = "fast"', "not a rate"),
        ("c.toml", '[test_pattern]\ntype = "spiral"', "load.pattern"),
    ],
)
def test_a_file_that_cannot_be_is_refused_with_its_name_and_place(tmp_path, name, text, says):
    with pytest.raises(ConfigError, match=says):
        load_config(write(tmp_path, name, text), {})


def test_a_missing_file_is_a_file_error(tmp_path):
    with pytest.raises(FileError, match="No such file"):
        load_config(tmp_path / "none.toml", {})


def test_a_bad_concurrency_in_the_environment_names_the_variable():
    with pytest.raises(ConfigError, match="LLL_CONCURRENCY"):
        make_config({}, environ={"LLL_CONCURRENCY": "many"})


def test_a_key_never_shows(tmp_path):
    config = make_config({"target": {"provider": "openai", "api_key": "sk-secret"}}, environ={})
    assert config.targets[0].api_key.reveal() == "sk-secret"
    assert "sk-secret" not in repr(config)
    with pytest.raises(TypeError):
        msgspec.json.encode(config)


def test_the_specified_patterns_have_their_numbers(tmp_path):
    sweep = '[test_pattern]\ntype = "sweep"\nprompt = "hi"\nmin_rps = 1\nmax_rps = 9\nstep = 2\nduration_per_step = 5\n'
    config = load_config(write(tmp_path, "s.toml", sweep), {})
    assert config.load == LoadConfig(
        pattern="sweep",
        sweep_min_per_s=1.0,
        sweep_max_per_s=9.0,
        sweep_step_per_s=2.0,
        step_duration_ns=5 * NS_PER_S,
    )
    assert config.prompts.texts == ("hi",)
    burst = '[test_pattern]\ntype = "burst"\nprompt = "hi"\nconcurrent_requests = 8\niterations = 2\n'
    load = load_config(write(tmp_path, "b.toml", burst), {}).load
    assert (load.pattern, load.concurrency, load.iterations) == ("burst", 8, 2)


def test_saying_nothing_is_a_config_of_defaults():
    assert make_config({}, environ={}) == RunConfig()


@pytest.mark.parametrize("said", ["ConstantRate", "constant_rate", "constant-rate", "CONSTANT_RATE"])
def test_a_pattern_has_its_name_in_any_spelling(tmp_path, said):
    file = tmp_path / "a.toml"
    file.write_text(f'[test_pattern]\ntype = "{said}"\nprompt = "hi"\nrequests_per_second = 5\nduration_seconds = 2\n')
    load = load_config(file).load
    assert (load.pattern, load.rate_per_s, load.duration_ns) == ("rate", 5, 2 * NS_PER_S)


def test_a_pattern_may_be_a_table_under_its_name(tmp_path):
    file = tmp_path / "a.toml"
    file.write_text('[test_pattern.Burst]\nprompt = "hi"\nconcurrent_requests = 4\niterations = 2\n')
    load = load_config(file).load
    assert (load.pattern, load.concurrency, load.iterations) == ("burst", 4, 2)


@pytest.mark.parametrize(
    ("flags", "place"),
    [
        ({"target": {"provider": "openai", "temperature": float("inf")}}, r"targets\[0\].temperature"),
        (
            {"target": {"provider": "openai", "extra_body": {"a": [1.5, float("nan")]}}},
            r"targets\[0\].extra_body.a\[1\]",
        ),
        ({"load": {"search_max": float("inf")}}, "load.search_max"),
    ],
)
def test_a_number_that_json_cannot_hold_is_refused_where_it_stands(flags, place):
    with pytest.raises(ConfigError, match=f"{place}: expected a finite number"):
        make_config(flags, environ={})


@pytest.mark.parametrize("seed", [1 << 64, -(1 << 63) - 1])
def test_a_number_that_no_run_file_holds_is_refused(seed):
    with pytest.raises(ConfigError, match=r"load.seed: expected a number of at most 64 bits"):
        make_config({"load": {"seed": seed}}, environ={})


def test_a_rate_above_one_a_nanosecond_is_refused():
    with pytest.raises(ConfigError, match=r"load.rate_per_s: expected"):
        make_config({"load": {"rate_per_s": 1e308}}, environ={})


def test_a_program_has_the_shard_of_its_pod():
    pod = {"LENS_SHARDS": "4", "JOB_COMPLETION_INDEX": "2"}
    assert settings_of_program(RunConfig(), pod).load.shard == "2/4"
    given = RunConfig(load=LoadConfig(shard="1/3"))
    assert settings_of_program(given, pod) is given
    assert settings_of_program(given, {}) is given
