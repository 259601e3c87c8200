"""Access tokens of Google Cloud that renew themselves, through google-auth (the extra `vertex`), imported when used.

The first token is fetched while planning, never within a timed request; later ones in the background,
some minutes before the old one expires.

Source: https://cloud.google.com/docs/authentication/application-default-credentials
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from lens.errors import ConfigError, MissingKey
from lens.providers.auth.background import BackgroundRefresh
from lens.secrets import remember_secret
from lens.wire import Secret

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
RENEW_BEFORE = timedelta(minutes=5)


class RenewedToken(Secret):
    """The token of google-auth credentials; reveal() returns the one that is valid now."""

    __slots__ = ("_credentials", "_refresh")

    def __init__(self, credentials: Any, request: Any) -> None:
        """
        Raises:
            MissingKey: Google refuses a token for these credentials.
        """
        super().__init__("")
        self._credentials = credentials
        try:
            credentials.refresh(request)
        except Exception as error:
            raise MissingKey(f"Google gives no access token: {type(error).__name__}: {error}") from None
        self._refresh = BackgroundRefresh(lambda: credentials.refresh(request), "lens-google-token")

    def reveal(self) -> str:
        token = str(self._credentials.token)
        remember_secret(token)
        if self._is_due():
            self._refresh.start()
        return token

    def __bool__(self) -> bool:
        return True

    def _is_due(self) -> bool:
        expiry = self._credentials.expiry  # naive, UTC
        return expiry is not None and expiry.replace(tzinfo=UTC) - datetime.now(UTC) < RENEW_BEFORE


def default_token() -> Secret:
    """Return a token of the application default credentials (service account file, gcloud login, machine).

    Raises:
        ConfigError: google-auth is not installed.
        MissingKey: no such credentials, or Google refuses a token for them.
    """
    try:
        import google.auth
        import google.auth.exceptions
        from google.auth.transport.requests import Request
    except ImportError:
        raise ConfigError(
            "provider vertex: no token; set GOOGLE_OAUTH_ACCESS_TOKEN (gcloud auth print-access-token), or "
            "pip install 'llm-latency-lens[vertex]' to use service accounts and gcloud's login"
        ) from None
    try:
        credentials, _ = google.auth.default(scopes=[SCOPE])
    except google.auth.exceptions.DefaultCredentialsError:
        raise MissingKey(
            "provider vertex: no credentials; set GOOGLE_OAUTH_ACCESS_TOKEN, or GOOGLE_APPLICATION_CREDENTIALS to a "
            "service account's file, or run `gcloud auth application-default login`"
        ) from None
    return RenewedToken(credentials, Request())
