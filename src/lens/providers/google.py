"""Google's Gemini API with a key, as server-sent events or as one growing JSON array (WIRE 8.1)."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

import msgspec

from lens.errors import ConfigError
from lens.providers import gemini_content
from lens.providers.base import json_headers, merged, path_under
from lens.providers.outcomes import judged
from lens.providers.presets import Preset
from lens.providers.readings import reading
from lens.wire import Ask, EventFraming, Exchange, Prompt, Reading, Secret, WireRequest

SSE, ARRAY = "gemini", "gemini-array"
_VERSION = re.compile(r"/v\d[\w.]*(/|$)")
PRESET = Preset(
    name="google",
    title="Google Gemini API",
    base_url="https://generativelanguage.googleapis.com/v1beta",
    key_variables=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    aliases=("gemini",),
    quirks=("several tokens a chunk", f"--api {ARRAY} asks for a JSON array in place of events"),
)


class Google:
    """The codec."""

    name = PRESET.name
    base_url = PRESET.base_url
    key_variables = PRESET.key_variables
    apis = (SSE, ARRAY)
    preset = PRESET

    def encode(self, prompt: Prompt, ask: Ask, base_url: str, key: Secret | None) -> WireRequest:
        api = ask.api or SSE
        if api not in self.apis:
            raise ConfigError(f"provider {self.name}: no api {api!r}; there are {', '.join(self.apis)}")
        versioned = "" if _VERSION.search(urlsplit(base_url).path) else "v1beta/"
        route = f"{versioned}models/{quote(ask.model.removeprefix('models/'), safe='-_.~')}"
        auth = (b"x-goog-api-key", key.reveal().encode("utf-8")) if key else None
        return generate(prompt, ask, base_url, route, api=api, auth=auth)

    def decode(self, request: WireRequest, exchange: Exchange) -> Reading:  # noqa: ARG002
        return reading_of(exchange)


def generate(
    prompt: Prompt, ask: Ask, base_url: str, route: str, *, api: str, auth: tuple[bytes, bytes] | None
) -> WireRequest:
    """A request to the model at `route`, which the method's name is put behind."""
    framing: EventFraming = "document"
    method = "generateContent"
    if ask.stream:
        framing = "sse" if api == SSE else "json_array"
        method = "streamGenerateContent"
    path = path_under(base_url, f"{route}:{method}")
    if framing == "sse":
        path += "&alt=sse" if "?" in path else "?alt=sse"
    body = gemini_content.body_of(prompt, ask)
    return WireRequest(
        path=path,
        headers=json_headers(ask, auth=auth),
        body=msgspec.json.encode(merged(merged(body, ask.extra_body), prompt.extra_body)),
        signals=gemini_content.RULES,
        framing=framing,
        stream=ask.stream,
    )


def reading_of(exchange: Exchange) -> Reading:
    """What an answer of generateContent means, in whichever form it came."""
    answer = gemini_content.Answer()
    category, failure = judged(exchange, answer)
    return reading(exchange, category, failure, **answer.fields())
