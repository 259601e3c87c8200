"""Names, aliases and addresses of providers; those of plugins too."""

from __future__ import annotations

import pytest

from lens.errors import ConfigError
from lens.providers import registry
from lens.providers.registry import get_provider, provider_at, provider_names, provider_of_owner


@pytest.fixture(autouse=True)
def nothing_is_loaded_yet():
    registry._built_in.cache_clear()
    registry._aliases.cache_clear()


@pytest.mark.parametrize("name", provider_names())
def test_every_name_gives_the_provider_of_that_name(name):
    provider = get_provider(f" {name.upper()} ")
    assert provider.name == name
    assert get_provider(name) is provider


@pytest.mark.parametrize(
    ("alias", "name"), [("gemini", "google"), ("Claude", "anthropic"), ("compatible", "openai-compatible")]
)
def test_an_alias_is_the_provider_itself(alias, name):
    assert get_provider(alias) is get_provider(name)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://api.anthropic.com", "anthropic"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("https://notapi.openai.com.example/v1", None),
        ("http://localhost:11434", None),
        ("http://127.0.0.1:8000/v1", None),
        ("https://models.example/v1", None),
        ("nonsense", None),
    ],
)
def test_an_address_is_of_the_provider_whose_host_it_is(url, name):
    assert provider_at(url) == name


@pytest.mark.parametrize(("owner", "name"), [("vllm", "vllm"), ("nobody", None)])
def test_models_owned_by_a_server_name_it(owner, name):
    assert provider_of_owner(owner) == name


@pytest.mark.parametrize(("wrong", "near"), [("opnai", "openai"), ("antropic", "anthropic"), ("zzzzzz", "there are")])
def test_an_unknown_name_is_refused_with_what_would_work(wrong, near):
    with pytest.raises(ConfigError, match=f"no provider '{wrong}'") as refused:
        get_provider(wrong)
    assert near in str(refused.value)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    info = tmp_path / "lens_own-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lens-own\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[lens.providers]\nown = lens_own:Own\nmade = lens_own:made\nopenai = lens_own:Own\n"
    )
    (tmp_path / "lens_own.py").write_text("class Own:\n    name = 'own'\n\nmade = Own()\nmade.name = 'made'\n")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("installed")
def test_a_plugin_brings_a_provider_and_replaces_none_of_ours():
    assert {"own", "made"} <= set(provider_names())
    assert provider_names().count("openai") == 1
    assert get_provider("own").name == "own"
    assert get_provider("made").name == "made"
    assert get_provider("openai").name == "openai"
