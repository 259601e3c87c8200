"""Where a target's key comes from, in order: the flag, a named variable, a file, the provider's own variable;
at last the provider's own credentials (Google's, Amazon's), where it knows how to find them.

A key is a Secret from here on. Nothing in a message or a warning repeats any of it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from lens.config.settings import TargetConfig
from lens.errors import FileError, MissingKey
from lens.providers.base import Provider
from lens.wire import Secret


def find_key(config: TargetConfig, provider: Provider, environ: Mapping[str, str]) -> Secret | None:
    """The key of a target; None where none is given and none is needed.

    Raises:
        MissingKey: the provider's own address needs one and there is none, or what was named holds none.
        FileError: the named file cannot be read.
    """
    if config.api_key is not None:
        return config.api_key
    if config.api_key_env:
        value = environ.get(config.api_key_env)
        if not value:
            raise MissingKey(f"provider {config.provider}: the variable {config.api_key_env} is not set")
        return Secret(value)
    if config.api_key_file:
        return _from_file(config.api_key_file)
    for variable in provider.key_variables:
        if environ.get(variable):
            return Secret(environ[variable])
    made = getattr(provider, "default_key", None)
    if made is not None:
        found: Secret | None = made(environ, address_of(config, provider, environ) or "")
        if found is not None:
            return found
    if provider.key_variables and config.base_url is None:
        # A preset also names what default_key takes.
        named = getattr(provider, "preset", provider).key_variables
        raise MissingKey(
            f"provider {config.provider}: no key; set {' or '.join(named)}, "
            "or give --api-key-env NAME or --api-key-file FILE"
        )
    return None


def _from_file(name: str) -> Secret:
    try:
        value = Path(name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise FileError(f"--api-key-file {name}: cannot read: {why}") from error
    if not value:
        raise MissingKey(f"--api-key-file {name}: it is empty")
    return Secret(value)


def key_file_warning(name: str | None) -> str | None:
    """What to say of a file of keys that others on this machine may read; None where there is nothing to say."""
    if name is None or os.name != "posix":
        return None
    try:
        mode = Path(name).stat().st_mode
    except OSError:
        return None
    if not stat.S_ISREG(mode) or not mode & (stat.S_IRGRP | stat.S_IROTH):
        return None
    return f"{name} holds a key and others on this machine may read it: chmod 600 {name}"


def address_of(config: TargetConfig, provider: Provider, environ: Mapping[str, str]) -> str | None:
    """The base URL: as given, as the environment tells the provider, or the provider's own."""
    told = getattr(provider, "base_url_from", None)
    return config.base_url or (told(environ) if told is not None else None) or provider.base_url
