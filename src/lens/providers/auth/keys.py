"""Find a target's API key: the option, a variable, a file, a store, the provider's own variables and credentials.

A key is a Secret from here on; no message and no warning repeats any of it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from lens.config.settings import TargetConfig
from lens.errors import ConfigError, FileError, MissingKey
from lens.parsing import decode_text, read_small
from lens.providers.auth.stores import key_of_command, key_of_keyring
from lens.providers.base import Provider, is_this_machine, owns_address
from lens.secrets import bare_url
from lens.wire import Secret


def find_key(config: TargetConfig, provider: Provider, environ: Mapping[str, str]) -> Secret | None:
    """Return the key of a target; None where none is given and none is needed.

    Raises:
        MissingKey: the provider's own address needs a key and none was found, or the source that was named holds none.
        ConfigError: it holds what no header may have.
        FileError: the key file cannot be read.
    """
    if config.api_key is not None:
        is_text = type(config.api_key) is Secret
        return _clean(config.api_key.reveal(), "--api-key") if is_text else config.api_key
    if config.api_key_env:
        value = environ.get(config.api_key_env)
        if not value:
            raise MissingKey(f"provider {config.provider}: the variable {config.api_key_env} is not set")
        return _clean(value, f"the variable {config.api_key_env}")
    if config.api_key_file:
        return read_key_file(config.api_key_file)
    if config.api_key_command:
        return _clean(key_of_command(config.api_key_command), "api_key_command")
    if config.api_key_keyring:
        return _clean(key_of_keyring(config.api_key_keyring), "api_key_keyring")
    own = config.base_url is None or owns_address(provider, config.base_url, environ)
    for variable in provider.key_variables if own else ():
        if environ.get(variable):
            return _clean(environ[variable], f"the variable {variable}")
    default_key = getattr(provider, "default_key", None)
    if default_key is not None:
        key: Secret | None = default_key(environ, resolve_base_url(config, provider, environ) or "")
        if key is not None:
            return key
    if provider.key_variables and config.base_url is None:
        # A preset also names the variables that default_key reads.
        variables = getattr(provider, "preset", provider).key_variables
        raise MissingKey(
            f"provider {config.provider}: no key; set {' or '.join(variables)}, "
            "or give --api-key-env NAME or --api-key-file FILE, or api_key_command in a config file"
        )
    return None


def withheld_warning(config: TargetConfig, provider: Provider, environ: Mapping[str, str]) -> str | None:
    """Return a warning where the provider's variable holds a key that is not sent to the target's address; else None.

    A key that is named with the target goes with it.
    """
    named = config.api_key or config.api_key_env or config.api_key_file
    if named or config.api_key_command or config.api_key_keyring or config.base_url is None:
        return None
    variable = next((variable for variable in provider.key_variables if environ.get(variable)), None)
    if variable is None or owns_address(provider, config.base_url, environ):
        return None
    host = urlsplit(config.base_url).hostname
    return (
        f"the key in {variable} is not sent to {host}, to which it does not belong: --api-key-env {variable} sends it"
    )


def refuse_plain_http(config: TargetConfig, provider: Provider, base_url: str) -> None:
    """Refuse an address to which a key of this provider would leave the machine unencrypted.

    Raises:
        ConfigError: the provider's keys are only sent encrypted, and the address is plain http to another machine.
    """
    parts = urlsplit(base_url)
    if not getattr(provider, "encrypted_only", False) or parts.scheme != "http":
        return
    if not is_this_machine(parts.hostname or ""):
        raise ConfigError(
            f"provider {config.provider}: {bare_url(base_url)}: its credentials are not sent over plain http; "
            "give an https address, or one of this machine"
        )


def resolve_base_url(config: TargetConfig, provider: Provider, environ: Mapping[str, str]) -> str | None:
    """Return the base URL that is configured, else the one the environment names, else the provider's own."""
    from_environ = getattr(provider, "base_url_from", None)
    return config.base_url or (from_environ(environ) if from_environ is not None else None) or provider.base_url


def key_file_warning(path: str | None) -> str | None:
    """Return a warning where other users of this machine can read the key file; else None."""
    if path is None or os.name != "posix":
        return None
    try:
        mode = Path(path).stat().st_mode
    except OSError:
        return None
    if not stat.S_ISREG(mode) or not mode & (stat.S_IRGRP | stat.S_IROTH):
        return None
    return f"{path} holds a key and others on this machine may read it: chmod 600 {path}"


def read_key_file(path: str, option: str = "--api-key-file") -> Secret:
    """Return the key in a file; `option` is what named it.

    Raises:
        FileError: it cannot be read. MissingKey: it is empty.
    """
    try:
        value = decode_text(read_small(Path(path))).strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise FileError(f"{option} {path}: cannot read: {why}") from error
    if not value:
        raise MissingKey(f"{option} {path}: it is empty")
    return _clean(value, f"{option} {path}")


def _clean(value: str, source: str) -> Secret:
    """Return a key without the blanks and line ends around it, which shells and secret stores leave there.

    Raises:
        MissingKey: nothing is left. ConfigError: a line end or another control character stands inside.
    """
    key = value.strip()
    if not key:
        raise MissingKey(f"{source}: it holds no key, only blanks")
    if not key.isprintable() or any("\ud800" <= c <= "\udfff" for c in key):
        raise ConfigError(
            f"{source}: the key has a line end or another character that no header may have; copy it again"
        )
    return Secret(key)
