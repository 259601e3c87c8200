"""The contract of a provider, and what its encoders share.

A provider has two ends and no state: encode() before anything is sent, decode() after the body has
ended. What happens between, the core does by the provider's rules (SignalRules), which are data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

from lens.errors import ConfigError
from lens.patterns import lazy_pattern
from lens.wire import Ask, EventFraming, Exchange, Prompt, Reading, Secret, SignalRules, WireRequest

# RFC 9110, section 5.6.2.
_TOKEN = lazy_pattern(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BY_TRANSPORT = {
    "content-length": "it is the length of the body that is sent",
    "transfer-encoding": "the body is sent with its length",
    "connection": "--connection reuse or fresh decides about it",
}
Body = dict[str, Any]
Header = tuple[bytes, bytes]


class Provider(Protocol):
    """A codec of one protocol family.

    It may have two methods besides: base_url_from(environ), its address as the environment names it, or None;
    and default_key(environ, base_url), a key for that address where no variable of key_variables holds one.
    `domains` names further domains that its keys belong to (owns_address).
    """

    @property
    def name(self) -> str: ...

    @property
    def base_url(self) -> str | None:
        """Its own address; None where only the user can know it."""

    @property
    def key_variables(self) -> tuple[str, ...]:
        """Environment variables that may hold a key, in order; empty where none is needed."""

    @property
    def apis(self) -> tuple[str, ...]:
        """The values that Ask.api may have; the first is the default."""

    def encode(self, prompt: Prompt, ask: Ask, base_url: str, key: Secret | None) -> WireRequest:
        """Return the request as it will be sent.

        Raises:
            ConfigError: the protocol cannot express what is asked.
        """

    def decode(self, request: WireRequest, exchange: Exchange) -> Reading:
        """Return what the answer means. Never raises for what a server sent."""


def encode_json(
    prompt: Prompt,
    ask: Ask,
    body: Body,
    *,
    path: str,
    signals: SignalRules,
    auth: Header | None,
    headers: Iterable[Header] = (),
    framing: EventFraming = "sse",
    stream: bool | None = None,
) -> WireRequest:
    """Return a request with a JSON body: `body` overlaid by the target's extra body, then by the prompt's.

    `headers` are the protocol's own, beneath those of the user. `framing` is that of a streamed answer.
    `stream` defaults to what is asked.
    """
    streamed = ask.stream if stream is None else stream
    return WireRequest(
        path=path,
        headers=json_headers(ask, auth=auth, headers=headers),
        body=msgspec.json.encode(with_extra_body(body, prompt, ask)),
        signals=signals,
        framing=framing if streamed else "document",
        stream=streamed,
    )


def with_extra_body(body: Body, prompt: Prompt, ask: Ask) -> Body:
    """Return `body` overlaid by the target's extra body, then by the prompt's."""
    return merge(merge(body, ask.extra_body), prompt.extra_body)


def merge(body: Body, over: Body) -> Body:
    """Return `body` overlaid by `over`: objects are merged, None removes a key, any other value replaces."""
    out = dict(body)
    for key, value in over.items():
        if value is None:
            out.pop(key, None)
        elif isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = merge(out[key], value)
        else:
            out[key] = value
    return out


def json_headers(ask: Ask, *, auth: Header | None, headers: Iterable[Header] = ()) -> tuple[Header, ...]:
    """Return the headers of a JSON request; `headers` override the defaults, the user's override all."""
    found: dict[bytes, bytes] = {b"content-type": b"application/json"}
    found[b"accept"] = b"text/event-stream, application/json" if ask.stream else b"application/json"
    if auth is not None:
        found[auth[0]] = auth[1]
    found.update(headers)
    found.update([encode_header(name, value) for name, value in ask.headers])
    return tuple(found.items())


def encode_header(name: str, value: str) -> Header:
    """Return a header as it goes on the wire, its name in lower case.

    Raises:
        ConfigError: a character may not stand there, or the transport alone decides about it; the value is not shown.
    """
    lower = name.lower()
    if not _TOKEN.fullmatch(name):
        raise ConfigError(f"header {name!r}: its name has a character that no header may have; "
                          "letters, digits and hyphens are fine")  # fmt: skip
    if lower in _BY_TRANSPORT:
        raise ConfigError(f"header {name!r} cannot be set: {_BY_TRANSPORT[lower]}")
    if any((c < " " and c != "\t") or c == "\x7f" or "\ud800" <= c <= "\udfff" for c in value):
        raise ConfigError(f"header {name!r}: its value has a character that no header may have (a line end?)")
    return lower.encode("ascii"), value.strip(" \t").encode("utf-8")


def bearer(key: Secret | None) -> Header | None:
    """Return the Authorization header, or None without a key."""
    return (b"authorization", b"Bearer " + key.reveal().encode("utf-8")) if key else None


def path_under(base_url: str, route: str) -> str:
    """Return `route` under the base URL's own path and query, in origin-form (RFC 9112, section 3.2.1).

    A base URL that ends with the route is taken as it is.
    """
    parts = urlsplit(base_url)
    path, end = parts.path.rstrip("/"), "/" + route.lstrip("/")
    if not path.endswith(end):  # else the whole address of the route was given
        path += end
    return f"{path}?{parts.query}" if parts.query else path


def path_ends_with(base_url: str, segment: str) -> bool:
    """Return whether the base URL's path ends with this segment ("v1"), so that it is not added again."""
    return urlsplit(base_url).path.rstrip("/").endswith(f"/{segment}")


def is_host_of(base_url: str, *domains: str) -> bool:
    """Return whether the address is of one of these domains.

    Credentials that were found, not given, are sent nowhere else.
    """
    host = urlsplit(base_url).hostname or ""
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)


def is_this_machine(host: str) -> bool:
    """Return whether a host name or address is of the loopback interface."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def owns_address(provider: Provider, base_url: str, environ: Mapping[str, str]) -> bool:
    """Return whether a key of the provider's own variables belongs to this address, and may be sent there.

    It belongs to the provider's host and its subdomains, to the host that the environment names, and to this machine,
    where gateways run. Where nobody knows the host, the address is that of the user's own resource (Azure), and what is
    only sent encrypted goes to the endpoint that is configured, as Amazon's own clients send it.
    """
    if getattr(provider, "encrypted_only", False):
        return True
    from_environ = getattr(provider, "base_url_from", None)
    addresses = (provider.base_url, from_environ(environ) if from_environ is not None else None)
    domains = [*getattr(provider, "domains", ()), *[urlsplit(url).hostname or "" for url in addresses if url]]
    return not domains or is_this_machine(urlsplit(base_url).hostname or "") or is_host_of(base_url, *domains)


def select_api(provider: Provider, ask: Ask) -> str:
    """Return the API that is asked for, by default the provider's first.

    Raises:
        ConfigError: the provider has no API of that name.
    """
    api, apis = ask.api or provider.apis[0], provider.apis
    if api not in apis:
        known = f"there {'is' if len(apis) == 1 else 'are'} {', '.join(apis)}"
        raise ConfigError(f"provider {provider.name}: no api {api!r}; {known}")
    return api


def max_tokens_of(prompt: Prompt, ask: Ask) -> int | None:
    """Return the bound on the answer's tokens: the prompt's own, else the target's."""
    return prompt.max_tokens if prompt.max_tokens is not None else ask.max_tokens
