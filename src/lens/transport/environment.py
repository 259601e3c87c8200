"""The proxy that the environment asks for; read only where a caller asks, never by itself.

HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, lower case before upper case, as curl and
the common Python clients read them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from lens.transport.endpoint import DEFAULT_PORTS
from lens.units import parse_count


def proxy_from_environment(url: str, environ: Mapping[str, str]) -> str | None:
    """The proxy URL for requests to `url`; None when none is set, or NO_PROXY excepts the host."""
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), (parts.hostname or "").lower(), parts.port
    except ValueError:
        return None  # no URL; parse_endpoint says so
    proxy = _variable(environ, f"{scheme}_proxy") or _variable(environ, "all_proxy")
    if not proxy or excepted(host, port or DEFAULT_PORTS.get(scheme, 0), _variable(environ, "no_proxy")):
        return None
    return proxy


def excepted(host: str, port: int, no_proxy: str) -> bool:
    """NO_PROXY names this host: "*", a name or a parent domain, an address or a network; a port may follow."""
    for entry in no_proxy.replace(",", " ").lower().split():
        if entry == "*":
            return True
        name, colon, entry_port = entry.rpartition(":")
        if not colon or parse_count(entry_port) is None or (":" in name.strip("[]") and not name.endswith("]")):
            name, entry_port = entry, ""
        name = name.strip("[]")
        if entry_port and int(entry_port) != port:
            continue
        bare = name.lstrip("*").lstrip(".")
        if host == bare or (bare and host.endswith(f".{bare}")) or _in_network(host, name):
            return True
    return False


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name) or environ.get(name.upper()) or ""


def _in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
