"""From a host name to its addresses, with the time it took.

The system's own resolver runs in a worker thread and is stamped inside that thread, so that the hop there and back is
not part of the lookup. An IP literal needs no lookup and has no stamps.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

import msgspec
import trio

from lens._core.clock import now_ns
from lens.errors import ResolveError
from lens.transport.endpoint import Family

_FAMILIES = {"any": socket.AF_UNSPEC, "ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
_FAMILY_NAMES = {"any": "address", "ipv4": "IPv4 address", "ipv6": "IPv6 address"}
# The name exists nowhere, or has no address; codes differ between systems.
_UNKNOWN_NAME = {getattr(socket, n) for n in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY") if hasattr(socket, n)}


class Address(msgspec.Struct, frozen=True):
    """One address to connect to, as the socket module wants it."""

    family: int
    sockaddr: tuple[str, int] | tuple[str, int, int, int]

    @property
    def text(self) -> str:
        """The IP address alone."""
        return self.sockaddr[0]


class Lookup(msgspec.Struct, frozen=True):
    """The result of a name lookup; without stamps where none was needed."""

    addresses: tuple[Address, ...]
    start_ns: int | None = None
    end_ns: int | None = None


async def resolve(host: str, port: int, family: Family = "any", pinned: Sequence[str] = ()) -> Lookup:
    """Return every address of the host in the resolver's order; `pinned` ones replace the lookup.

    Raises:
        ResolveError: the name has no address, or none of this family.
    """
    literals = tuple(pinned) or ((host,) if _is_literal(host) else ())
    if literals:
        return Lookup(_filter_family([_parse_literal(a, port) for a in literals], host, family))
    start, end, found = await trio.to_thread.run_sync(_call_getaddrinfo, host, port, family, abandon_on_cancel=True)
    try:
        return Lookup(_filter_family(found, host, family), start, end)
    except ResolveError as error:
        error.start_ns, error.end_ns = start, end
        raise


def _call_getaddrinfo(host: str, port: int, family: Family) -> tuple[int, int, list[Address] | Exception]:
    """Return start, end and the addresses or the error; in the worker thread, so an error must carry its stamps."""
    found: list[Address] | Exception
    start = now_ns()
    try:
        rows = socket.getaddrinfo(host, port, _FAMILIES[family], socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # UnicodeError: a label that IDNA forbids
        found = error
        end = now_ns()
    else:
        end = now_ns()
        known = (socket.AF_INET, socket.AF_INET6)
        found = list(dict.fromkeys(Address(r[0], r[4]) for r in rows if r[0] in known))  # type: ignore[arg-type]
    return start, end, found


def _filter_family(addresses: Sequence[Address] | Exception, host: str, family: Family) -> tuple[Address, ...]:
    if isinstance(addresses, Exception):
        raise ResolveError(f"host {host!r}: {_describe_error(addresses, family)}") from None
    wanted = _FAMILIES[family]
    kept = tuple(a for a in addresses if wanted in (socket.AF_UNSPEC, a.family))
    if not kept:
        raise ResolveError(f"host {host!r}: it has no {_FAMILY_NAMES[family]}")
    return kept


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _parse_literal(address: str, port: int) -> Address:
    if ipaddress.ip_address(address).version == 4:
        return Address(socket.AF_INET, (address, port))
    bare, _, zone = address.partition("%")
    if zone and not ipaddress.ip_address(bare).is_link_local:
        address = bare  # only a link-local address is different on each interface
    # Only the resolver understands a scope ("fe80::1%eth0"); for a literal it looks nothing up.
    try:
        rows = socket.getaddrinfo(address, port, socket.AF_INET6, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
    except OSError:
        raise ResolveError(f"host {address!r}: no interface is named {zone!r}") from None
    return Address(socket.AF_INET6, rows[0][4])  # type: ignore[arg-type]


def _describe_error(error: Exception, family: Family) -> str:
    if not isinstance(error, OSError):
        return "that is not a host name"
    if error.errno in _UNKNOWN_NAME:
        which = "" if family == "any" else f", or it has no {_FAMILY_NAMES[family]}"
        return f"name not known{which}"
    if error.errno == socket.EAI_AGAIN:
        return "the name server did not answer"
    return (error.strerror or "the lookup failed").lower()
