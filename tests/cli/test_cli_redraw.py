"""Lines that are written over: what wipes them, and bars that never hide a value."""

from __future__ import annotations

import pytest

from lens.cli.redraw import Redrawn, bars


def test_lines_are_written_over_and_wiped(capsys, monkeypatch):
    monkeypatch.setenv("LINES", "4")
    monkeypatch.setenv("COLUMNS", "80")
    drawn = Redrawn()
    drawn.draw(["a", "b"])
    assert capsys.readouterr().err == "\r\x1b[Ja\nb"
    drawn.draw(["c"] * 9)
    assert capsys.readouterr().err == "\r\x1b[1A\x1b[Jc\nc\nc"  # as many as there is room for
    drawn.clear()
    drawn.clear()
    assert capsys.readouterr().err == "\r\x1b[2A\x1b[J"


@pytest.mark.parametrize(
    ("values", "fine", "shown"),
    [
        ([0, 1, 4, 8], True, " ▁▄█"),
        ([0, 1, 4, 8], False, " .=@"),
        ([0.001, 1000.0], True, "▁█"),
        ([0, 0], True, "  "),
        ([], True, ""),
    ],
)
def test_a_bar_is_as_high_as_its_value_and_never_blank_above_zero(values, fine, shown):
    assert bars(values, fine=fine) == shown
