"""The plain page wraps, cuts and colours as rich does, which prints the pages with tables."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from lens.report import terminal
from lens.report.console import CleanConsole
from lens.report.page import Line, TextPage, fitting, wrapped

STYLES = ("", "dim", "bold", "bold green", "bright_black", "yellow", "italic")
# Words, blanks, block characters, and some that take two cells or none.
TEXT = st.text(alphabet="ab-_.,12 █▏éЖ漢字\u0301", max_size=120)


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def rows_of_rich(text: str, width: int) -> list[str]:
    return [part.plain for part in Text(text).wrap(Console(width=width), width)]


@given(text=TEXT, width=st.integers(20, 60))
def test_rows_are_those_of_rich(text: str, width: int) -> None:
    assert [text[start:end] for start, end in wrapped(text, width)] == rows_of_rich(text, width)


@pytest.mark.parametrize("text", ["", " ", "two\nlines", "\n", "x" * 75, "word " + "y" * 90, "漢" * 40, "end   "])
def test_rows_at_the_edges_are_those_of_rich(text: str) -> None:
    assert [text[start:end] for start, end in wrapped(text, 20)] == (rows_of_rich(text, 20) or [""])


ENVIRONS = ({}, {"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TTY_COMPATIBLE": "0"}, {"COLUMNS": "0"})


@pytest.mark.parametrize("environ", ENVIRONS)
@pytest.mark.parametrize("file", [io.StringIO, Tty])
def test_a_page_looks_as_on_the_console(file, environ, monkeypatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    ours, theirs = file(), file()
    page, console = TextPage(ours), terminal.console_for(theirs)
    assert page.width == console.width
    assert page.encoding == console.encoding
    says = "a long sentence of a server that goes on and on, " * 4 + "\x1b[2J ##[error] " + "z" * 150
    for style in STYLES:
        page.fact("latency", says, style=style)
        terminal.fact(console, "latency", says, style=style)
        line, text = Line("name  "), Text("name  ")
        for one in (line, text):
            one.append("1.2 ms", style=style)
        page.print(line, wrap=False)
        console.print(text, no_wrap=True, overflow="crop")
        page.print(Line(says, style))
        console.print(Text(says, style=style), overflow="fold")
    page.print()
    console.print()
    assert ours.getvalue().replace("\x1b[0m", "") == theirs.getvalue().replace("\x1b[0m", "")


@pytest.mark.parametrize(("forced", "styled"), [("1", True), ("", False)])
def test_colours_can_be_forced(forced, styled, monkeypatch) -> None:
    monkeypatch.delenv("TTY_COMPATIBLE", raising=False)
    monkeypatch.setenv("FORCE_COLOR", forced)
    monkeypatch.setenv("TERM", "xterm")
    assert TextPage(io.StringIO()).styled is styled


def test_a_closed_file_is_no_terminal() -> None:
    out = io.StringIO()
    out.close()
    assert not TextPage(out, 80).styled


@given(text=TEXT, width=st.integers(0, 60))
def test_what_fits_is_the_longest_beginning_that_does(text: str, width: int) -> None:
    from rich.cells import cell_len

    fits = fitting(text, width)
    assert cell_len(text[:fits]) <= width
    assert fits == len(text) or cell_len(text[: fits + 1]) > width


def test_a_part_of_a_line_keeps_its_styles() -> None:
    line = Line("ab", "bold")
    line.append("cd")
    line.append("")
    assert line.plain == "abcd"
    assert line.part(1, 3).pieces == [("b", "bold"), ("c", "")]
    assert not Line()
    assert not line.part(4, 9)


def test_a_closed_pipe_is_for_the_caller() -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        TextPage(Broken(), 80).print(Line("a"))
    with pytest.raises(BrokenPipeError):
        CleanConsole(file=Broken(), width=80).print("a")
