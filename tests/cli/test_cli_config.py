"""`lll config`: all mistakes at once with their lines, every value with its source, and a schema that fits."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from cli_program import lll
from needs import need_module

from lens.cli.commands.config import example_text
from lens.cli.config_check import check_environment, check_file, check_whole
from lens.config.file import FILE_SECTIONS
from lens.config.json_schema import schema, schema_text
from lens.config.load import make_config

PUBLISHED = Path(__file__).parent.parent.parent / "docs" / "config.schema.json"

WRONG = """\
[profile]
nmae = "x"

[providers.openai]
modle = "gpt-4"
temperature = "hot"
api_key = "${NOT_SET_ANYWHERE}"

[load]
rate = "fast"
iterations = 0
timeout = "60s"

[export]
format = "jsn"

[lod]
x = 1
"""

# The short sections of a config file, a key a line: what is written, and what is then so.
SHORT_SECTIONS = [
    ("profile.name", "x", lambda c: c.name == "x"),
    ("profile.description", "x", lambda c: c.description == "x"),
    ("providers.openai.model", "gpt-4", lambda c: c.targets[0].model == "gpt-4"),
    ("providers.openai.api_key", "${SOME_KEY}", lambda c: c.targets[0].api_key.reveal() == "sk-some"),
    ("providers.openai.api_key_env", "SOME_KEY", lambda c: c.targets[0].api_key_env == "SOME_KEY"),
    ("providers.openai.base_url", "http://h/v1", lambda c: c.targets[0].base_url == "http://h/v1"),
    ("providers.openai.temperature", 0.7, lambda c: c.targets[0].temperature == 0.7),
    ("providers.openai.max_tokens", 500, lambda c: c.targets[0].max_tokens == 500),
    ("test_pattern.type", "constant_rate", lambda c: c.load.pattern == "rate"),
    ("test_pattern.type", "burst", lambda c: c.load.pattern == "burst"),
    ("test_pattern.type", "sweep", lambda c: c.load.pattern == "sweep"),
    ("test_pattern.type", "single", lambda c: c.load.pattern == "single"),
    ("test_pattern.requests_per_second", 5.0, lambda c: c.load.rate_per_s == 5.0),
    ("test_pattern.duration_seconds", 120, lambda c: c.load.duration_ns == 120_000_000_000),
    ("test_pattern.concurrent_requests", 4, lambda c: c.load.concurrency == 4),
    ("test_pattern.iterations", 3, lambda c: c.load.iterations == 3),
    ("test_pattern.min_rps", 1.0, lambda c: c.load.sweep_min_per_s == 1.0),
    ("test_pattern.max_rps", 9.0, lambda c: c.load.sweep_max_per_s == 9.0),
    ("test_pattern.step", 2.0, lambda c: c.load.sweep_step_per_s == 2.0),
    ("test_pattern.duration_per_step", 5, lambda c: c.load.step_duration_ns == 5_000_000_000),
    ("test_pattern.prompt", "hi", lambda c: c.prompts.texts == ("hi",)),
    ("test_pattern.prompts_file", "p.txt", lambda c: c.prompts.file == "p.txt"),
    ("export.format", "prometheus", lambda c: c.output.exports[0].format == "prometheus"),
    ("export.file", "m.prom", lambda c: c.output.exports[0].file == "m.prom"),
    ("export.real_time", True, lambda c: c.output.real_time),
    ("export.type", "influxdb", lambda c: c.output.exports[0].format == "influxdb"),
    ("export.endpoint", "http://h", lambda c: c.output.exports[0].endpoint == "http://h"),
    ("export.database", "d", lambda c: c.output.exports[0].database == "d"),
    ("monitoring.interval", "60s", lambda c: c.monitor.interval_ns == 60_000_000_000),
    ("monitoring.test_prompts", ["hi"], lambda c: c.prompts.texts == ("hi",)),
    ("thresholds.ttft_p95_ms", 1000.0, lambda c: c.thresholds == ("ttft_p95_ms:1000.0",)),
    ("thresholds.tokens_per_second_min", 15.0, lambda c: c.thresholds == ("tokens_per_second>=15.0",)),
    ("thresholds.success_rate_min", 0.99, lambda c: c.thresholds == ("success_rate>=0.99",)),
    ("thresholds.cost_per_request_max", 0.1, lambda c: c.thresholds == ("cost_per_request<=0.1",)),
]


def written(place, value):
    """A file's tree with one value in it."""
    for key in reversed(place.split(".")):
        value = {key: value}
    return value


@pytest.mark.parametrize(("place", "value", "holds"), SHORT_SECTIONS, ids=[row[0] for row in SHORT_SECTIONS])
def test_every_key_of_the_plan_is_taken_and_is_in_the_schema(tmp_path, place, value, holds):
    path = tmp_path / "c.json"
    path.write_text(json.dumps(written(place, value)))
    environ = {"SOME_KEY": "sk-some"}
    assert check_file(path, environ).problems == ()
    assert holds(make_config({}, file=path, environ=environ))
    assert fits(written(place, value))


