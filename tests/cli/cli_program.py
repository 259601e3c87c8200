"""The program as people run it: in a process of its own, against a simulator that keeps a known script."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import forks
from waiting import HANG_S

from lens.simulator import make_script, start

# What a user's own settings could change.
SETTINGS = {
    "LLL_CONFIG_FILE",
    "LLL_EXPORT_FORMAT",
    "LLL_OUTPUT_DIR",
    "LLL_LOG_LEVEL",
    "LLL_CONCURRENCY",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
}


# A user's cache of our own, for what a self-test remembers.
_cache = tempfile.TemporaryDirectory()


def environment(**more):
    return (
        {name: value for name, value in os.environ.items() if name.upper() not in SETTINGS}
        | {"COLUMNS": "80", "XDG_CACHE_HOME": _cache.name}
        | more
    )


def lll(*arguments, stdin="", env=None, cwd=None, timeout=HANG_S):
    """Run `lll` to its end."""
    words, environ = [*map(str, arguments)], environment(**(env or {}))
    return forks.server().run(words, stdin=stdin, environ=environ, cwd=cwd or Path.cwd(), timeout=timeout)


def scripted(*arguments, **script):
    """`lll` against a simulator with a script of its own."""
    with start(make_script(**script)) as running:
        return lll(*arguments, "--provider", "openai", "-m", "test-1", "--base-url", f"{running.url}/v1")
