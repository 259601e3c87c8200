"""Google Vertex AI: Gemini's and Anthropic's models under one address and one kind of token.

Source: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/reference/rest
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from msgspec.structs import replace

from lens.errors import ConfigError
from lens.providers import anthropic, google
from lens.providers.auth.google import RenewedToken, default_token
from lens.providers.base import Header, bearer, encode_json, is_host_of, path_under, select_api, with_extra_body
from lens.providers.presets import Preset
from lens.wire import Ask, Exchange, Prompt, Reading, Secret, WireRequest

# Where no project needs to be named, because an API key stands for one (express mode).
EXPRESS_URL = "https://aiplatform.googleapis.com/v1beta1"
_API_KEYS = ("AIza", "AQ.")
_PROJECT = ("GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT")
_LOCATION = ("GOOGLE_CLOUD_LOCATION", "GOOGLE_CLOUD_REGION")
MESSAGES = "messages"
# The version of Vertex's own that takes a temperature; other versions are Anthropic's.
VERSION_WITH_SAMPLING = "vertex-2023-10-16"
# Many regions under one name have a host of another form.
_MULTI_REGIONS = ("us", "eu")
PRESET = Preset(
    name="vertex",
    title="Google Vertex AI",
    base_url=EXPRESS_URL,
    key_variables=("GOOGLE_OAUTH_ACCESS_TOKEN", "GOOGLE_API_KEY"),
    aliases=("vertex-ai", "vertexai"),
    quirks=(
        "address: GOOGLE_CLOUD_PROJECT, GOOGLE_CLOUD_LOCATION (default: global); or a --base-url that names both",
        "token: GOOGLE_OAUTH_ACCESS_TOKEN, else Google's default credentials (extra: vertex)",
        "without a project, GOOGLE_API_KEY: Gemini in express mode",
        "models named claude-... are asked as Anthropic's, others as Gemini's",
    ),
)  # fmt: skip


_NO_PROJECT = (
    "provider vertex: the address names no project; set GOOGLE_CLOUD_PROJECT (and GOOGLE_CLOUD_LOCATION), or write "
    "--base-url https://LOCATION-aiplatform.googleapis.com/v1beta1/projects/PROJECT/locations/LOCATION; "
    "only Gemini with an API key (GOOGLE_API_KEY) needs none"
)


class ApiKey(Secret):
    """A key of Google Cloud, whatever it looks like."""

    __slots__ = ()


class Vertex:
    """The codec: paths and tokens are its own, bodies and answers those of the model's maker."""

    name = PRESET.name
    base_url = EXPRESS_URL
    domains = ("googleapis.com",)
    key_variables = ("GOOGLE_OAUTH_ACCESS_TOKEN",)
    apis = (google.SSE, google.ARRAY, MESSAGES)
    preset = PRESET

    def base_url_from(self, environ: Mapping[str, str]) -> str | None:
        """Return the regional address of the project that the environment names."""
        project = next((environ[name] for name in _PROJECT if environ.get(name)), None)
        if project is None:
            return None
        location = next((environ[name] for name in _LOCATION if environ.get(name)), "global")
        return f"https://{_host(location)}/v1beta1/projects/{project}/locations/{location}"

    def default_key(self, environ: Mapping[str, str], base_url: str) -> Secret | None:
        """Return Google's default credentials; without a project, the key of express mode.

        Raises:
            ConfigError: neither a project nor a key, or google-auth is not installed.
            MissingKey: no credentials.
        """
        if not _names_project(base_url):
            if environ.get("GOOGLE_API_KEY"):
                return ApiKey(environ["GOOGLE_API_KEY"])
            raise ConfigError(_NO_PROJECT)
        own = is_host_of(base_url, "googleapis.com") or environ.get("GOOGLE_APPLICATION_CREDENTIALS")
        return default_token() if own else None

    def encode(self, prompt: Prompt, ask: Ask, base_url: str, key: Secret | None) -> WireRequest:
        api = select_api(self, ask)
        claude = api == MESSAGES or (ask.api is None and ask.model.rpartition("/")[2].startswith("claude"))
        if not _names_project(base_url) and (claude or not _is_api_key(key)):
            raise ConfigError(_NO_PROJECT)
        publisher = "anthropic" if claude else "google"
        model = quote(ask.model, safe="-_.~@/")
        route = model if model.startswith("publishers/") else f"publishers/{publisher}/models/{model}"
        if claude:
            request = _encode_claude(prompt, ask, base_url, route, key)
        else:
            request = google.encode_generate(prompt, ask, base_url, route, api=api, auth=_auth(key))
        if isinstance(key, RenewedToken):
            return replace(request, sign=lambda _: (bearer(key),))
        return request

    def decode(self, request: WireRequest, exchange: Exchange) -> Reading:
        claude = request.signals == anthropic.RULES
        return (anthropic.AnthropicReader if claude else google.GeminiReader)(exchange).read()


def _encode_claude(prompt: Prompt, ask: Ask, base_url: str, route: str, key: Secret | None) -> WireRequest:
    body = {**anthropic.build_body(prompt, ask), **({"stream": True} if ask.stream else {})}
    sampling = anthropic.has_sampling(with_extra_body(body, prompt, ask))
    return encode_json(
        prompt,
        ask,
        {**body, "anthropic_version": VERSION_WITH_SAMPLING if sampling else anthropic.VERSION},
        path=path_under(base_url, f"{route}:{'streamRawPredict' if ask.stream else 'rawPredict'}"),
        signals=anthropic.RULES,
        auth=_auth(key),
    )


def _host(location: str) -> str:
    if location == "global":
        return "aiplatform.googleapis.com"
    if location in _MULTI_REGIONS:
        return f"aiplatform.{location}.rep.googleapis.com"
    return f"{location}-aiplatform.googleapis.com"


def _names_project(base_url: str) -> bool:
    return "/projects/" in urlsplit(base_url).path


def _is_api_key(key: Secret | None) -> bool:
    return isinstance(key, ApiKey) or (key is not None and key.reveal().startswith(_API_KEYS))


def _auth(key: Secret | None) -> Header | None:
    """Return the bearer header for a token, Google's own header for an API key."""
    if key is None or not _is_api_key(key):
        return bearer(key)
    return google.key_header(key)
