"""Where the page for people is printed: standard output, unless that belongs to an export."""

from __future__ import annotations

import sys

from rich.console import Console

from lens.cli.results import Results
from lens.report.terminal import console_for


def page_console(results: Results) -> Console:
    return console_for(sys.stderr if results.on_stdout else sys.stdout)
