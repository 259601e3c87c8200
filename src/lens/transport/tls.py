"""The TLS handshake over a connected socket, and the context it needs, loaded once.

The handshake runs through MemoryBIOs because the core reads the ciphertext later on: what came
after the handshake's last record is handed out, not lost. Only http/1.1 is offered (ALPN).
"""

from __future__ import annotations

import functools
import re
import socket
import ssl

import msgspec

from lens._core.clock import now_ns
from lens.errors import ConfigError, TlsError
from lens.transport import raw
from lens.transport.endpoint import Endpoint

# One TLS record holds this much at most (RFC 8446, 5.1); write() takes one at a time.
RECORD_BYTES = 16384
# OpenSSL names an alert after the version that had it first.
_VERSION = re.compile(r"^(?:sslv3|tlsv1|tlsv13) alert")


class Secured(msgspec.Struct, frozen=True):
    """A connection after its handshake, and what the two sides agreed on."""

    tls: ssl.SSLObject
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO
    version: str | None
    cipher: str | None
    alpn: str | None
    resumed: bool
    leftover: bytes  # ciphertext that came behind the handshake, and when
    leftover_ns: int

    def encrypt(self, plain: bytes | memoryview) -> bytes:
        """Ciphertext of it, with whatever else the connection has to say (key updates)."""
        view = memoryview(plain)
        while view:
            view = view[self.tls.write(view[:RECORD_BYTES]) :]
        return self.outgoing.read()

    async def receive(self, sock: socket.socket) -> bytes:
        """Plain bytes without the core; b"" when the peer has ended, with or without a goodbye.

        Raises:
            OSError: the connection broke, or its records are not whole (ssl.SSLError).
        """
        while True:
            try:
                return self.tls.read(raw.READ_BYTES)
            except ssl.SSLWantReadError:
                data = await raw.receive(sock)
            except ssl.SSLEOFError:
                return b""
            if data:
                self.incoming.write(data)
            else:
                self.incoming.write_eof()


def context_for(endpoint: Endpoint) -> ssl.SSLContext:
    """The context of these certificate options. Loading takes 27 ms, so it happens once a process.

    Raises:
        ConfigError: a file cannot be used.
    """
    return _context(endpoint.cafile, endpoint.cert, endpoint.client_key, endpoint.insecure)


@functools.cache
def _context(cafile: str | None, cert: str | None, client_key: str | None, insecure: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=cafile)
    except OSError as error:
        raise ConfigError(f"--cacert {cafile}: {_file_words(error)}") from None
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert:
        try:
            # Without a password function OpenSSL would ask on the terminal.
            context.load_cert_chain(cert, client_key, password=_no_password)
        except (OSError, ValueError) as error:
            named = f"--cert {cert}" + (f" --client-key {client_key}" if client_key else "")
            apart = isinstance(error, ssl.SSLError) and not client_key
            hint = "; where its key is in another file, give --client-key FILE" if apart else ""
            raise ConfigError(f"{named}: {_file_words(error)}{hint}") from None
    context.set_alpn_protocols(["http/1.1"])
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted; give one without a passphrase")


async def handshake(
    sock: socket.socket, endpoint: Endpoint, session: ssl.SSLSession | None = None, early: bytes = b""
) -> Secured:
    """Shake hands, resuming `session` where the peer still knows it; `early` is what came before.

    Raises:
        TlsError: the peer's certificate is not accepted, or there is no common ground.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    incoming.write(early)
    name = endpoint.server_name or endpoint.host
    tls = context_for(endpoint).wrap_bio(incoming, outgoing, server_hostname=name, session=session)
    last_read = now_ns()
    try:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                if outgoing.pending:
                    await raw.send_all(sock, outgoing.read())
            data = await raw.receive(sock)
            last_read = now_ns()
            if data:
                incoming.write(data)
            else:
                incoming.write_eof()
        if outgoing.pending:
            await raw.send_all(sock, outgoing.read())
    except ssl.SSLError as error:
        await _say_goodbye(sock, outgoing)
        raise TlsError(handshake_failure(error, endpoint)) from None
    except OSError as error:
        words = (error.strerror or "the connection broke").lower()
        raise TlsError(f"TLS handshake with {endpoint.label}: {words}") from None
    cipher = tls.cipher()
    return Secured(
        tls=tls,
        incoming=incoming,
        outgoing=outgoing,
        version=tls.version(),
        cipher=cipher[0] if cipher else None,
        alpn=tls.selected_alpn_protocol(),
        resumed=bool(tls.session_reused),
        leftover=incoming.read(),
        leftover_ns=last_read,
    )


async def _say_goodbye(sock: socket.socket, outgoing: ssl.MemoryBIO) -> None:
    """The alert that tells the peer why."""
    try:
        if outgoing.pending:
            await raw.send_all(sock, outgoing.read())
    except OSError:
        return


def handshake_failure(error: ssl.SSLError, endpoint: Endpoint) -> str:
    """Return why a handshake failed, and what would work."""
    name = endpoint.server_name or endpoint.host
    doing = f"TLS handshake with {endpoint.label}"
    if isinstance(error, ssl.SSLCertVerificationError):
        said = (error.verify_message or "it is not trusted").rstrip(".")
        if "expired" in said or "not yet valid" in said:
            way = "--insecure measures without the check"
        elif "mismatch" in said.lower():
            way = "use the name it was made for, or --insecure to measure without the check"
        else:
            way = "--cacert FILE trusts its issuer, --insecure measures without the check"
        return f"{doing}: the certificate for {name!r} is not accepted: {said}; {way}"
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return f"{doing}: the peer closed the connection"
    if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return f"{doing}: the peer does not speak TLS ({in_words(error.reason)}); is it http://?"
    return f"{doing}: {in_words(error.reason or error.strerror or 'failed')}"


def in_words(reason: str) -> str:
    """OpenSSL's name of a failure as it stands inside a sentence, with the way out where one is known."""
    said = _VERSION.sub("alert", reason.replace("_", " ").lower())
    wanted = "handshake failure" in said or "certificate required" in said
    return f"{said}; does it want a client certificate (--cert FILE)?" if wanted else said


def _file_words(error: Exception) -> str:
    """Without the path, which the message names already, and without OpenSSL's source lines."""
    if isinstance(error, ssl.SSLError):
        return f"it holds no usable PEM certificate ({(error.reason or 'unreadable').replace('_', ' ').lower()})"
    if isinstance(error, OSError):
        return (error.strerror or "it cannot be read").lower()
    return str(error)
