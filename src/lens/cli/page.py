"""Where the page for people is printed: standard output, unless that belongs to an export."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from lens.report.page import TextPage
from lens.report.terminal import console_for

if TYPE_CHECKING:
    from rich.console import Console


def page_console(*, on_stderr: bool) -> Console:
    """Return the console that a page with tables is printed on."""
    return console_for(sys.stderr if on_stderr else sys.stdout)


def text_page(*, on_stderr: bool) -> TextPage:
    """Return the page that has no tables, where it is printed."""
    return TextPage(sys.stderr if on_stderr else sys.stdout)