@pytest.mark.parametrize(
    ("name", "value", "holds"),
    [
        ("LLL_CONFIG_FILE", "{file}", lambda c: c.name == "of-the-file"),
        (
            "LLL_EXPORT_FORMAT",
            "prometheus,csv",
            lambda c: [e.format[:1] for e in c.output.exports] == ["p", "c"],
        ),
        ("LLL_OUTPUT_DIR", "./results", lambda c: c.output.dir == "./results"),
        ("LLL_LOG_LEVEL", "info", lambda c: c.output.log_level == "info"),
        ("LLL_CONCURRENCY", "10", lambda c: c.load.concurrency == 10),
    ],
)
def test_every_variable_of_the_plan_is_taken(tmp_path, name, value, holds):
    (tmp_path / "c.toml").write_text('[profile]\nname = "of-the-file"\n')
    environ = {name: value.format(file=tmp_path / "c.toml")}
    assert check_environment(environ) == []
    assert holds(make_config({}, environ=environ))


@pytest.mark.parametrize(("name", "provider"), [("OPENAI_API_KEY", "openai"), ("ANTHROPIC_API_KEY", "anthropic"),
                                                ("GOOGLE_API_KEY", "google")])  # fmt: skip
def test_a_key_of_the_environment_is_seen_and_not_shown(name, provider):
    ended = lll("config", "check", "--provider", provider, "-m", "x", env={name: "sk-not-to-be-shown"})
    assert ended.returncode == 0, ended.stderr
    assert f"environment {name}" in ended.stdout
    assert "sk-not-to-be-shown" not in ended.stdout + ended.stderr
    assert "no key yet" not in ended.stdout


@pytest.mark.parametrize(("name", "value"), [("LLL_CONCURRENCY", "0"), ("LLL_CONCURRENCY", "many"),
                                             ("LLL_EXPORT_FORMAT", "jsn"), ("LLL_LOG_LEVEL", "loud")])  # fmt: skip
def test_a_variable_that_cannot_be_is_named(name, value):
    (problem,) = check_environment({name: value})
    assert name in problem.says


def test_all_mistakes_are_told_each_with_its_line(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(WRONG)
    ended = lll("config", "check", path)
    assert ended.returncode == 2
    assert ended.stdout == ""
    *lines, last = ended.stderr.splitlines()
    told = [(int(line.split(":")[1]), line) for line in lines]
    assert [number for number, _ in told] == [2, 5, 6, 7, 10, 11, 15, 18]
    for line, says in zip(lines, ["mean name?", "mean model?", "temperature: expected float", "NOT_SET_ANYWHERE",
                                  "not a rate", ">= 1", "--export jsn", "mean load?"], strict=True):  # fmt: skip
        assert says in line
    assert last == "lll: 8 errors; nothing would be run"


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("c.yaml", "load:\n  iterations: 3\n  # more\n  itterations: 4\n", 4),
        ("c.yaml", "providers:\n  - name: openai\n    model: x\n  - name: openai\n    modle: y\n", 5),
        ("c.json", '{\n "load":\n  {"iterations": 3,\n   "itterations": 4}}', 4),
        ("c.toml", '[[export]]\nformat = "csv"\n[[export]]\nfromat = "csv"\n', 4),
        ("c.toml", '[profile]\nname = """\nnmae = 1\n"""\nnmae = 2\n', 5),
        ("c.toml", "load.iterations = 3\nload.itterations = 4\n", 2),
        ("c.toml", '[monitoring]\ninterval = "1m"\nintervall = "1m"\n', 3),
        ("c.toml", '[providers.custom.custom]\npath = "/x"\npth = "/y"\n', 3),
    ],
)
def test_the_line_is_that_of_the_key(tmp_path, name, text, line):
    path = tmp_path / name
    path.write_text(text)
    (problem,) = check_file(path, {}).problems
    assert "unknown key" in problem.says
    assert problem.line == line


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[providers.openai]\napi_key_env = "X"\n', "which model"),
        ('[providers.custom]\nmodel = "x"\n', "no [custom] section"),
        ('[providers.openai-compatible]\nmodel = "x"\n', "--base-url"),
        ('[providers.openai]\nmodel = "x"\nbase_url = "ftp://h"\n', "ftp"),
        ('[test_pattern]\ntype = "sweep"\n', "sweep"),
        ('[prompts]\nfile = "absent.txt"\n', "absent.txt"),
        ('[prompts]\ntexts = ["x"]\ninput_tokens = "5"\n', "--input-tokens"),
    ],
)
def test_what_cannot_be_together_is_reported(tmp_path, text, says):
    path = tmp_path / "c.toml"
    path.write_text(text)
    assert check_file(path, {}).problems == ()
    assert says in " ".join(problem.says for problem in check_whole(make_config({}, file=path, environ={}), {}))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[monitoring]\nslos = ["ttft 99"]\n', "ttft 99"),
        ("[thresholds]\nttfp_p95 = 3\n", "ttfp"),
        ('[load]\nmax_cost_usd = "much"\n', "much"),
        ('[load]\nwarmup = "soon"\n', "soon"),
        ('[load]\nstart_at = "99999-01-01"\n', "this is no time"),
        ('[prompts]\ninput_tokens = "few"\n', "few"),
        ('[output]\nlog_level = "loud"\n', "loud"),
        ('[providers.opnai]\nmodel = "x"\n', "did you mean openai"),
    ],
)
def test_a_value_that_means_nothing_is_reported(tmp_path, text, says):
    path = tmp_path / "c.toml"
    path.write_text(text)
    (problem,) = check_file(path, {}).problems
    assert says in problem.says
    assert problem.line == 2


