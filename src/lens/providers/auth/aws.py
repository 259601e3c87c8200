"""Find AWS credentials and region: environment variables, profile files, then botocore's whole chain.

The first two need nothing but this file. Single sign-on, instance and container roles go through
botocore (the extra `bedrock`), imported when used.

Source: https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
"""

from __future__ import annotations

import configparser
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lens.errors import ConfigError, MissingKey
from lens.parsing import read_small
from lens.providers.auth.background import BackgroundRefresh
from lens.providers.auth.sigv4 import AwsCredentials
from lens.wire import Secret

BEARER_VARIABLE = "AWS_BEARER_TOKEN_BEDROCK"
# How often credentials that may expire are checked.
CHECK_INTERVAL_S = 60.0
_HOW = (
    f"set {BEARER_VARIABLE}, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "or AWS_PROFILE to a profile that holds them"
)


def region_of(environ: Mapping[str, str]) -> str | None:
    """Return the region that the environment or the profile names; None where neither does."""
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    return region or _config(environ).get("region")


def find_credentials(environ: Mapping[str, str], *, whole_chain: bool) -> Secret | None:
    """Return a bearer token or credentials to sign with; None where there are none and `whole_chain` is False.

    Raises:
        MissingKey: no credentials anywhere; the message says what to set.
        ConfigError: a profile file cannot be read or parsed.
    """
    if environ.get(BEARER_VARIABLE):
        return Secret(environ[BEARER_VARIABLE])
    region = region_of(environ) or ""
    if environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY"):
        token = environ.get("AWS_SESSION_TOKEN") or environ.get("AWS_SECURITY_TOKEN")
        return AwsCredentials(environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"], token, region)
    profile = {**_config(environ), **_profile(environ)}
    if profile.get("aws_access_key_id") and profile.get("aws_secret_access_key"):
        token = profile.get("aws_session_token")
        return AwsCredentials(profile["aws_access_key_id"], profile["aws_secret_access_key"], token, region)
    return _from_chain(environ.get("AWS_PROFILE"), region) if whole_chain else None


def _profile(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the profile's section of the credentials file."""
    path = environ.get("AWS_SHARED_CREDENTIALS_FILE") or str(Path.home() / ".aws" / "credentials")
    return _section(path, environ.get("AWS_PROFILE") or "default")


def _config(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the profile's section of the config file, where all but the default are named `profile NAME`."""
    path = environ.get("AWS_CONFIG_FILE") or str(Path.home() / ".aws" / "config")
    name = environ.get("AWS_PROFILE") or "default"
    return _section(path, name if name == "default" else f"profile {name}")


def _section(path: str, name: str) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(read_small(Path(path)).decode())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"provider bedrock: cannot read {path}: {error.strerror}") from error
    except (configparser.Error, UnicodeDecodeError):
        # The parser's own message shows the line, and the line may be a key.
        raise ConfigError(
            f"provider bedrock: {path} is not a profile file; sections are written [name], then key = value"
        ) from None
    return dict(parser.items(name)) if parser.has_section(name) else {}


def _from_chain(profile: str | None, region: str) -> AwsCredentials:
    try:
        import botocore.exceptions
        import botocore.session
    except ImportError:
        raise MissingKey(
            f"provider bedrock: no credentials; {_HOW}; for single sign-on and roles: "
            "pip install 'llm-latency-lens[bedrock]'"
        ) from None
    try:
        session = botocore.session.Session(profile=profile)
        found = session.get_credentials()
        if found is None:
            raise MissingKey(f"provider bedrock: no credentials; {_HOW}")
        return RenewedCredentials(found, region or session.get_config_variable("region") or "")
    except botocore.exceptions.BotoCoreError as error:
        raise MissingKey(f"provider bedrock: no credentials ({error}); {_HOW}") from None


class RenewedCredentials(AwsCredentials):
    """Credentials of botocore, refreshed in the background while requests go on."""

    __slots__ = ("_checked_s", "_frozen", "_refresh", "_source")

    def __init__(self, source: Any, region: str) -> None:
        self._source, self._checked_s = source, time.monotonic()
        self._refresh = BackgroundRefresh(self._freeze, "lens-aws-credentials")
        self._freeze()
        super().__init__(self._frozen.access_key, self._frozen.secret_key, self._frozen.token, region)

    def current(self) -> AwsCredentials:
        now = self._frozen
        if time.monotonic() - self._checked_s > CHECK_INTERVAL_S and self._refresh.start():
            self._checked_s = time.monotonic()
        return AwsCredentials(now.access_key, now.secret_key, now.token, self.region)

    def _freeze(self) -> None:
        self._frozen = self._source.get_frozen_credentials()
