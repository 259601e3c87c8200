"""Where requests go and by which route: a URL, its route options and its proxy, checked before anything is sent.

Data only: no socket, no lookup. An Endpoint is hashable, because connections are pooled by it, and holds no secret in
the clear, because it is printed.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Literal
from urllib.parse import SplitResult, quote, unquote, urlsplit

import msgspec

from lens.errors import ConfigError
from lens.secrets import bare_url, remember_url
from lens.units import parse_count
from lens.wire import DEFAULT_PORTS, Secret

Family = Literal["any", "ipv4", "ipv6"]
# SOCKS and proxies behind TLS are other protocols than the CONNECT that is spoken here.
PROXY_PORT = 8080


class Proxy(msgspec.Struct, frozen=True):
    """An HTTP proxy: it tunnels by CONNECT, or is asked for http:// addresses as a whole."""

    host: str
    port: int
    credentials: Secret | None = None  # "user:password"

    @property
    def authorization(self) -> bytes | None:
        """Value of the Proxy-Authorization header (RFC 7617); None without credentials."""
        if self.credentials is None:
            return None
        return b"Basic " + base64.b64encode(self.credentials.reveal().encode())

    @property
    def label(self) -> str:
        """The proxy as it may be shown."""
        return f"http://{authority(self.host, self.port)}"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One host as requests reach it. Connections are shared by equal endpoints."""

    scheme: Literal["http", "https"]
    host: str  # lower case; IPv6 without brackets
    port: int
    base_path: str = ""  # of the URL, without a slash at the end; requests carry their whole path
    unix_socket: str | None = None  # connect here, whatever the host
    connect_to: tuple[str, ...] = ()  # HOST1:PORT1:HOST2:PORT2, as in curl
    resolve: tuple[str, ...] = ()  # HOST:PORT:ADDRESS[,ADDRESS], as in curl
    family: Family = "any"
    proxy: Proxy | None = None
    cafile: str | None = None
    cert: str | None = None  # of the client; may hold its key too
    client_key: str | None = None
    insecure: bool = False  # certificates are not checked
    server_name: str | None = None  # name to ask and check the certificate for; default: host

    @cached_property
    def authority(self) -> str:
        """Value of the Host header: the port only where it is not the scheme's own."""
        return authority(self.host, self.port, DEFAULT_PORTS[self.scheme])

    @cached_property
    def label(self) -> str:
        """host:port, for messages."""
        return self.unix_socket or authority(self.host, self.port)

    @property
    def relay(self) -> Proxy | None:
        """The proxy that gets whole addresses instead of a CONNECT (RFC 9112, section 3.2.2), as for plain http.

        Many proxies allow CONNECT to port 443 only.
        """
        if self.proxy is None:
            return None
        is_plain = self.scheme == "http" and self.dial_target() == (self.host, self.port)
        return self.proxy if is_plain else None

    def dial_target(self) -> tuple[str, int]:
        """Return host and port to connect to: the URL's own, or those of the first matching connect_to."""
        for rule in self.connect_to:
            host, port, other_host, other_port = split_connect_to(rule)
            if host in ("", self.host) and port in ("", str(self.port)):
                return other_host or self.host, int(other_port or self.port)
        return self.host, self.port

    def pinned_addresses(self, host: str, port: int) -> tuple[str, ...]:
        """Return the addresses that --resolve gives this name; () if it gives none."""
        for rule in self.resolve:
            name, rule_port, addresses = split_resolve(rule)
            if name in ("*", host) and rule_port == port:
                return addresses
        return ()


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    """Limits in ns; None: none."""

    total_ns: int | None = None  # from the start to the end of the body
    connect_ns: int | None = None  # lookup, connect, proxy and TLS together
    ttft_ns: int | None = None  # from the last byte sent to the first event with content
    idle_ns: int | None = None  # between events with content

    def of_setup(self) -> tuple[str, int | None]:
        """Return the option that limits the setup of a connection for a request that begins now, and its limit."""
        total, connect = self.total_ns, self.connect_ns
        if total is not None and (connect is None or total < connect):
            return "--timeout", total
        return "--connect-timeout", connect


NO_TIMEOUTS = Timeouts()


class AnswerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one answer may need at most; 0: no limit. Far above what a model sends, far below what a machine has."""

    events: int = 1_000_000
    kept: int = 64 * 1024 * 1024  # bytes of the events that are kept whole
    inflated: int = 256 * 1024 * 1024  # bytes of a body that was compressed
    ratio: int = 200  # of those to the compressed ones, once there are 16 MiB
    head: int = 65536  # bytes of one response head


ANSWER_LIMITS = AnswerLimits()


def authority(host: str, port: int, default_port: int | None = None) -> str:
    """Return host:port as a Host header has it: no zone of an IPv6 address, and no port if it is the default."""
    name = f"[{host.partition('%')[0]}]" if ":" in host else host
    return name if port == default_port else f"{name}:{port}"


def parse_endpoint(
    url: str,
    *,
    unix_socket: str | None = None,
    connect_to: Sequence[str] = (),
    resolve: Sequence[str] = (),
    family: Family = "any",
    proxy: str | None = None,
    cafile: str | None = None,
    cert: str | None = None,
    client_key: str | None = None,
    insecure: bool = False,
    server_name: str | None = None,
) -> Endpoint:
    """Return the Endpoint of a URL and of route options as a user writes them.

    Path and query belong to the provider; only the path is kept, as base_path.

    Raises:
        ConfigError: a part is not valid; the message names it and what would work.
    """
    scheme, parts = _split_url(url, "base URL", ("http", "https"))
    _check_path(parts, url)
    for rule in connect_to:
        split_connect_to(rule)
    for rule in resolve:
        split_resolve(rule)
    if unix_socket is not None and proxy:
        raise ConfigError("--unix-socket and --proxy exclude each other: a socket file is reached directly")
    if unix_socket is not None and (connect_to or resolve or family != "any"):
        raise ConfigError("--unix-socket and --connect-to, --resolve, --ipv4, --ipv6 exclude each other: "
                          "a socket file has no address")  # fmt: skip
    if client_key and not cert:
        raise ConfigError("--client-key needs the certificate it belongs to: --cert FILE")
    if family not in ("any", "ipv4", "ipv6"):
        raise ConfigError(f"address family {family!r}: there are any, ipv4, ipv6")
    return Endpoint(
        scheme="https" if scheme == "https" else "http",
        host=_encode_host(parts.hostname or "", url),
        port=_parse_port(parts, url) or DEFAULT_PORTS[scheme],
        base_path=parts.path.rstrip("/"),
        unix_socket=unix_socket,
        connect_to=tuple(connect_to),
        resolve=tuple(resolve),
        family=family,
        proxy=parse_proxy(proxy) if proxy else None,
        cafile=cafile,
        cert=cert,
        client_key=client_key,
        insecure=insecure,
        server_name=server_name,
    )


def parse_proxy(url: str) -> Proxy:
    """Return the Proxy of http://[user:password@]host[:port]; the scheme may be left out, as in curl.

    Raises:
        ConfigError: the URL is not valid, or its scheme is not http.
    """
    scheme = url.strip().partition("://")[0].lower() if "://" in url else "http"
    if scheme.startswith("socks"):
        raise ConfigError(f"proxy {bare_url(url)!r}: SOCKS proxies are not supported; give --proxy http://HOST:PORT, "
                          "or --proxy '' to connect directly")  # fmt: skip
    _, parts = _split_url(url if "://" in url else f"http://{url}", "proxy", ("http",))
    credentials = None
    if parts.username is not None:
        remember_url(url)
        credentials = Secret(f"{unquote(parts.username)}:{unquote(parts.password or '')}")
    shown = f"{parts.scheme}://{parts.hostname}"
    return Proxy(_encode_host(parts.hostname or "", shown), _parse_port(parts, shown) or PROXY_PORT, credentials)


def proxy_from_environment(url: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the variable and its proxy URL for requests to `url`; None if none is set or NO_PROXY excludes the host.

    HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, lower case before upper case, as curl and the common Python
    clients read them. The environment is read only where a caller asks for it.
    """
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), (parts.hostname or "").lower(), parts.port
    except ValueError:
        return None  # no URL; parse_endpoint says so
    names = [name for base in (f"{scheme}_proxy", "all_proxy") for name in (base, base.upper())]
    name = next((name for name in names if environ.get(name)), None)
    no_proxy = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if name is None or matches_no_proxy(host, port or DEFAULT_PORTS.get(scheme, 0), no_proxy):
        return None
    return name, environ[name]


def usable_proxy(url: str, environ: Mapping[str, str]) -> str | None:
    """Return the proxy that the environment names for a URL; None where it names none.

    Raises:
        ConfigError: it cannot be used; the message has the variable.
    """
    found = proxy_from_environment(url, environ)
    if found is None:
        return None
    variable, proxy = found
    try:
        parse_proxy(proxy)
    except ConfigError as error:
        raise ConfigError(f"{variable} of the environment: {error}") from None
    return proxy