def test_each_value_is_told_with_its_source(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text('[providers.openai]\nmodel = "m"\nbase_url = "http://h/v1"\n[load]\nrate = 3\nduration = "5s"\n')
    ended = lll("config", "check", path, "--rate", "7", "--json", env={"LLL_OUTPUT_DIR": "4"})
    assert ended.returncode == 0, ended.stderr
    told = {row["name"]: row for row in json.loads(ended.stdout)["settings"]}
    assert told["load.rate"] == {"name": "load.rate", "value": "7/s", "source": "flag", "by": "--rate"}
    assert told["output.dir"] | {"value": ""} == {
        "name": "output.dir", "value": "", "source": "environment", "by": "LLL_OUTPUT_DIR",
    }  # fmt: skip
    assert (told["load.duration"]["source"], told["load.duration"]["line"]) == ("file", 6)
    assert (told["targets.0.base_url"]["source"], told["targets.0.base_url"]["line"]) == ("file", 3)
    assert (told["load.retries"]["source"], told["load.retries"]["value"]) == ("default", "0")


def test_a_list_of_times_is_written_as_on_the_command_line(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text('[load]\nidle_gaps = ["500ms", 10]\n')
    assert make_config({}, file=path, environ={}).load.idle_gaps_ns == (500_000_000, 10_000_000_000)


def test_a_file_that_is_no_yaml_is_told_without_its_text(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("providers:\n  - name: openai\n    api_key: plain-secret: [\n")
    ended = lll("config", "check", path)
    assert ended.returncode == 2
    assert "at line 3" in ended.stderr
    assert "plain-secret" not in ended.stderr


def test_no_secret_is_shown_wherever_it_stands(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(
        '[providers.openai]\nmodel = "m"\napi_key = "plain-secret-1"\nbase_url = "http://h/v1"\n'
        'headers = { X-Auth = "plain-secret-3" }\nextra_body = { user_token = "plain-secret-4" }\n'
        'proxy = "http://u:plain-secret-2@h:1"\nserver_name = "${MY_SECRET_NAME}"\n'
        '[monitoring]\nwebhook = "https://hooks.example/plain-secret-6"\n'
    )
    ended = lll("config", "check", path, env={"MY_SECRET_NAME": "plain-secret-5"})
    assert "plain-secret" not in ended.stdout + ended.stderr
    assert ended.stdout.count("***") >= 3


def test_the_example_passes_the_check_and_fits_the_schema(tmp_path):
    path = tmp_path / "llm-latency-lens.toml"
    path.write_text(lll("config", "example").stdout)
    ended = lll("config", "check", path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert fits(tomllib.loads(example_text()))


def test_the_published_schema_is_the_one_that_is_made():
    if not PUBLISHED.exists():
        pytest.skip("docs/ is not beside these tests")
    assert PUBLISHED.read_text() == schema_text(), "run: lll config schema > docs/config.schema.json"


def test_the_schema_knows_every_section_and_no_unknown_key():
    assert set(schema()["properties"]) == set(FILE_SECTIONS)
    assert not fits({"load": {"itterations": 3}})
    assert not fits({"lod": {}})
    assert not fits({"providers": {"openai": {"temperature": "hot"}}})
    assert fits({"load": {"duration": "60s", "duration_seconds": 60, "rate": "600/m", "idle_gaps": ["1s", 10]}})
    assert fits({"providers": [{"name": "openai", "model": "m", "headers": {"X-A": "b"}}]})


def fits(value):
    """Whether the schema takes a file's tree, by a validator of others'."""
    jsonschema = need_module("jsonschema", "pip install jsonschema")
    return jsonschema.Draft202012Validator(schema()).is_valid(value)
