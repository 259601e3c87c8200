"""Azure: which address and which header a base URL and a key lead to; its answers are OpenAI's."""

import pytest
from recorded import EXPECTED, check, names_of, raw

from lens.config.settings import TargetConfig
from lens.errors import ConfigError
from lens.providers.auth.keys import find_key, resolve_base_url
from lens.providers.registry import get_provider
from lens.wire import Ask, Prompt, Secret

JWT = "eyJhbGciOi.eyJhdWQiOi.c2lnbmF0dXJl"


def encoded(base_url, api="chat", key="k"):
    return get_provider("azure").encode(Prompt(text="hi"), Ask(model="my gpt", api=api), base_url, Secret(key))


@pytest.mark.parametrize(
    ("base_url", "api", "path"),
    [
        ("https://r.openai.azure.com", "chat", "/openai/v1/chat/completions"),
        ("https://r.openai.azure.com/", "responses", "/openai/v1/responses"),
        ("https://r.openai.azure.com/openai/v1/", "chat", "/openai/v1/chat/completions"),
        ("https://gateway/team/v1", "chat", "/team/v1/chat/completions"),
        (
            "https://r.openai.azure.com?api-version=2025-04-01-preview",
            "chat",
            "/openai/deployments/my%20gpt/chat/completions?api-version=2025-04-01-preview",
        ),
        (
            "https://r.openai.azure.com/openai",
            "embeddings",
            "/openai/deployments/my%20gpt/embeddings?api-version=2024-10-21",
        ),
        ("https://r.openai.azure.com/openai", "responses", "/openai/responses?api-version=2024-10-21"),
        (
            "https://r.openai.azure.com/openai/deployments/d1",
            "completions",
            "/openai/deployments/d1/completions?api-version=2024-10-21",
        ),
    ],
)
def test_the_base_url_says_which_style_of_address_is_meant(base_url, api, path):
    assert encoded(base_url, api).path == path


def test_a_key_goes_into_its_own_header_and_an_entra_token_is_a_bearer():
    assert dict(encoded("https://x").headers)[b"api-key"] == b"k"
    headers = dict(encoded("https://x", key=JWT).headers)
    assert headers[b"authorization"] == b"Bearer " + JWT.encode()
    assert b"api-key" not in headers


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({"AZURE_OPENAI_ENDPOINT": "https://r/"}, "https://r/"),
        (
            {"AZURE_OPENAI_ENDPOINT": "https://r/", "OPENAI_API_VERSION": "2024-10-21"},
            "https://r?api-version=2024-10-21",
        ),
        ({"AZURE_OPENAI_ENDPOINT": "https://r?a=b", "OPENAI_API_VERSION": "x"}, "https://r?a=b"),
        ({"OPENAI_API_VERSION": "x"}, None),
    ],
)
def test_the_environment_tells_the_address(environ, address):
    config = TargetConfig(provider="azure", model="m")
    assert resolve_base_url(config, get_provider("azure"), environ) == address


def test_without_a_key_the_message_names_the_variables():
    config = TargetConfig(provider="azure", model="m")
    with pytest.raises(ConfigError, match="AZURE_OPENAI_API_KEY or AZURE_OPENAI_AD_TOKEN"):
        find_key(config, get_provider("azure"), {"AZURE_OPENAI_ENDPOINT": "https://r"})


@pytest.mark.parametrize("name", [n for n in names_of("openai_chat") if EXPECTED[n]["provider"] == "azure"])
def test_recorded_answers_of_azure(name):
    exchange = check(name, [raw(name)])
    reading = get_provider("azure").decode(encoded("https://x"), exchange)
    assert reading.headers["apim-request-id"] == EXPECTED[name]["headers"]["azure_request_id"]
