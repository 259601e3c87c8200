"""Google access tokens: renewed before they expire, and never shown."""

import sys
from datetime import UTC, datetime, timedelta

import pytest
from needs import need_module
from waiting import wait_until

from lens.errors import ConfigError, MissingKey
from lens.providers.auth.google import RenewedToken, default_token


class Credentials:
    """As google-auth's: a token, when it ends, and refresh()."""

    def __init__(self, lasts):
        self.lasts, self.number, self.token, self.expiry = lasts, 0, None, None

    def refresh(self, request):
        if self.lasts is None:
            raise RuntimeError("invalid_grant")
        self.number += 1
        self.token = f"token-{self.number}"
        self.expiry = (datetime.now(UTC) + self.lasts).replace(tzinfo=None)


def test_a_token_renews_itself_before_it_ends_and_is_never_shown():
    token = RenewedToken(Credentials(timedelta(hours=1)), None)
    assert token.reveal() == token.reveal() == "token-1"
    assert "token-1" not in repr(token)
    short = RenewedToken(Credentials(timedelta(minutes=1)), None)
    assert short.reveal() == "token-1"
    wait_until(lambda: short.reveal() != "token-1")
    assert short.reveal() != "token-1"


def test_credentials_that_give_no_token_are_an_error_of_the_user():
    with pytest.raises(MissingKey, match="invalid_grant"):
        RenewedToken(Credentials(None), None)


def test_without_google_auth_what_would_work_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(ConfigError, match=r"GOOGLE_OAUTH_ACCESS_TOKEN.*pip install"):
        default_token()


def test_a_file_of_credentials_that_is_not_there_is_an_error_of_the_user(monkeypatch, tmp_path):
    need_module("google.auth", "pip install 'llm-latency-lens[vertex]'")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(MissingKey, match="no credentials"):
        default_token()


def test_a_service_account_that_google_does_not_know_gives_no_token(monkeypatch, tmp_path):
    need_module("google.auth", "pip install 'llm-latency-lens[vertex]'")
    import google.auth

    monkeypatch.setattr(google.auth, "default", lambda scopes: (Credentials(None), "project"))
    with pytest.raises(MissingKey, match="invalid_grant"):
        default_token()
