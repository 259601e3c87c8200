"""AWS Bedrock: Converse for every model, InvokeModel for the makers' own bodies; bearer keys or signatures (WIRE 9)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

import msgspec
from msgspec.structs import replace

from lens.errors import ConfigError
from lens.providers import bedrock_converse, bedrock_invoke
from lens.providers.auth.aws import BEARER_VARIABLE, find_credentials, region_of
from lens.providers.auth.sigv4 import AwsCredentials, signed_headers
from lens.providers.base import bearer, is_host_of, json_headers, merged, path_under
from lens.providers.outcomes import judged
from lens.providers.presets import Preset
from lens.providers.readings import reading
from lens.wire import Ask, Exchange, Prompt, Reading, Secret, WireRequest

CONVERSE, INVOKE = "converse", "invoke"
_OPERATIONS = {
    (CONVERSE, True): "converse-stream",
    (CONVERSE, False): "converse",
    (INVOKE, True): "invoke-with-response-stream",
    (INVOKE, False): "invoke",
}
_REGION = re.compile(r"\bbedrock-runtime(?:-fips)?\.([a-z0-9-]+)\.")
_AMAZON = ("amazonaws.com", "amazonaws.com.cn")
_DEFAULT_PORTS = {"http": 80, "https": 443}
PRESET = Preset(
    name="bedrock",
    title="AWS Bedrock",
    address_variables=("AWS_REGION",),
    key_variables=(BEARER_VARIABLE, "AWS_ACCESS_KEY_ID"),
    aliases=("aws-bedrock", "aws"),
    quirks=(
        "the address is that of the region: AWS_REGION, or the profile's",
        f"key: {BEARER_VARIABLE}, else AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, else AWS_PROFILE; "
        "single sign-on and roles with the extra bedrock",
        "reports its own latency",
    ),
)


class Bedrock:
    """The codec."""

    name = PRESET.name
    base_url = None
    key_variables = (BEARER_VARIABLE,)
    apis = (CONVERSE, INVOKE)
    preset = PRESET

    def base_url_from(self, environ: Mapping[str, str]) -> str | None:
        told = environ.get("AWS_ENDPOINT_URL_BEDROCK_RUNTIME")
        region = region_of(environ)
        return told or (f"https://bedrock-runtime.{region}.amazonaws.com" if region else None)

    def default_key(self, environ: Mapping[str, str], base_url: str) -> Secret | None:
        """Of variables and profiles for any address; of the whole chain only for Amazon's own, or one set for us."""
        own = base_url in ("", self.base_url_from(environ)) or is_host_of(base_url, *_AMAZON)
        return find_credentials(environ, whole_chain=own)

    def encode(self, prompt: Prompt, ask: Ask, base_url: str, key: Secret | None) -> WireRequest:
        api = ask.api or CONVERSE
        if api not in self.apis:
            raise ConfigError(f"provider {self.name}: no api {api!r}; there are {', '.join(self.apis)}")
        if api == CONVERSE:
            body, rules = bedrock_converse.body_of(prompt, ask), bedrock_converse.RULES
        else:
            body, rules = bedrock_invoke.body_and_rules(prompt, ask)
        headers = dict(json_headers(ask, auth=None if isinstance(key, AwsCredentials) else bearer(key)))
        if ask.stream:
            headers[b"accept"] = b"application/vnd.amazon.eventstream"
        request = WireRequest(
            path=path_under(base_url, f"model/{quote(ask.model, safe='-_.~')}/{_OPERATIONS[api, ask.stream]}"),
            headers=tuple(headers.items()),
            body=msgspec.json.encode(merged(merged(body, ask.extra_body), prompt.extra_body)),
            signals=rules,
            framing="aws" if ask.stream else "document",
            stream=ask.stream,
        )
        return replace(request, sign=_signer(key, base_url)) if isinstance(key, AwsCredentials) else request

    def decode(self, request: WireRequest, exchange: Exchange) -> Reading:
        converse = request.signals == bedrock_converse.RULES
        answer = bedrock_converse.Answer() if converse else bedrock_invoke.Answer(request.signals)
        category, failure = judged(exchange, answer)
        return reading(exchange, category, failure, **answer.fields())


class _signer:  # noqa: N801 - a function that can be shown without showing its key
    """Signs a request when it is about to be sent."""

    def __init__(self, credentials: AwsCredentials, base_url: str) -> None:
        """
        Raises:
            ConfigError: nobody says for which region.
        """
        parts = urlsplit(base_url)
        named = _REGION.search(parts.hostname or "")
        self.region = named[1] if named else credentials.region
        if not self.region:
            raise ConfigError("provider bedrock: requests are signed for a region; set AWS_REGION")
        shown = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        usual = parts.port in (None, _DEFAULT_PORTS.get(parts.scheme))
        self.host = shown if usual else f"{shown}:{parts.port}"
        self._credentials = credentials

    def __call__(self, request: WireRequest) -> tuple[tuple[bytes, bytes], ...]:
        kept = [(n.decode("ascii"), v.decode("utf-8")) for n, v in request.headers]
        added = signed_headers(
            self._credentials.current(),
            method=request.method,
            host=self.host,
            target=request.path,
            headers=kept,
            body=request.body,
            region=self.region,
        )
        return tuple([(name.lower().encode(), value.encode()) for name, value in added])
