"""What can go wrong, and whose it is.

A class says what a program should do about it: the exit code, the category that a record
gets, and whether trying again can help. Foreign exceptions become ours where they enter.
No message ever holds a key, a header value or a body that may hold one.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from typing import Any

NO_MEMORY = "no memory is left; raise the limit of this process (ulimit -v), or lower --concurrent"
# Of what Python and the core say where no thread can be started.
_NO_THREAD = ("start new thread", "no thread to")
# Of what a loader of shared libraries says where memory is refused.
_UNLOADABLE = ("failed to map", "cannot map", "cannot allocate", "cannot create shared object")


class ExitCode:
    """The exit codes of the command line."""

    OK = 0
    NOTHING_MEASURED = 1
    USAGE = 2
    THRESHOLD = 3
    BUDGET = 4
    INTERRUPTED = 130


class LensError(Exception):
    """Base of ours."""

    exit_code = ExitCode.NOTHING_MEASURED
    category = "network_error"
    retryable = False


class RunInterrupted(KeyboardInterrupt):
    """Ctrl-C ended a call that waits for a run, in order.

    `result` is what the call would have returned, of what was measured until then; files that were asked for are
    written.
    """

    def __init__(self, result: Any) -> None:
        super().__init__("the run was interrupted; `result` of this error holds what was measured")
        self.result = result


class ConfigError(LensError):
    """The user asked for something that cannot be: flags, files, environment."""

    exit_code = ExitCode.USAGE
    category = "invalid_request"


class MissingKey(ConfigError):
    """A provider needs a key and none was given."""

    category = "auth"


class FileError(ConfigError):
    """A file could not be read or written."""


class BudgetError(LensError):
    """A spending limit would be passed."""

    exit_code = ExitCode.BUDGET
    category = "cancelled"


class ThresholdError(LensError):
    """A threshold, SLA or regression gate failed."""

    exit_code = ExitCode.THRESHOLD


class TransportError(LensError):
    """The network let us down before an answer was complete."""

    retryable = True


class ResolveError(TransportError):
    """The host's name has no address; the stamps are of the lookup that found none."""

    start_ns: int | None = None
    end_ns: int | None = None


class ConnectError(TransportError):
    """No address accepted a connection."""


class ProxyError(TransportError):
    """The proxy refused or broke off."""


class TlsError(TransportError):
    """The handshake failed; a bad certificate is not worth a retry."""

    retryable = False


class TimedOut(TransportError):
    """One of the user's time limits passed."""

    category = "timeout"


class PeerClosed(TransportError):
    """The peer ended or reset the connection too early."""

    category = "truncated"


class ProtocolError(LensError):
    """The peer sent what its protocol does not allow."""

    category = "protocol_error"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that `name` is most likely a misspelling of, or None where none is close."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, list(known), n=1)), None)


def did_you_mean(name: str, known: Iterable[str], *, then: str = "", otherwise: str = "") -> str:
    """Return "did you mean NEAREST?" and `then`; where no known name is close, `otherwise` or else `then` alone."""
    near = nearest(name, known)
    return otherwise or then if near is None else f"did you mean {near}? {then}".rstrip()


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors themselves; a nursery wraps them in groups."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from causes(inner)
    else:
        yield error


def lacking(error: BaseException) -> str | None:
    """Return what of this machine there is too little of, and what helps; None for any other error."""
    if isinstance(error, MemoryError) or (isinstance(error, ImportError) and _is_unloadable(error)):
        return NO_MEMORY
    if isinstance(error, BlockingIOError | RuntimeError) and any(words in str(error) for words in _NO_THREAD):
        limits = "memory (ulimit -v) or the number of processes (ulimit -u) is limited; raise the limit"
        return f"no thread can be started: {limits}"
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        limit = "the limit of open files is reached; raise it (ulimit -n 4096), or lower --concurrent"
        return f"no file can be opened: {limit}"
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return "no memory is left on this machine"
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory was refused, by Python or by the system."""
    found = list(causes(error))
    return any(
        isinstance(one, MemoryError) or (isinstance(one, OSError) and one.errno == errno.ENOMEM) for one in found
    )


def _is_unloadable(error: ImportError) -> bool:
    said = str(error).lower()
    return any(words in said for words in _UNLOADABLE)
