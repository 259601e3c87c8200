"""What is printed on rich's console cannot steer the terminal, nor a runner that reads its log."""

from __future__ import annotations

import io

from rich.text import Text

from lens.report.console import CleanConsole


def test_what_a_server_says_cannot_steer_the_terminal() -> None:
    out = io.StringIO()
    console = CleanConsole(file=out, width=80, force_terminal=True, color_system="standard")
    console.print(Text("\x1b[2Jgone\x07 ##[error]no", style="bold"), Text("two\nlines"))
    shown = out.getvalue()
    assert shown.count("\x1b[") == 2  # of the style alone
    assert "\x07" not in shown
    assert "##[" not in shown
    assert "\nlines" in shown
