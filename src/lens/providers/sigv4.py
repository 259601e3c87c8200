"""AWS Signature Version 4, by its own arithmetic; checked against vectors that botocore signed (WIRE 9)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit

from lens.wire import Secret

ALGORITHM = "AWS4-HMAC-SHA256"
_UNRESERVED = "-_.~"
# Headers that a proxy or a client may change on the way are left out.
_UNSIGNED = frozenset(("authorization", "user-agent", "connection", "expect", "x-amzn-trace-id", "transfer-encoding"))


class AwsCredentials(Secret):
    """An access key with its secret, and where requests are signed for; only sign() uses the secret."""

    __slots__ = ("access_key", "region", "session_token")

    def __init__(self, access_key: str, secret_key: str, session_token: str | None = None, region: str = "") -> None:
        super().__init__(secret_key)
        self.access_key, self.session_token, self.region = access_key, session_token, region

    def current(self) -> AwsCredentials:
        """Those that are valid now; credentials that end renew themselves here."""
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
    """The headers to add: the date, the session's token where there is one, and the signature over them all.

    `target` is the path and query as they go on the wire; the path is encoded once more for the signature.
    """
    at = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    added = [("X-Amz-Date", at)]
    if credentials.session_token:
        added.append(("X-Amz-Security-Token", credentials.session_token))
    rows = {name.lower(): " ".join(value.split()) for name, value in (*headers, ("host", host), *added)}
    named = sorted(name for name in rows if name not in _UNSIGNED)
    canonical = "\n".join(
        (
            method,
            quote(urlsplit(target).path or "/", safe="/" + _UNRESERVED),
            _query(urlsplit(target).query),
            *[f"{name}:{rows[name]}" for name in named],
            "",
            ";".join(named),
            hashlib.sha256(body).hexdigest(),
        )
    )
    scope = f"{at[:8]}/{region}/{service}/aws4_request"
    to_sign = "\n".join((ALGORITHM, at, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = b"AWS4" + credentials.reveal().encode()
    for part in (*scope.split("/"), to_sign):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    told = f"Credential={credentials.access_key}/{scope}, SignedHeaders={';'.join(named)}, Signature={key.hex()}"
    return (*added, ("Authorization", f"{ALGORITHM} {told}"))


def _query(query: str) -> str:
    pairs = sorted((quote(k, safe=_UNRESERVED), quote(v, safe=_UNRESERVED)) for k, v in parse_qsl(query, True))
    return "&".join([f"{k}={v}" for k, v in pairs])
