"""A Google access token that renews itself, through google-auth (the extra `vertex`), imported when used.

The first token is fetched while planning, never within a timed request; later ones by a thread of their
own, some minutes before the old one ends.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

from lens.errors import ConfigError, MissingKey
from lens.wire import Secret

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
RENEW_BEFORE = timedelta(minutes=5)


class RenewedToken(Secret):
    """The token of google-auth credentials; reveal() gives the one that is valid now."""

    __slots__ = ("_credentials", "_lock", "_request")

    def __init__(self, credentials: Any, request: Any) -> None:
        """
        Raises:
            MissingKey: no token is given for these credentials.
        """
        super().__init__("")
        self._credentials, self._request, self._lock = credentials, request, threading.Lock()
        self._renew()

    def reveal(self) -> str:
        token = str(self._credentials.token)
        if self._due() and self._lock.acquire(blocking=False):
            threading.Thread(target=self._renew_beside, name="lens-google-token", daemon=True).start()
        return token

    def __bool__(self) -> bool:
        return True

    def _due(self) -> bool:
        expiry = self._credentials.expiry  # naive, UTC
        return expiry is not None and expiry.replace(tzinfo=UTC) - datetime.now(UTC) < RENEW_BEFORE

    def _renew_beside(self) -> None:
        try:
            self._credentials.refresh(self._request)
        except Exception:  # noqa: S110 - the old token serves to its end; then the server's 401 tells
            pass
        finally:
            self._lock.release()

    def _renew(self) -> None:
        try:
            self._credentials.refresh(self._request)
        except Exception as error:
            raise MissingKey(f"Google gives no access token: {type(error).__name__}: {error}") from None


def default_token() -> Secret:
    """The token of the application default credentials: a service account's file, gcloud's login, a machine's own.

    Raises:
        ConfigError: google-auth is not installed.
        MissingKey: there are no such credentials, or no token is given for them.
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
