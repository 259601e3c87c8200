"""Where a target's key comes from, in order; a key that cannot be had is named by its source, never by its text."""

import os

import pytest

from lens.config.settings import TargetConfig
from lens.errors import ConfigError, FileError, MissingKey
from lens.providers.auth.keys import find_key, key_file_warning, resolve_base_url, withheld_warning
from lens.providers.registry import get_provider
from lens.wire import Secret

ENVIRON = {"OPENAI_API_KEY": "of the provider", "MINE": "of mine"}


def found(environ=ENVIRON, **target):
    config = TargetConfig(provider="openai", model="m", **target)
    key = find_key(config, get_provider("openai"), environ)
    return key and key.reveal()


def test_the_nearer_source_of_a_key_comes_first(tmp_path):
    (tmp_path / "key").write_text("of the file\n")
    file = str(tmp_path / "key")
    assert found(api_key=Secret("given"), api_key_env="MINE", api_key_file=file) == "given"
    assert found(api_key_env="MINE", api_key_file=file) == "of mine"
    assert found(api_key_file=file) == "of the file"
    assert found() == "of the provider"
    assert found({}, base_url="http://localhost") is None


@pytest.mark.parametrize(
    ("content", "error", "says"),
    [
        (None, FileError, "cannot read: No such file"),
        (b"", MissingKey, "it is empty"),
        (b"\xff", FileError, "cannot read: it is not text"),
    ],
)
def test_a_key_file_that_holds_no_key_is_named(tmp_path, content, error, says):
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(error, match=f"--api-key-file .*key: {says}"):
        found(api_key_file=str(tmp_path / "key"))


def test_a_missing_key_says_which_variables_would_hold_it():
    with pytest.raises(MissingKey, match="set OPENAI_API_KEY, or give --api-key-env NAME"):
        found({})
    with pytest.raises(MissingKey, match="the variable NOT_THERE is not set"):
        found(api_key_env="NOT_THERE")


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_key_file_that_others_may_read_is_warned_of(tmp_path):
    file = tmp_path / "key"
    file.write_text("k")
    file.chmod(0o600)
    assert key_file_warning(str(file)) is None
    file.chmod(0o644)
    assert "chmod 600" in key_file_warning(str(file))
    assert key_file_warning(str(tmp_path / "none")) is key_file_warning(str(tmp_path)) is key_file_warning(None) is None


def test_a_base_url_that_is_given_comes_before_that_of_the_environment():
    openai, environ = get_provider("openai"), {"OPENAI_BASE_URL": "http://environ"}
    assert (
        resolve_base_url(TargetConfig(provider="openai", model="m", base_url="http://x"), openai, environ) == "http://x"
    )
    assert resolve_base_url(TargetConfig(provider="openai", model="m"), openai, environ) == "http://environ"
    assert resolve_base_url(TargetConfig(provider="openai", model="m"), openai, {}) == "https://api.openai.com/v1"


def test_blanks_and_line_ends_around_a_key_are_left_out(tmp_path):
    assert found({"OPENAI_API_KEY": " sk-1\r\n"}) == "sk-1"
    assert found({"MINE": "sk-2\n"}, api_key_env="MINE") == "sk-2"
    assert found(api_key=Secret("\tsk-3\n")) == "sk-3"
    (tmp_path / "key").write_bytes("sk-4\r\n".encode("utf-16"))
    assert found(api_key_file=str(tmp_path / "key")) == "sk-4"


@pytest.mark.parametrize("value", ["sk-\nhidden", "sk\x00hidden", "hidden\udcff"])
def test_a_key_that_no_header_may_hold_is_named_by_its_source(value):
    with pytest.raises(ConfigError, match="the variable OPENAI_API_KEY: the key has a line end") as caught:
        found({"OPENAI_API_KEY": value})
    assert "hidden" not in str(caught.value)
    with pytest.raises(MissingKey, match="only blanks"):
        found({"OPENAI_API_KEY": " \n"})


@pytest.mark.parametrize(
    ("provider", "url", "environ", "sent"),
    [
        ("openai", None, {}, True),
        ("openai", "https://eu.api.openai.com/v1", {}, True),
        ("openai", "http://localhost:4000/v1", {}, True),
        ("openai", "https://gateway.example/v1", {}, False),
        ("openai", "https://notapi.openai.com.example/v1", {}, False),
        ("openai", "https://gateway.example/v1", {"OPENAI_BASE_URL": "https://gateway.example/v1"}, True),
        ("groq", "https://api.openai.com/v1", {}, False),
        ("anthropic", "https://gateway.example", {}, False),
        ("azure", "https://mine.openai.azure.com", {}, True),
        ("vertex", "https://europe-west4-aiplatform.googleapis.com/v1/projects/p/locations/l", {}, True),
        ("vertex", "https://gateway.example/v1/projects/p/locations/l", {}, False),
        ("bedrock", "https://gateway.example", {}, True),
    ],
)
def test_a_key_of_the_environment_is_sent_only_to_the_host_it_belongs_to(provider, url, environ, sent):
    codec = get_provider(provider)
    variable = codec.key_variables[0]
    environ = {variable: "k", "ANTHROPIC_AUTH_TOKEN": "t", **environ}
    config = TargetConfig(provider=provider, model="m", base_url=url)
    assert (find_key(config, codec, environ) is not None) == sent
    warning = withheld_warning(config, codec, environ)
    assert (warning is None) == sent
    if warning:
        assert f"--api-key-env {variable}" in warning
    named = TargetConfig(provider=provider, model="m", base_url=url, api_key_env=variable)
    assert find_key(named, codec, environ) is not None
    assert withheld_warning(named, codec, environ) is None
