"""Vertex: addresses, whose model it is, which credentials; and what Google and Anthropic are asked."""

import json

import pytest
from recorded import EXPECTED, exchange_of, names_of, raw

from lens.config.settings import TargetConfig
from lens.errors import ConfigError, MissingKey
from lens.providers.auth.google import RenewedToken
from lens.providers.auth.keys import find_key, resolve_base_url
from lens.providers.registry import get_provider
from lens.providers.vertex import EXPRESS_URL, ApiKey
from lens.wire import Ask, Prompt, Secret

HOME = "https://us-central1-aiplatform.googleapis.com/v1beta1/projects/p/locations/us-central1"
PIXEL = "data:image/png;base64,iVBORw0KGgo="
TALK = (
    {"role": "system", "content": "be short"},
    {
        "role": "user",
        "content": [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": PIXEL}}],
    },
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "function": {"name": "look", "arguments": '{"at": 1}'}}],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
)


def encoded(provider, base_url, model="m", prompt=None, **ask):
    return get_provider(provider).encode(
        prompt or Prompt(text="hi"), Ask(model=model, **ask), base_url, Secret(ask.pop("key", "tok"))
    )


@pytest.fixture
def no_google_credentials(monkeypatch, tmp_path):
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")


@pytest.mark.parametrize(
    ("provider", "base_url", "model", "ask", "path"),
    [
        (
            "google",
            "https://g/v1beta",
            "gemini-2.5-pro",
            {},
            "/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
        ),
        ("google", "https://g", "models/x", {"stream": False}, "/v1beta/models/x:generateContent"),
        ("google", "https://g/v1", "x", {"api": "gemini-array"}, "/v1/models/x:streamGenerateContent"),
        (
            "vertex",
            HOME,
            "gemini-2.5-pro",
            {},
            "/v1beta1/projects/p/locations/us-central1/publishers/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
        ),
        (
            "vertex",
            HOME,
            "claude-sonnet-4-5@20250929",
            {},
            "/v1beta1/projects/p/locations/us-central1/publishers/anthropic/models/claude-sonnet-4-5@20250929"
            ":streamRawPredict",
        ),
        (
            "vertex",
            HOME,
            "publishers/anthropic/models/claude-x",
            {"api": "messages", "stream": False},
            "/v1beta1/projects/p/locations/us-central1/publishers/anthropic/models/claude-x:rawPredict",
        ),
        ("anthropic", "https://a", "m", {}, "/v1/messages"),
        ("anthropic", "https://a/v1/", "m", {}, "/v1/messages"),
        ("anthropic", "https://foundry/anthropic", "m", {}, "/anthropic/v1/messages"),
    ],
)
def test_the_path_of_a_request(provider, base_url, model, ask, path):
    assert encoded(provider, base_url, model, **ask).path == path


def test_what_gemini_is_asked():
    request = encoded("google", "https://g", prompt=Prompt(messages=TALK), max_tokens=9, temperature=0.5, seed=3)
    body = json.loads(request.body)
    assert body["systemInstruction"] == {"parts": [{"text": "be short"}]}
    assert body["generationConfig"] == {"maxOutputTokens": 9, "temperature": 0.5, "seed": 3}
    assert body["contents"] == [
        {
            "role": "user",
            "parts": [{"text": "what?"}, {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}],
        },
        {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {"at": 1}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"result": "a cat"}}}]},
    ]
    assert dict(request.headers)[b"x-goog-api-key"] == b"tok"


def test_what_anthropic_is_asked():
    request = encoded("anthropic", "https://a", prompt=Prompt(messages=TALK))
    body, headers = json.loads(request.body), dict(request.headers)
    assert (body["system"], body["max_tokens"], body["stream"]) == ("be short", 1024, True)
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "what?"}, image]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "look", "input": {"at": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "a cat"}]},
    ]
    assert (headers[b"x-api-key"], headers[b"anthropic-version"]) == (b"tok", b"2026-10-21")


def test_a_temperature_is_sent_with_the_version_that_takes_one():
    headers = dict(encoded("anthropic", "https://a", temperature=0.7).headers)
    assert headers[b"anthropic-version"] == b"2023-06-01"
    mine = encoded("anthropic", "https://a", headers=(("anthropic-version", "2099-01-01"),))
    assert dict(mine.headers)[b"anthropic-version"] == b"2099-01-01"


def test_an_oauth_token_is_a_bearer():
    made = get_provider("anthropic").encode(Prompt(text="x"), Ask(model="m"), "https://a", Secret("sk-ant-oat01-x"))
    assert dict(made.headers)[b"authorization"] == b"Bearer sk-ant-oat01-x"


