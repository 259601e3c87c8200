"""TLS for the simulator: a certificate authority of its own, made at start (trustme, extra `simulator`)."""

from __future__ import annotations

import ssl
from pathlib import Path


class TlsMissing(RuntimeError):
    """The package that makes certificates is not installed."""


def make_context(ca_file: Path, names: tuple[str, ...]) -> ssl.SSLContext:
    """A server context for these names and addresses; the authority's PEM is written to ca_file.

    Raises:
        TlsMissing: trustme is not installed.
    """
    try:
        import trustme
    except ImportError:
        raise TlsMissing("TLS needs trustme: pip install 'llm-latency-lens[simulator]'") from None
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    authority.issue_cert(*names).configure_cert(context)
    return context
