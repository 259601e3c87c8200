"""The short configuration of the library: patterns by name, and what one request is asked with."""

from __future__ import annotations

import msgspec
import pytest

import lens
from lens import OutputFormat, ProfileConfig, ProviderConfig, RequestConfig, TestPattern
from lens.config.settings import ExportConfig, LoadConfig, OutputConfig
from lens.errors import ConfigError
from lens.units import NS_PER_S

TARGET = ProviderConfig.of("simulator", "m", headers={"x-a": "1"}, extra_body={"top_p": 0.5})


@pytest.mark.parametrize(
    ("pattern", "load"),
    [
        (TestPattern.Single(prompt="hi"), LoadConfig(pattern="single")),
        (
            TestPattern.ConstantRate(prompt="hi", requests_per_second=5.0, duration_seconds=60),
            LoadConfig(pattern="rate", rate_per_s=5.0, duration_ns=60 * NS_PER_S),
        ),
        (
            TestPattern.Burst(prompt="hi", concurrent_requests=8, iterations=3),
            LoadConfig(pattern="burst", concurrency=8, iterations=3),
        ),
        (
            TestPattern.Sweep(prompt="hi", min_rps=1, max_rps=5, step=2, duration_per_step=30),
            LoadConfig(
                pattern="sweep",
                sweep_min_per_s=1,
                sweep_max_per_s=5,
                sweep_step_per_s=2,
                step_duration_ns=30 * NS_PER_S,
            ),
        ),
    ],
)
def test_each_pattern_becomes_the_load_of_its_name(pattern, load):
    config = ProfileConfig(provider=TARGET, test_pattern=pattern).run_config()
    assert config.load == load
    assert config.prompts.texts == ("hi",)
    assert config.targets == (TARGET,)


def test_a_prompt_is_taken_as_it_is():
    config = ProfileConfig(provider=TARGET, test_pattern=TestPattern.Single(prompt="costs ${HOME}")).run_config()
    assert config.prompts.texts == ("costs ${HOME}",)


def test_a_pattern_that_cannot_be_is_refused():
    wrong = ProfileConfig(
        provider=TARGET, test_pattern=TestPattern.Burst(prompt="hi", concurrent_requests=0, iterations=1)
    )
    with pytest.raises(ConfigError, match="concurrency"):
        wrong.run_config()


def test_a_pattern_is_read_from_json_by_its_type():
    text = b'{"type": "ConstantRate", "prompt": "a", "requests_per_second": 2.5, "duration_seconds": 4}'
    read = msgspec.json.decode(text, type=TestPattern.ConstantRate | TestPattern.Single)
    assert read == TestPattern.ConstantRate(prompt="a", requests_per_second=2.5, duration_seconds=4)
    assert msgspec.json.decode(msgspec.json.encode(read), type=TestPattern.ConstantRate) == read


def test_a_profile_config_runs_and_writes_its_output(tmp_path):
    file = tmp_path / "out.csv"
    config = ProfileConfig(
        provider=ProviderConfig("simulator", "m"),
        test_pattern=TestPattern.Burst(prompt="hi", concurrent_requests=2, iterations=1),
        output=OutputConfig(format=OutputFormat.Csv, file=str(file)),
    )
    result = lens.run_config_blocking(config)
    assert result.summary.successes == 2
    assert file.read_text().startswith("timestamp,provider,model")


def test_the_short_form_of_an_output_is_one_export():
    short = OutputConfig(format="csv", file="a.csv")
    assert short == OutputConfig(exports=(ExportConfig(format="csv", file="a.csv"),))
    assert msgspec.convert({"format": "csv", "file": "a.csv"}, OutputConfig) == short
    assert msgspec.structs.replace(short, real_time=True).exports == short.exports
    given = (ExportConfig(format="json"),)
    assert OutputConfig(format="csv", exports=given).exports == given


def test_a_request_config_lies_over_the_target():
    asked = RequestConfig(max_tokens=7, temperature=0.0, headers={"x-b": "2"}, extra_body={"top_k": 3}, timeout_s=1.5)
    target = asked.target(TARGET)
    assert (target.max_tokens, target.temperature, target.stream) == (7, 0.0, True)
    assert target.headers == (("x-a", "1"), ("x-b", "2"))
    assert target.extra_body == {"top_p": 0.5, "top_k": 3}
    assert asked.load(LoadConfig()).timeout_ns == 1_500_000_000
    assert RequestConfig().target(TARGET) == TARGET
    assert RequestConfig().load(LoadConfig()) == LoadConfig()