def test_claude_on_vertex_names_its_version_in_the_body_and_no_model():
    request = encoded("vertex", HOME, "claude-x")
    body = json.loads(request.body)
    assert body["anthropic_version"] == "2026-10-21"
    assert "model" not in body
    assert dict(request.headers)[b"authorization"] == b"Bearer tok"


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({}, "https://aiplatform.googleapis.com/v1beta1"),
        (
            {"GOOGLE_CLOUD_PROJECT": "p"},
            "https://aiplatform.googleapis.com/v1beta1/projects/p/locations/global",
        ),
        ({"GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_CLOUD_LOCATION": "us-central1"}, HOME),
        (
            {"GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_CLOUD_REGION": "eu"},
            "https://aiplatform.eu.rep.googleapis.com/v1beta1/projects/p/locations/eu",
        ),
    ],
)
def test_the_environment_names_the_place(environ, address):
    assert resolve_base_url(TargetConfig(provider="vertex", model="m"), get_provider("vertex"), environ) == address


@pytest.mark.parametrize(("model", "key"), [("gemini", "ya29.token"), ("claude-x", "AIzaKey"), ("gemini", "")])
def test_an_address_without_a_project_is_refused_but_for_gemini_with_an_api_key(model, key):
    with pytest.raises(ConfigError, match="set GOOGLE_CLOUD_PROJECT"):
        get_provider("vertex").encode(Prompt(text="x"), Ask(model=model), EXPRESS_URL, Secret(key) if key else None)


@pytest.mark.parametrize("key", [Secret("AIzaKey"), Secret("AQ.key"), ApiKey("looks like nothing")])
def test_an_api_key_needs_no_project_and_has_a_header_of_its_own(key):
    request = get_provider("vertex").encode(Prompt(text="x"), Ask(model="gemini-2.5-pro"), EXPRESS_URL, key)
    assert request.path == "/v1beta1/publishers/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse"
    headers = dict(request.headers)
    assert headers[b"x-goog-api-key"] == key.reveal().encode()
    assert b"authorization" not in headers
    assert repr(key) == "Secret(***)"


@pytest.mark.parametrize(
    ("environ", "base_url", "found"),
    [
        ({"GOOGLE_API_KEY": "k"}, None, ApiKey),
        ({"GOOGLE_API_KEY": "k", "GOOGLE_OAUTH_ACCESS_TOKEN": "t"}, None, Secret),
        ({"GOOGLE_API_KEY": "k", "GOOGLE_CLOUD_PROJECT": "p"}, None, MissingKey),
        ({"GOOGLE_CLOUD_PROJECT": "p"}, None, MissingKey),
        ({}, HOME, MissingKey),
        ({}, "http://localhost/projects/p/locations/l", None),  # what was not given goes to Google alone
        ({"GOOGLE_APPLICATION_CREDENTIALS": "f"}, "http://localhost/projects/p/locations/l", MissingKey),
    ],
)
def test_where_a_key_comes_from(environ, base_url, found, no_google_credentials):
    config = TargetConfig(provider="vertex", model="m", base_url=base_url)
    if found is MissingKey:  # google-auth was asked, or is not there to be asked
        with pytest.raises((MissingKey, ConfigError), match="GOOGLE_OAUTH_ACCESS_TOKEN"):
            find_key(config, get_provider("vertex"), environ)
    else:
        assert type(find_key(config, get_provider("vertex"), environ)) is (found or type(None))


def test_without_project_and_key_the_message_says_what_to_set():
    with pytest.raises(ConfigError, match=r"GOOGLE_CLOUD_PROJECT.*GOOGLE_API_KEY"):
        find_key(TargetConfig(provider="vertex", model="m"), get_provider("vertex"), {})


@pytest.mark.parametrize("name", [n for n in names_of("anthropic_messages", "gemini_sse") if n.startswith("vertex")])
def test_recorded_answers_of_vertex(name):
    expected = EXPECTED[name]
    exchange, _ = exchange_of(name, [raw(name)], keep_all=True)
    request = encoded("vertex", HOME, "claude-x" if "anthropic" in expected["protocol"] else "gemini-x")
    reading = get_provider("vertex").decode(request, exchange)
    assert reading.category == expected["outcome"]["category"]
    assert reading.text == expected["text"]
    assert (reading.usage and reading.usage.output_tokens) == (expected["usage"] or {}).get("output_tokens")


def test_a_token_that_renews_itself_is_read_when_a_request_is_sent():
    class Token(RenewedToken):
        def __init__(self):
            self.count = 0

        def reveal(self):
            self.count += 1
            return f"token-{self.count}"

    token = Token()
    request = get_provider("vertex").encode(Prompt(text="x"), Ask(model="m"), HOME, token)
    first, second = request.sign(request), request.sign(request)
    assert first != second
    assert first[0][0] == b"authorization"
