"""Keys from where secrets are kept: a program's output, or the keyring of the desktop.

A program is run without a shell, and its first line is the key, as `pass show`, `op read` and `vault kv get` print it.
What it gave is kept for a while, so that a monitor does not start it each round and still sees a key that was renewed.
"""

from __future__ import annotations

import subprocess
import time

from lens.errors import ConfigError, MissingKey
from lens.secrets import one_line, remember_secret

# Long enough to touch a hardware key; a program that hangs must not hold a run for ever.
COMMAND_TIMEOUT_S = 60.0
KEPT_S = 300.0
_kept: dict[str, tuple[float, str]] = {}


def key_of_command(command: str) -> str:
    """Return the first line that a program prints; it may ask on the terminal.

    Raises:
        ConfigError: it cannot be started, or is still running after COMMAND_TIMEOUT_S.
        MissingKey: it failed, or printed nothing.
    """
    now = time.monotonic()
    until, key = _kept.get(command, (now, ""))
    if now >= until:
        key = _printed(command)
        _kept[command] = now + KEPT_S, key
    return key


def _printed(command: str) -> str:
    import shlex

    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"api_key_command: it cannot be read: {error}; quote it as for a shell") from None
    if not words:
        raise ConfigError("api_key_command: it is empty; write a command like 'pass show openai'")
    try:
        done = subprocess.run(words, capture_output=True, timeout=COMMAND_TIMEOUT_S)  # noqa: S603 - the user's own
    except OSError as error:
        raise ConfigError(f"api_key_command: {words[0]} cannot be started: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise ConfigError(f"api_key_command: {words[0]} did not end within {COMMAND_TIMEOUT_S:g} s") from None
    key = done.stdout.decode(errors="replace").lstrip().partition("\n")[0].strip()
    remember_secret(key)
    if done.returncode:
        said = one_line(done.stderr.decode(errors="replace"), 200)
        raise MissingKey(f"api_key_command: {words[0]} failed with exit code {done.returncode}{said and f': {said}'}")
    if not key:
        raise MissingKey(f"api_key_command: {words[0]} printed nothing; its first line must be the key")
    return key


def key_of_keyring(name: str) -> str:
    """Return the password of "service/user" in the keyring.

    Raises:
        ConfigError: the name has no two parts, or the extra `keyring` is not installed.
        MissingKey: the keyring has none, or cannot be opened.
    """
    service, slash, user = name.rpartition("/")
    if not slash or not service or not user:
        raise ConfigError(f"api_key_keyring {name!r}: write service/user, as in `keyring set service user`")
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        raise ConfigError("api_key_keyring needs keyring: pip install 'llm-latency-lens[keyring]'") from None
    try:
        key = keyring.get_password(service, user)
    except KeyringError as error:
        raise MissingKey(f"api_key_keyring {name!r}: {one_line(str(error), 200)}") from None
    if not key:
        raise MissingKey(
            f"api_key_keyring {name!r}: the keyring has none; `keyring set {service} {user}` puts it there"
        )
    return key
