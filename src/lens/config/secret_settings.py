"""What of a configuration is secret: remembered before anything is sent, and left out of what a file says of a run."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from lens.config.settings import RunConfig, TargetConfig
from lens.patterns import lazy_pattern
from lens.secrets import (
    MASK,
    bare_url,
    holds_secret,
    mask_given_headers,
    mask_known,
    remember_given_headers,
    remember_secret,
    remember_url,
)

_URL = lazy_pattern(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")
# Tables whose fields a user names; there a name says whether a value is a secret.
_FREE = frozenset({"extra_body", "custom"})


def remember_settings(config: RunConfig) -> None:
    """Mask from now on what may be a secret in addresses, headers and bodies of a configuration."""
    for target in config.targets:
        _remember_target(target)
    for export in config.output.exports:
        if export.endpoint is not None:
            remember_url(export.endpoint)
    if config.monitor is not None and config.monitor.webhook:
        remember_webhook(config.monitor.webhook)


def remember_webhook(url: str) -> None:
    """Mask the path too: who knows the whole address of a webhook may post there."""
    remember_url(url)
    try:
        path = urlsplit(url).path.strip("/")
    except ValueError:
        return  # no URL; whoever uses it says so
    remember_secret(path)
    remember_secret(path.rpartition("/")[2])


def without_secrets(settings: Any, *, free: bool = False) -> Any:
    """Return settings as plain data without secrets: known ones, those of addresses, and by name where names are free.

    free: the settings are a table whose fields a user names.
    """
    if isinstance(settings, str):
        return mask_known(_URL.sub(lambda found: bare_url(found[0]), settings))
    if isinstance(settings, list | tuple):
        return [without_secrets(one, free=free) for one in settings]
    if not isinstance(settings, dict):
        return settings
    return {name: _without_secrets_of(name, value, free=free) for name, value in settings.items()}


def _without_secrets_of(name: str, value: Any, *, free: bool) -> Any:
    if name == "headers" and isinstance(value, dict):
        return dict(mask_given_headers(value.items()))
    if name == "headers" and isinstance(value, list | tuple):
        return [list(header) for header in mask_given_headers(value)]
    if name == "webhook" and isinstance(value, str):
        return f"{bare_url(value).partition('://')[0]}://{urlsplit(value).hostname}/{MASK}"
    if free and isinstance(value, str) and holds_secret(name):
        return MASK
    return without_secrets(value, free=free or name in _FREE)


def _remember_target(target: TargetConfig) -> None:
    remember_given_headers(target.headers)
    for url in (target.base_url, target.proxy):
        if url:
            remember_url(url)
    _remember_fields(target.extra_body)
    if target.custom is not None:
        remember_given_headers(tuple(target.custom.headers.items()))
        _remember_fields(target.custom.body)


def _remember_fields(value: Any) -> None:
    """Remember what stands under names of secrets, however deep."""
    if isinstance(value, list | tuple):
        for one in value:
            _remember_fields(one)
    elif isinstance(value, dict):
        for name, one in value.items():
            if isinstance(one, str) and holds_secret(name):
                remember_secret(one)
            _remember_fields(one)
