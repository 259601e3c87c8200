"""The TLS handshake over a connected socket, and the context it needs, loaded once.

The handshake runs through MemoryBIOs because the core reads the ciphertext later on: what came after the handshake's
last record is handed on, not lost. Only http/1.1 is offered (ALPN).
"""

from __future__ import annotations

import errno
import functools
import os
import socket
import ssl
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from lens._core.clock import now_ns
from lens.errors import ConfigError, TlsError
from lens.parsing import MOST_BYTES, read_small
from lens.patterns import lazy_pattern
from lens.transport import sockets
from lens.transport.endpoint import Endpoint

# One TLS record holds this much at most (RFC 8446, 5.1); write() takes one at a time.
RECORD_BYTES = 16384
# OpenSSL names an alert after the version that had it first.
_VERSION = lazy_pattern(r"^(?:sslv3|tlsv1|tlsv13) alert")


class TlsConnection(msgspec.Struct, frozen=True):
    """The TLS side of a connection after its handshake, and what the two peers agreed on."""

    ssl_object: ssl.SSLObject
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO
    version: str | None
    cipher: str | None
    alpn: str | None
    resumed: bool
    leftover: bytes  # ciphertext that came behind the handshake, and when
    leftover_ns: int

    def encrypt(self, plain: bytes | memoryview) -> bytes:
        """Return its ciphertext, and whatever else must be sent (key updates)."""
        view = memoryview(plain)
        while view:
            view = view[self.ssl_object.write(view[:RECORD_BYTES]) :]
        return self.outgoing.read()


def load_tls_context(endpoint: Endpoint) -> ssl.SSLContext:
    """Return the context of these certificate options. Loading takes 27 ms, so it happens once a process.

    Raises:
        ConfigError: a file cannot be used.
    """
    return _load_context(endpoint.cafile, endpoint.cert, endpoint.client_key, endpoint.insecure)


@functools.cache
def _load_context(cafile: str | None, cert: str | None, client_key: str | None, insecure: bool) -> ssl.SSLContext:
    option = "--cacert" if cafile else "SSL_CERT_FILE"
    bundle = cafile or os.environ.get("SSL_CERT_FILE")
    try:
        with _finite(bundle) as path:
            context = ssl.create_default_context(cafile=path if cafile else None)
    except OSError as error:
        raise ConfigError(f"{option} {bundle}: {_describe_file_error(error)}") from None
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert:
        try:
            with _finite(cert) as chain, _finite(client_key) as key:
                # Without a password function OpenSSL would ask on the terminal.
                context.load_cert_chain(str(chain), key, password=_refuse_password)
        except (OSError, ValueError) as error:
            named = f"--cert {cert}" + (f" --client-key {client_key}" if client_key else "")
            apart = isinstance(error, ssl.SSLError) and not client_key
            hint = "; where its key is in another file, give --client-key FILE" if apart else ""
            raise ConfigError(f"{named}: {_describe_file_error(error)}{hint}") from None
    context.set_alpn_protocols(["http/1.1"])
    return context


@contextmanager
def _finite(path: str | None) -> Iterator[str | None]:
    """Yield the name under which OpenSSL reads a file to its end, which it looks for without a limit.

    What a pipe brings gets a file in memory, so that it is read no further than a file of settings may be long.

    Raises:
        OSError: it cannot be read, or holds more than that.
    """
    state = os.stat(path) if path and os.path.exists(path) else None
    if path is None or state is None or (stat.S_ISREG(state.st_mode) and state.st_size <= MOST_BYTES):
        yield path  # who reads it says that there is none
        return
    data = read_small(Path(path))
    if not hasattr(os, "memfd_create"):
        raise OSError(errno.EINVAL, "it is no file; write what it brings to one")
    with os.fdopen(os.memfd_create("lll-pem"), "wb") as file:
        file.write(data)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"


def _refuse_password() -> str:
    raise ValueError("the key is encrypted; give one without a passphrase")


async def handshake(
    sock: socket.socket, endpoint: Endpoint, session: ssl.SSLSession | None = None, early: bytes = b""
) -> TlsConnection:
    """Do the TLS handshake, resuming `session` if the peer still knows it.

    `early` is ciphertext that has been received already.

    Raises:
        TlsError: the peer's certificate is not accepted, or the peers have no version or cipher in common.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    incoming.write(early)
    name = endpoint.server_name or endpoint.host
    tls = load_tls_context(endpoint).wrap_bio(incoming, outgoing, server_hostname=name, session=session)
    last_read = now_ns()
    try:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                if outgoing.pending:
                    await sockets.send_all(sock, outgoing.read())
            data = await sockets.receive(sock)
            last_read = now_ns()
            if data:
                incoming.write(data)
            else:
                incoming.write_eof()
        if outgoing.pending:
            await sockets.send_all(sock, outgoing.read())
    except ssl.SSLError as error:
        await flush_alert(sock, outgoing)
        raise TlsError(describe_handshake_failure(error, endpoint)) from None
    except OSError as error:
        words = (error.strerror or "the connection broke").lower()
        raise TlsError(f"TLS handshake with {endpoint.label}: {words}") from None
    cipher = tls.cipher()
    return TlsConnection(
        ssl_object=tls,
        incoming=incoming,
        outgoing=outgoing,
        version=tls.version(),
        cipher=cipher[0] if cipher else None,
        alpn=tls.selected_alpn_protocol(),
        resumed=bool(tls.session_reused),
        leftover=incoming.read(),
        leftover_ns=last_read,
    )


async def flush_alert(sock: socket.socket, outgoing: ssl.MemoryBIO) -> None:
    """Send the pending alert, which tells the peer why the handshake failed."""
    try:
        if outgoing.pending:
            await sockets.send_all(sock, outgoing.read())
    except OSError:
        return


def describe_handshake_failure(error: ssl.SSLError, endpoint: Endpoint) -> str:
    """Return why a handshake failed, and what would work."""
    name = endpoint.server_name or endpoint.host
    doing = f"TLS handshake with {endpoint.label}"
    if isinstance(error, ssl.SSLCertVerificationError):
        text = (error.verify_message or "it is not trusted").rstrip(".")
        if "expired" in text or "not yet valid" in text:
            fix = "--insecure measures without the check"
        elif "mismatch" in text.lower():
            fix = "use the name it was made for, or --insecure to measure without the check"
        else:
            fix = "--cacert FILE trusts its issuer, --insecure measures without the check"
        return f"{doing}: the certificate for {name!r} is not accepted: {text}; {fix}"
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return f"{doing}: the peer closed the connection"
    if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return f"{doing}: the peer does not speak TLS ({describe_reason(error.reason)}); is it http://?"
    return f"{doing}: {describe_reason(error.reason or error.strerror or 'failed')}"


def describe_reason(reason: str) -> str:
    """Return OpenSSL's reason as part of a sentence, with the fix where one is known."""
    text = _VERSION.sub("alert", reason.replace("_", " ").lower())
    wanted = "handshake failure" in text or "certificate required" in text
    return f"{text}; does it want a client certificate (--cert FILE)?" if wanted else text


def _describe_file_error(error: Exception) -> str:
    """Return the reason without the path, which the message names already, and without OpenSSL's source lines."""
    if isinstance(error, ssl.SSLError):
        return f"it holds no usable PEM certificate ({(error.reason or 'unreadable').replace('_', ' ').lower()})"
    if isinstance(error, OSError):
        why = error.strerror or "it cannot be read"
        return why[:1].lower() + why[1:]
    return str(error)
