"""Secrets: which names hold them, what they look like, and texts, headers and URLs without them.

Everything that is shown, logged or written and may hold a key passes through here: commands, headers,
addresses, what a server said. A value is masked because it was remembered, because of the name that it
stands under, or because it looks like a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote

MASK = "***"
# Shorter values would mask innocent text.
SHORTEST = 6
_NAMES = r"auth|key|token|secret|cookie|password|credential"
_SENSITIVE = re.compile(_NAMES, re.IGNORECASE)
# InfluxDB's password in a query: https://docs.influxdata.com/influxdb/v1/tools/api/#query-string-parameters-2
_PASSWORD_PARAMETERS = frozenset(("p",))
# Keys of the providers we know begin like this; the last resort, behind what is remembered.
_LOOKS_SECRET = re.compile(
    r"\b(sk[-_]|AIza|key-(?=[\w-]*\d))[\w\-*.]{5,}[\w\-*]"
    r"|\b((?:pk|rk|gsk|xai|nvapi|hf|r8|pplx|fw|csk)[-_])[\w\-*.]{7,}[\w\-*]"
    r"|(\bBearer\s+)[^\s'\",]+"
    r"|(://)[^/\s@]+(?=@)"
    rf"|([?&](?i:p|[\w.-]*(?:{_NAMES})[\w.-]*)=)[^&\s'\"#]+",
    re.ASCII,
)
_HOST_AND_PORT = re.compile(r"(\[[^]]*]|[^:]*)(:\d*)?")
_known: set[str] = set()


def is_sensitive(name: str) -> bool:
    """Return whether a header, variable or parameter of this name may hold a secret."""
    return _SENSITIVE.search(name) is not None


def remember_secret(value: str | None) -> None:
    """Mask this value from now on wherever it appears in what `mask_secrets` returns."""
    if value and len(value) >= SHORTEST:
        _known.add(value)


def remember_headers(headers: Iterable[tuple[str, str]]) -> None:
    """Remember the values of headers or variables that may hold secrets by their names."""
    for name, value in headers:
        if is_sensitive(name):
            remember_secret(value)


def remember_url(url: str) -> None:
    """Remember the password, and the parameters that may be secrets, of a URL."""
    _, _, query = url.partition("?")
    for name, value in parse_qsl(query):
        if name in _PASSWORD_PARAMETERS or is_sensitive(name):
            remember_secret(value)
    password = _user_info(url).partition(":")[2]
    remember_secret(password)
    remember_secret(unquote(password))


def mask_secrets(text: str) -> str:
    """Return the text without secrets; of what only looks like a key, its prefix stays."""
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _LOOKS_SECRET.sub(lambda found: f"{next(g for g in found.groups() if g is not None)}{MASK}", text)


def one_line(text: str, most: int | None = None) -> str:
    """Return the text masked, without control characters, on one line that is shortened to `most` characters."""
    line = mask_secrets(" ".join("".join(c if c.isprintable() else " " for c in text).split()))
    return line if most is None or len(line) <= most else f"{line[: most - 3]}..."


def mask_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the headers with the values of those masked that may hold secrets by their names."""
    return [(name, MASK if is_sensitive(name) else value) for name, value in headers]


def bare_url(url: str) -> str:
    """Return the URL without credentials and query, as it may be shown."""
    bare, _, _ = url.partition("?")
    user_info = _user_info(bare)
    return bare.replace(f"{user_info}@", "", 1) if user_info else bare


def _user_info(url: str) -> str:
    """What stands before the @ of a URL's authority; a password may hold a slash that is not escaped."""
    rest = url.partition("://")[2] or url
    authority = rest.partition("/")[0]
    whole = "@" in authority or _HOST_AND_PORT.fullmatch(authority)
    return (authority if whole else rest).rpartition("@")[0]
