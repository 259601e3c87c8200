"""From a host to its addresses: literals without a look-up, names with one, and words for what fails."""

import socket

import pytest

from lens.errors import ResolveError
from lens.transport.resolve import Address, resolve
from lens.transport.resolve import _describe_error as describe_error


@pytest.mark.parametrize(
    ("host", "family", "pinned", "found"),
    [
        ("127.0.0.1", "any", (), ["127.0.0.1"]),
        ("::1", "any", (), ["::1"]),
        ("::1%lo", "ipv6", (), ["::1"]),
        ("api.example", "any", ("10.0.0.1", "::1"), ["10.0.0.1", "::1"]),
        ("api.example", "ipv4", ("10.0.0.1", "::1"), ["10.0.0.1"]),
    ],
)
async def test_a_literal_needs_no_lookup(host, family, pinned, found):
    lookup = await resolve(host, 80, family, pinned)
    assert [address.text for address in lookup.addresses] == found
    assert all(address.sockaddr[1] == 80 for address in lookup.addresses)
    assert lookup.start_ns is lookup.end_ns is None


async def test_a_name_is_looked_up_once_and_the_lookup_is_timed():
    lookup = await resolve("localhost", 443, "ipv4")
    assert lookup.addresses == (Address(socket.AF_INET, ("127.0.0.1", 443)),)
    assert lookup.end_ns >= lookup.start_ns


@pytest.mark.parametrize(
    ("host", "family", "pinned", "says"),
    [
        ("127.0.0.1", "ipv6", (), "'127.0.0.1': it has no IPv6 address"),
        ("x", "ipv4", ("::1",), "'x': it has no IPv4 address"),
        ("fe80::1%no-such-link", "any", (), "no interface is named 'no-such-link'"),
        ("a" * 70 + ".example", "any", (), "that is not a host name"),
    ],
)
async def test_an_address_that_is_none_is_reported(host, family, pinned, says):
    with pytest.raises(ResolveError, match=says):
        await resolve(host, 80, family, pinned)


@pytest.mark.parametrize(
    ("error", "family", "says"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "any", "name not known"),
        (socket.gaierror(socket.EAI_NONAME, "x"), "ipv6", "name not known, or it has no IPv6 address"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "any", "the name server did not answer"),
        (socket.gaierror(socket.EAI_FAIL, "Non-recoverable failure"), "any", "non-recoverable failure"),
        (UnicodeError("label too long"), "any", "that is not a host name"),
    ],
)
def test_a_lookup_that_fails_is_told_in_words(error, family, says):
    assert describe_error(error, family) == says
