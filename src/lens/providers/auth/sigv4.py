"""AWS Signature Version 4; checked against vectors signed by botocore.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit

from lens.secrets import remember_secret
from lens.wire import Secret

ALGORITHM = "AWS4-HMAC-SHA256"
_UNRESERVED = "-_.~"
# Headers that a proxy or a client may change on the way are not signed.
_UNSIGNED = frozenset(("authorization", "user-agent", "connection", "expect", "x-amzn-trace-id", "transfer-encoding"))


class AwsCredentials(Secret):
    """An access key with its secret, and the region that requests are signed for."""

    __slots__ = ("access_key", "region", "session_token")

    def __init__(self, access_key: str, secret_key: str, session_token: str | None = None, region: str = "") -> None:
        super().__init__(secret_key)
        self.access_key, self.session_token, self.region = access_key, session_token, region
        remember_secret(access_key)
        remember_secret(session_token)

    def current(self) -> AwsCredentials:
        """Return the credentials that are valid now; those that expire renew themselves here."""
        return self


def signed_headers(
    credentials: AwsCredentials,
    *,
    method: str,
    host: str,
    target: str,
    headers: Iterable[tuple[str, str]],
    body: bytes,
    region: str,
    service: str = "bedrock",
    now: datetime | None = None,
) -> tuple[tuple[str, str], ...]:
    """Return the headers to add: the date, the session token where there is one, and the signature over them all.

    `target` is the path and query as they go on the wire; the path is encoded once more for the signature.
    """
    timestamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    added = [("X-Amz-Date", timestamp)]
    if credentials.session_token:
        added.append(("X-Amz-Security-Token", credentials.session_token))
    rows = {name.lower(): " ".join(value.split()) for name, value in (*headers, ("host", host), *added)}
    signed = sorted(name for name in rows if name not in _UNSIGNED)
    canonical = "\n".join(
        (
            method,
            quote(urlsplit(target).path or "/", safe="/" + _UNRESERVED),
            _canonical_query(urlsplit(target).query),
            *[f"{name}:{rows[name]}" for name in signed],
            "",
            ";".join(signed),
            hashlib.sha256(body).hexdigest(),
        )
    )
    scope = f"{timestamp[:8]}/{region}/{service}/aws4_request"
    to_sign = "\n".join((ALGORITHM, timestamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = b"AWS4" + credentials.reveal().encode()
    for part in (*scope.split("/"), to_sign):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    value = f"Credential={credentials.access_key}/{scope}, SignedHeaders={';'.join(signed)}, Signature={key.hex()}"
    return (*added, ("Authorization", f"{ALGORITHM} {value}"))


def _canonical_query(query: str) -> str:
    pairs = sorted((quote(k, safe=_UNRESERVED), quote(v, safe=_UNRESERVED)) for k, v in parse_qsl(query, True))
    return "&".join([f"{k}={v}" for k, v in pairs])
