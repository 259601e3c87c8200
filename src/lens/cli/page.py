"""Where the page for people is printed: standard output, unless that belongs to an export."""

from __future__ import annotations

import sys

from rich.console import Console

from lens.report.terminal import console_for


def page_console(*, on_stderr: bool) -> Console:
    """Return the console that the page is printed on."""
    return console_for(sys.stderr if on_stderr else sys.stdout)
