"""Azure OpenAI: OpenAI's protocol under Azure's addresses and keys.

Two styles of address: the v1 API (`https://RES.openai.azure.com/openai/v1`, the model is the
deployment's name) and deployments with an api-version in the query. Which one is meant is read off the
base URL: an api-version or a /deployments/ path is the second; a bare resource is the first.

Source: https://learn.microsoft.com/en-us/azure/ai-foundry/openai/reference
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from lens.providers.base import Header, bearer, path_under
from lens.providers.openai import ROUTES, OpenAI
from lens.providers.presets import Preset
from lens.wire import Secret

# The last dated version that is generally available; the v1 API has none.
API_VERSION = "2024-10-21"
# Deployments have these routes of their own; all else lies beside them.
_OF_DEPLOYMENT = ("chat", "completions", "embeddings")
PRESET = Preset(
    name="azure",
    title="Azure OpenAI",
    address_variables=("AZURE_OPENAI_ENDPOINT",),
    key_variables=("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN"),
    aliases=("azure-openai",),
    max_tokens_key="max_completion_tokens",
    quirks=(
        "address: https://RESOURCE.openai.azure.com",
        "the content filter buffers: text comes in blocks, so gaps are the filter's",
    ),
)


class Azure(OpenAI):
    """The codec of OpenAI, with Azure's paths and the api-key header."""

    def __init__(self) -> None:
        super().__init__(PRESET)

    def base_url_from(self, environ: Mapping[str, str]) -> str | None:
        """Return the resource's address, with the api-version where one is set."""
        endpoint, version = environ.get("AZURE_OPENAI_ENDPOINT"), environ.get("OPENAI_API_VERSION")
        if not endpoint or not version or "?" in endpoint:
            return endpoint
        return f"{endpoint.rstrip('/')}?api-version={quote(version)}"

    def path_of(self, base_url: str, api: str, model: str) -> str:
        parts = urlsplit(base_url)
        path = parts.path.rstrip("/")
        dated = "api-version=" in parts.query
        if path.endswith("/openai/v1") or not (dated or path.endswith("/openai") or "/deployments/" in path):
            return path_under(base_url, f"{'' if path.endswith('/v1') else 'openai/v1/'}{ROUTES[api]}")
        versioned = base_url if dated else f"{base_url.partition('?')[0]}?api-version={API_VERSION}"
        inside = "" if path.endswith("/openai") or "/deployments/" in path else "openai/"
        if api in _OF_DEPLOYMENT and "/deployments/" not in path:
            inside += f"deployments/{quote(model, safe='')}/"
        return path_under(versioned, inside + ROUTES[api])

    def auth_of(self, key: Secret | None) -> Header | None:
        """Return the bearer header for an Entra token (a JWT), the api-key header for a key."""
        if key is None:
            return None
        value = key.reveal()
        if value.startswith("eyJ") and value.count(".") == 2:
            return bearer(key)
        return b"api-key", value.encode("utf-8")
