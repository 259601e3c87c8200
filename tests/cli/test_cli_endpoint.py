"""The URL as an argument: what is detected, told and refused; a key of the environment stays with its host."""

from __future__ import annotations

import pytest
from cli_program import lll

from lens.cli.endpoint import is_address
from lens.simulator import make_script, start


@pytest.fixture(scope="module")
def strict():
    with start(make_script(ttft="5ms", itl="1ms", tokens=3, root="/v1", models="small+large")) as simulator:
        yield simulator


def test_a_url_alone_profiles_the_endpoint(strict):
    ended = lll(strict.url)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("simulator small")
    assert f"detected provider simulator, address {strict.url}/v1, model small (first of 2 listed)" in ended.stderr


def test_a_benchmark_takes_a_url_too(strict):
    ended = lll("benchmark", strict.url, "-n", "2", "-m", "large", "--ui", "none")
    assert ended.returncode == 0, ended.stderr
    assert strict.log(last=1)[0]["model"] == "large"


def test_a_failure_of_the_built_in_simulator_has_a_hint():
    ended = lll("profile", "--provider", "simulator", "-H", "x-lens-script: status=401")
    assert (ended.returncode, "the key was refused" in ended.stderr) == (1, True)
    assert "no address" not in ended.stderr


def test_an_address_given_twice_is_refused(strict):
    ended = lll("profile", strict.url, "--base-url", strict.url)
    assert ended.returncode == 2
    assert "given twice" in ended.stderr


def test_the_targets_of_a_config_for_other_hosts_and_their_keys_are_not_used(strict, tmp_path):
    path = tmp_path / "lens.toml"
    path.write_text('[[targets]]\nprovider = "openai"\nmodel = "gpt"\napi_key = "sk-hidden"\n')
    ended = lll("profile", strict.url, "--config", path)
    assert ended.returncode == 0, ended.stderr
    assert strict.log(last=1)[0]["model"] == "small"


def test_a_failed_benchmark_says_what_to_try(strict):
    ended = lll("benchmark", "--base-url", f"{strict.url}/v2", "-m", "small", "-n", "2", "--ui", "none")
    assert ended.returncode == 1
    assert "the path is wrong" in ended.stderr
    assert f"--base-url {strict.url}/v1 answers" in ended.stderr


@pytest.mark.parametrize(
    ("word", "is_one"),
    [
        ("http://host", True),
        ("HTTPS://host/v1", True),
        ("localhost:8000", True),
        ("10.0.0.7:8000/v1", True),
        ("[::1]:8000", True),
        ("benchmark", False),
        ("run.json", False),
        ("benchmrak", False),
        ("a:b", False),
    ],
)
def test_a_word_is_an_address_with_a_scheme_or_a_port(word, is_one):
    assert is_address(word) == is_one
