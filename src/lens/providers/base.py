"""The contract of a provider, and the few helpers that every codec needs.

A provider has two ends and no state: encode() before anything is sent, decode() after the body has
ended. What happens between, the core does by the provider's rules (SignalRules), which are data.
"""

from __future__ import annotations

from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

from lens.wire import Ask, Exchange, Prompt, Reading, Secret, WireRequest

Body = dict[str, Any]
# A server's figure beyond this is none: in milliseconds it is thirty years.
MOST_NUMBER = 1e12


class Provider(Protocol):
    """A codec of one protocol family.

    It may have two methods besides: base_url_from(environ), its address as the environment tells, or None;
    and default_key(environ, base_url), a key for that address where no variable of key_variables holds one.
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
        """What Ask.api may be; the first is the default."""

    def encode(self, prompt: Prompt, ask: Ask, base_url: str, key: Secret | None) -> WireRequest:
        """The request as it will be sent.

        Raises:
            ConfigError: what is asked cannot be said in this protocol.
        """

    def decode(self, request: WireRequest, exchange: Exchange) -> Reading:
        """What the answer means. Never raises for what a server sent."""


def merged(body: Body, over: Body) -> Body:
    """`over` laid on `body`: dictionaries are merged, None takes a key away, all else replaces."""
    out = dict(body)
    for key, value in over.items():
        if value is None:
            out.pop(key, None)
        elif isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = merged(out[key], value)
        else:
            out[key] = value
    return out


def path_under(base_url: str, route: str) -> str:
    """Origin-form of `route` under the base URL's own path and query."""
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/") + "/" + route.lstrip("/")
    return f"{path}?{parts.query}" if parts.query else path


def json_headers(ask: Ask, *, auth: tuple[bytes, bytes] | None) -> tuple[tuple[bytes, bytes], ...]:
    """Headers of a JSON request; the user's own come last and take the place of ours."""
    own: dict[bytes, bytes] = {b"content-type": b"application/json"}
    own[b"accept"] = b"text/event-stream, application/json" if ask.stream else b"application/json"
    if auth is not None:
        own[auth[0]] = auth[1]
    for name, value in ask.headers:
        own[name.lower().encode("ascii")] = value.encode("utf-8")
    return tuple(own.items())


def bearer(key: Secret | None) -> tuple[bytes, bytes] | None:
    """The Authorization header, where there is a key."""
    return (b"authorization", b"Bearer " + key.reveal().encode("utf-8")) if key else None


def parsed(data: bytes) -> Any:
    """JSON, or None where it is none."""
    try:
        return msgspec.json.decode(data.strip())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def is_host_of(base_url: str, *domains: str) -> bool:
    """The address is of one of these domains: credentials that were found, not given, go nowhere else."""
    host = urlsplit(base_url).hostname or ""
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)


def as_dict(value: Any) -> dict[str, Any]:
    """`value` where it is an object, else an empty one: answers hold null where an object is meant."""
    return value if isinstance(value, dict) else {}


def as_str(value: Any) -> str:
    """`value` where it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def as_name(value: Any) -> str | None:
    """`value` where it is a string that says something, else None."""
    return value if isinstance(value, str) and value else None


def as_number(value: Any, most: float = MOST_NUMBER) -> float | None:
    """`value`, or what it spells, where that is a number that a time or a sum can be; else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number < most else None  # not NaN either


def json_text(value: Any) -> str:
    """`value` as JSON; nothing where it lies too deep to be written."""
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError:
        return ""


def as_list(value: Any) -> list[Any]:
    """`value` where it is an array, else an empty one."""
    return value if isinstance(value, list) else []
