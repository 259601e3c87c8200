"""AWS Bedrock: Converse for every model, InvokeModel for the makers' own bodies; bearer keys or signatures.

Source: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from msgspec.structs import replace

from lens.errors import ConfigError
from lens.providers import bedrock_converse, bedrock_invoke
from lens.providers.auth.aws import BEARER_VARIABLE, find_credentials, region_of
from lens.providers.auth.sigv4 import AwsCredentials, signed_headers
from lens.providers.base import bearer, encode_json, is_host_of, path_under, select_api
from lens.providers.presets import Preset
from lens.wire import DEFAULT_PORTS, Ask, Exchange, Prompt, Reading, Secret, WireRequest

CONVERSE, INVOKE = "converse", "invoke"
_OPERATIONS = {
    (CONVERSE, True): "converse-stream",
    (CONVERSE, False): "converse",
    (INVOKE, True): "invoke-with-response-stream",
    (INVOKE, False): "invoke",
}
_REGION = re.compile(r"\bbedrock-runtime(?:-fips)?\.([a-z0-9-]+)\.")
_AMAZON = ("amazonaws.com", "amazonaws.com.cn")
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
    encrypted_only = True  # credentials of an account are not sent over plain http

    def base_url_from(self, environ: Mapping[str, str]) -> str | None:
        """Return AWS_ENDPOINT_URL_BEDROCK_RUNTIME, else the address of the region."""
        url = environ.get("AWS_ENDPOINT_URL_BEDROCK_RUNTIME")
        region = region_of(environ)
        return url or (f"https://bedrock-runtime.{region}.amazonaws.com" if region else None)

    def default_key(self, environ: Mapping[str, str], base_url: str) -> Secret | None:
        """Return credentials of variables and profiles; of the whole chain only for Amazon's or our own address."""
        own = base_url in ("", self.base_url_from(environ)) or is_host_of(base_url, *_AMAZON)
        return find_credentials(environ, whole_chain=own)

    def encode(self, prompt: Prompt, ask: Ask, base_url: str, key: Secret | None) -> WireRequest:
        api = select_api(self, ask)
        if api == CONVERSE:
            body, rules = bedrock_converse.build_body(prompt, ask), bedrock_converse.RULES
        else:
            body, rules = bedrock_invoke.build_body_and_rules(prompt, ask)
        request = encode_json(
            prompt,
            ask,
            body,
            path=path_under(base_url, f"model/{quote(ask.model, safe='-_.~')}/{_OPERATIONS[api, ask.stream]}"),
            signals=rules,
            auth=None if isinstance(key, AwsCredentials) else bearer(key),
            headers=[(b"accept", b"application/vnd.amazon.eventstream")] if ask.stream else [],
            framing="aws",
        )
        return replace(request, sign=RequestSigner(key, base_url)) if isinstance(key, AwsCredentials) else request

    def decode(self, request: WireRequest, exchange: Exchange) -> Reading:
        if request.signals == bedrock_converse.RULES:
            return bedrock_converse.ConverseReader(exchange).read()
        return bedrock_invoke.make_reader(exchange, request.signals).read()


class RequestSigner:
    """Signs a request when it is about to be sent; its repr shows no key."""

    def __init__(self, credentials: AwsCredentials, base_url: str) -> None:
        """
        Raises:
            ConfigError: neither the address nor the credentials name a region.
        """
        parts = urlsplit(base_url)
        of_host = _REGION.search(parts.hostname or "")
        self.region = of_host[1] if of_host else credentials.region
        if not self.region:
            raise ConfigError("provider bedrock: requests are signed for a region; set AWS_REGION")
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        is_default = parts.port in (None, DEFAULT_PORTS.get(parts.scheme))
        self.host = host if is_default else f"{host}:{parts.port}"
        self._credentials = credentials

    def __call__(self, request: WireRequest) -> tuple[tuple[bytes, bytes], ...]:
        headers = [(name.decode("ascii"), value.decode("utf-8")) for name, value in request.headers]
        added = signed_headers(
            self._credentials.current(),
            method=request.method,
            host=dict(headers).get("host", self.host),
            target=request.path,
            headers=headers,
            body=request.body,
            region=self.region,
        )
        return tuple([(name.lower().encode(), value.encode()) for name, value in added])
