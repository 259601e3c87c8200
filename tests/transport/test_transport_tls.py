"""The handshake: what both sides agreed on, what is refused and in which words, and that no byte behind it is lost."""

import os
import socket
import ssl
import struct
import threading
from contextlib import ExitStack, contextmanager

import pytest
import trio
import trustme
from waiting import HANG_S

from lens._core.clock import now_ns
from lens.errors import ConfigError, TlsError
from lens.transport import sockets, tls
from lens.transport.endpoint import parse_endpoint
from lens.transport.tls import RECORD_BYTES, handshake, load_tls_context

AUTHORITY, STRANGER = trustme.CA(), trustme.CA()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths of an authority's certificate, another's, and what is none."""
    folder = tmp_path_factory.mktemp("tls")
    AUTHORITY.cert_pem.write_to_path(folder / "ca.pem")
    STRANGER.cert_pem.write_to_path(folder / "other.pem")
    client = AUTHORITY.issue_cert("someone@example.org")
    client.private_key_and_cert_chain_pem.write_to_path(folder / "client.pem")
    client.private_key_pem.write_to_path(folder / "key.pem")
    client.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    (folder / "none.pem").write_text("no certificate\n")
    # Only the head counts: it is refused before it is read further.
    lines = (folder / "key.pem").read_text().splitlines()
    head = ["Proc-Type: 4,ENCRYPTED", "DEK-Info: AES-256-CBC,00112233445566778899AABBCCDDEEFF", ""]
    (folder / "locked.pem").write_text("\n".join([lines[0], *head, *lines[1:]]) + "\n")
    return folder


def server_context(name="127.0.0.1", **options):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(name).configure_cert(context)
    for option, value in options.items():
        setattr(context, option, value)
    return context


@contextmanager
def serving(talk):
    """A port where talk(socket) is had with each connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:

        def run():
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                with sock:
                    try:
                        talk(sock)
                    except (ssl.SSLError, OSError):
                        continue

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        stack.callback(thread.join, 5)
        stack.callback(listener.shutdown, socket.SHUT_RDWR)
        yield listener.getsockname()[1]


def over_tls(context, talk=lambda sock: sock.recv(1)):
    def shake(sock):
        with context.wrap_socket(sock, server_side=True) as secured:
            talk(secured)

    return shake