def matches_no_proxy(host: str, port: int, no_proxy: str) -> bool:
    """Return whether NO_PROXY names this host.

    Its entries are "*", a name or a parent domain, an address or a network; a port may follow.
    """
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


def split_connect_to(rule: str) -> tuple[str, str, str, str]:
    """Return (host, port, other host, other port); an empty one stands for any, or for the same.

    Raises:
        ConfigError: the rule is not HOST1:PORT1:HOST2:PORT2.
    """
    parts = _split_colons(rule)
    if len(parts) != 4 or not all(_is_port(p) for p in (parts[1], parts[3]) if p):
        raise ConfigError(f"--connect-to {rule!r}: write HOST1:PORT1:HOST2:PORT2; IPv6 in brackets, parts may be empty")
    return parts[0].lower(), parts[1], parts[2].lower(), parts[3]


def split_resolve(rule: str) -> tuple[str, int, tuple[str, ...]]:
    """Return (host, port, addresses) of HOST:PORT:ADDRESS[,ADDRESS].

    Raises:
        ConfigError: the rule has another form, or an address is not an IP address.
    """
    head = _split_colons(rule, most=3)
    if len(head) != 3 or not head[0] or not _is_port(head[1]):
        raise ConfigError(f"--resolve {rule!r}: write HOST:PORT:ADDRESS[,ADDRESS]")
    addresses = tuple(a.strip().strip("[]") for a in head[2].split(","))
    for address in addresses:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise ConfigError(f"--resolve {rule!r}: {address!r} is not an IP address") from None
    return head[0].lower(), int(head[1]), addresses


def _split_url(url: str, what: str, schemes: tuple[str, ...]) -> tuple[str, SplitResult]:
    """Return scheme and parts of a URL; no message shows what stands before an @."""
    try:
        parts = urlsplit(url.strip())
        scheme, host, has_user = parts.scheme.lower(), parts.hostname, parts.username is not None
    except ValueError:
        raise ConfigError(f"{what}: that is not a URL; write {schemes[-1]}://host[:port]") from None
    if scheme not in schemes:
        raise ConfigError(f"{what} {bare_url(url)!r}: write {' or '.join(s + '://' for s in schemes)}host[:port]")
    if not host:
        raise ConfigError(f"{what} {bare_url(url)!r} names no host")
    if has_user and what != "proxy":
        raise ConfigError(f"{what} {bare_url(url)!r}: credentials do not belong there; use --api-key or --header")
    return scheme, parts


def _check_path(parts: SplitResult, url: str) -> None:
    """
    Raises:
        ConfigError: path or query has a character that no URL may have.
    """
    for part in (parts.path, parts.query):
        if not part.isascii() or not part.isprintable() or " " in part:
            written = quote(part, safe="/%:@!$&'()*+,;=~-._?", errors="replace")
            raise ConfigError(f"base URL {bare_url(url)!r}: {part!r} has a character that no URL may have; "
                              f"write it as {written!r}")  # fmt: skip


def _parse_port(parts: SplitResult, shown: str) -> int | None:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ConfigError(f"{bare_url(shown)!r}: the port is not between 1 and 65535")
    return port


def _encode_host(host: str, shown: str) -> str:
    """Return the host as it goes on the wire; other alphabets become their IDNA form."""
    if ":" in host and "%" in host:
        # RFC 6874: the zone stands behind %25; a bare % is what people write.
        address, _, zone = host.partition("%")
        host = f"{address}%{unquote(zone.removeprefix('25') or zone)}"
    if host.isascii():
        if any(c.isspace() or not c.isprintable() for c in host):
            raise ConfigError(f"{bare_url(shown)!r}: {host!r} is not a host name")
        return host if "%" in host else host.lower()
    try:
        return host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise ConfigError(f"{bare_url(shown)!r}: {host!r} is not a host name") from None


def _is_port(text: str) -> bool:
    return 0 < (parse_count(text) or 0) < 65536


def _split_colons(rule: str, most: int = 0) -> list[str]:
    """Split at colons outside brackets, and remove the brackets; into at most `most` parts if given."""
    parts: list[str] = []
    current, depth = "", 0
    for c in rule:
        if c == ":" and depth == 0 and (not most or len(parts) < most - 1):
            parts.append(current)
            current = ""
            continue
        depth += (c == "[") - (c == "]")
        current += c
    return [p[1:-1] if p.startswith("[") and p.endswith("]") else p for p in [*parts, current]]


def _in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
