"""Anthropic's Messages API, and servers that speak it (WIRE 7)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from lens.errors import ConfigError
from lens.providers import anthropic_messages
from lens.providers.base import Body, bearer, json_headers, merged, path_under
from lens.providers.outcomes import judged
from lens.providers.presets import Preset
from lens.providers.readings import reading
from lens.wire import Ask, Exchange, Prompt, Reading, Secret, WireRequest

VERSION = "2026-10-21"
# The last version that takes a temperature and its like; asked for only where there is one.
VERSION_WITH_SAMPLING = "2023-06-01"
RULES = anthropic_messages.rules_under()
PRESET = Preset(
    name="anthropic",
    title="Anthropic",
    base_url="https://api.anthropic.com/v1",
    key_variables=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
    aliases=("claude",),
    quirks=(
        "ANTHROPIC_AUTH_TOKEN is a token, sent as a bearer where there is no key",
        "thinking is billed as output; where its text is omitted, it is silence before the first token",
        f"an answer is at most {anthropic_messages.MAX_TOKENS} tokens unless --max-tokens says otherwise",
    ),
)


class BearerToken(Secret):
    """A token for the Authorization header, whatever it looks like."""

    __slots__ = ()


class Anthropic:
    """The codec."""

    name = PRESET.name
    base_url = PRESET.base_url
    key_variables = ("ANTHROPIC_API_KEY",)
    apis = ("messages",)
    preset = PRESET

    def base_url_from(self, environ: Mapping[str, str]) -> str | None:
        return environ.get("ANTHROPIC_BASE_URL") or None

    def default_key(self, environ: Mapping[str, str], base_url: str) -> Secret | None:  # noqa: ARG002
        token = environ.get("ANTHROPIC_AUTH_TOKEN")
        return BearerToken(token) if token else None

    def encode(self, prompt: Prompt, ask: Ask, base_url: str, key: Secret | None) -> WireRequest:
        if ask.api not in (None, *self.apis):
            raise ConfigError(f"provider {self.name}: no api {ask.api!r}; there is {self.apis[0]}")
        body = {"model": ask.model, **anthropic_messages.body_of(prompt, ask)}
        if ask.stream:
            body["stream"] = True
        body = merged(merged(body, ask.extra_body), prompt.extra_body)
        version = VERSION_WITH_SAMPLING if sampled(body) else VERSION
        headers = dict(json_headers(ask, auth=_auth(key)))
        headers.setdefault(b"anthropic-version", version.encode())
        under_v1 = urlsplit(base_url).path.rstrip("/").endswith("/v1")
        return WireRequest(
            path=path_under(base_url, "messages" if under_v1 else "v1/messages"),
            headers=tuple(headers.items()),
            body=msgspec.json.encode(body),
            signals=RULES,
            framing="sse" if ask.stream else "document",
            stream=ask.stream,
        )

    def decode(self, request: WireRequest, exchange: Exchange) -> Reading:  # noqa: ARG002
        return reading_of(exchange)


def reading_of(exchange: Exchange) -> Reading:
    """What an answer means that speaks in server-sent events, or in one piece."""
    answer = anthropic_messages.Answer()
    category, failure = judged(exchange, answer)
    return reading(exchange, category, failure, **answer.fields())


def sampled(body: Body) -> bool:
    """The body says how to choose tokens, which newer versions refuse."""
    return any(name in body for name in ("temperature", "top_p", "top_k"))


def _auth(key: Secret | None) -> tuple[bytes, bytes] | None:
    """A key goes into x-api-key; an OAuth token is a bearer."""
    if key is None:
        return None
    value = key.reveal()
    if isinstance(key, BearerToken) or value.startswith("sk-ant-oat"):
        return bearer(key)
    return b"x-api-key", value.encode("utf-8")