async def shaken(port, session=None, **route):
    """(what was agreed on, the socket) of a handshake."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setblocking(False)
    try:
        with trio.fail_after(HANG_S):
            return await handshake(sock, parse_endpoint(f"https://127.0.0.1:{port}", **route), session), sock
    except BaseException:
        sockets.close(sock)
        raise


async def received(secured, sock):
    """Plain bytes that have come, at least one; b"" when the peer has ended."""
    while True:
        try:
            return secured.ssl_object.read(sockets.READ_BYTES)
        except ssl.SSLWantReadError:
            data = await sockets.receive(sock)
        except ssl.SSLEOFError:  # the server closes without close_notify
            return b""
        secured.incoming.write(data) if data else secured.incoming.write_eof()


async def refused(port, **route):
    with pytest.raises(TlsError) as caught:
        await shaken(port, **route)
    said = str(caught.value)
    assert said.startswith(f"TLS handshake with 127.0.0.1:{port}: ")
    return said.partition(": ")[2]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_the_negotiated_version_cipher_and_alpn_are_reported(files, version):
    context = server_context(maximum_version=version)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with serving(over_tls(context)) as port:
        secured, sock = await shaken(port, cafile=str(files / "ca.pem"))
        sockets.close(sock)
    assert secured.version == {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]
    assert secured.alpn == "http/1.1"  # nothing else is spoken here
    assert secured.cipher
    assert not secured.resumed
    assert secured.leftover_ns <= now_ns()


async def test_a_session_that_the_peer_still_knows_is_resumed(files):
    context = server_context(maximum_version=ssl.TLSVersion.TLSv1_2)
    with serving(over_tls(context)) as port:
        first, sock = await shaken(port, cafile=str(files / "ca.pem"))
        sockets.close(sock)
        again, sock = await shaken(port, first.ssl_object.session, cafile=str(files / "ca.pem"))
        sockets.close(sock)
    assert (first.resumed, again.resumed) == (False, True)


async def test_bytes_of_any_length_arrive_as_they_were_and_come_back(files):
    sent = bytes(range(256)) * (3 * RECORD_BYTES // 256) + b"end"

    def echo(sock):
        got = b""
        while len(got) < len(sent):
            got += sock.recv(65536)
        sock.sendall(got)

    with serving(over_tls(server_context(), echo)) as port:
        secured, sock = await shaken(port, cafile=str(files / "ca.pem"))
        await sockets.send_all(sock, secured.encrypt(sent))
        if secured.leftover:
            secured.incoming.write(secured.leftover)
        back = b""
        with trio.fail_after(HANG_S):
            while part := await received(secured, sock):
                back += part
        sockets.close(sock)
    assert back == sent


async def test_data_sent_right_behind_the_handshake_is_not_lost(files):
    with serving(over_tls(server_context(), lambda sock: (sock.sendall(b"early"), sock.recv(1)))) as port:
        secured, sock = await shaken(port, cafile=str(files / "ca.pem"))
        secured.incoming.write(secured.leftover)
        with trio.fail_after(HANG_S):
            assert await received(secured, sock) == b"early"
        sockets.close(sock)


async def test_an_untrusted_certificate_is_refused_and_the_fix_named(files):
    with serving(over_tls(server_context())) as port:
        said = await refused(port, cafile=str(files / "other.pem"))
        assert "the certificate for '127.0.0.1' is not accepted: unable to get local issuer certificate" in said
        assert "--cacert FILE trusts its issuer" in said
        secured, sock = await shaken(port, insecure=True)
        sockets.close(sock)
        assert secured.version


async def test_a_certificate_of_another_name_is_refused_unless_server_name_is_set(files):
    with serving(over_tls(server_context("api.example"))) as port:
        said = await refused(port, cafile=str(files / "ca.pem"))
        assert "use the name it was made for, or --insecure" in said
        secured, sock = await shaken(port, cafile=str(files / "ca.pem"), server_name="api.example")
        sockets.close(sock)
        assert secured.version


async def test_a_required_client_certificate_is_named_in_the_error_and_accepted(files):
    context = server_context(verify_mode=ssl.CERT_REQUIRED, maximum_version=ssl.TLSVersion.TLSv1_2)
    AUTHORITY.configure_trust(context)
    with serving(over_tls(context)) as port:
        assert "does it want a client certificate (--cert FILE)?" in await refused(port, cafile=str(files / "ca.pem"))
        both = {"cert": str(files / "cert.pem"), "client_key": str(files / "key.pem")}
        for own in ({"cert": str(files / "client.pem")}, both):
            secured, sock = await shaken(port, cafile=str(files / "ca.pem"), **own)
            sockets.close(sock)
            assert secured.version


def reset(sock):
    sock.recv(1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    ("talk", "says"),
    [
        (lambda sock: sock.recv(100_000), "the peer closed the connection"),
        (reset, "connection reset by peer"),
        (lambda sock: sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "the peer does not speak TLS"),
        (lambda sock: sock.sendall(b"\x15\x03\x03\x00\x02\x02\x50"), "internal error"),
        (lambda sock: sock.sendall(b"\x15\x03\x03\x00\x02\x02\x28"), "does it want a client certificate"),
    ],
)
async def test_a_failed_handshake_is_reported_in_words(files, talk, says):
    with serving(talk) as port:
        assert says in await refused(port, cafile=str(files / "ca.pem"))


async def test_no_common_version_is_a_tls_error(files):
    with serving(over_tls(server_context(maximum_version=ssl.TLSVersion.TLSv1_2))) as port:
        endpoint = parse_endpoint(f"https://127.0.0.1:{port}", cafile=str(files / "ca.pem"))
        load_tls_context(endpoint).minimum_version = ssl.TLSVersion.TLSv1_3
        try:
            assert "protocol version" in await refused(port, cafile=str(files / "ca.pem"))
        finally:
            load_tls_context(endpoint).minimum_version = ssl.TLSVersion.TLSv1_2


NO_KEY = "; where its key is in another file, give --client-key FILE"


# What OpenSSL itself says, in brackets, differs from version to version.
@pytest.mark.parametrize(
    ("options", "says", "way"),
    [
        ({"cafile": "missing.pem"}, "no such file or directory", ""),
        ({"cafile": "none.pem"}, "it holds no usable PEM certificate (", ")"),
        ({"cert": "missing.pem"}, "no such file or directory", ""),
        ({"cert": "none.pem"}, "it holds no usable PEM certificate (", NO_KEY),
        ({"cert": "cert.pem"}, "it holds no usable PEM certificate (", NO_KEY),
        ({"cert": "cert.pem", "client_key": "none.pem"}, "it holds no usable PEM certificate (", ")"),
        ({"cert": "cert.pem", "client_key": "locked.pem"}, "the key is encrypted", "give one without a passphrase"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(files, options, says, way):
    paths = {name: str(files / path) for name, path in options.items()}
    with pytest.raises(ConfigError) as caught:
        load_tls_context(parse_endpoint("https://127.0.0.1", **paths))
    flags = {"cafile": "--cacert", "cert": "--cert", "client_key": "--client-key"}
    named = " ".join(f"{flags[name]} {path}" for name, path in paths.items())
    assert str(caught.value).startswith(f"{named}: {says}")
    assert str(caught.value).endswith(way)


def test_a_context_is_loaded_once_for_the_same_files(files):
    one, other = (parse_endpoint(f"https://127.0.0.1:{port}", cafile=str(files / "ca.pem")) for port in (1, 2))
    assert load_tls_context(one) is load_tls_context(other)
    assert load_tls_context(one) is not load_tls_context(parse_endpoint("https://127.0.0.1", insecure=True))


async def test_a_peer_that_never_pauses_leaves_deadlines_their_turn():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.send(b"more")
        with trio.move_on_after(0) as scope:
            await sockets.receive(ours)
    assert scope.cancelled_caught


@contextmanager
def through_a_pipe(path, folder):
    """A pipe that brings the content of a file once, as `<(cat FILE)` does."""
    pipe = folder / f"{path.name}.pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(path.read_bytes()), daemon=True)
    writer.start()
    yield str(pipe)
    writer.join(HANG_S)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="a pipe is read into a file in memory")
def test_certificates_may_come_through_a_pipe_and_none_without_end(files, tmp_path):
    with through_a_pipe(files / "ca.pem", tmp_path) as pipe:
        context = load_tls_context(parse_endpoint("https://h", cafile=pipe))
    assert len(context.get_ca_certs()) == 1
    with pytest.raises(ConfigError, match="--cacert /dev/zero: it holds more than 64 MB"):
        load_tls_context(parse_endpoint("https://h", cafile="/dev/zero"))


def test_a_bundle_of_the_environment_that_never_ends_is_refused(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/zero")
    tls._load_context.cache_clear()
    with pytest.raises(ConfigError, match="SSL_CERT_FILE /dev/zero: it holds more than 64 MB"):
        load_tls_context(parse_endpoint("https://h"))
