"""The notebook of the documentation: its cells run in order, inside a running loop as a notebook runs them."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from needs import need_module

NOTEBOOK = Path(__file__).parent.parent / "docs" / "examples" / "notebook.ipynb"
FOUND = json.loads(NOTEBOOK.read_text())
CELLS = ["".join(cell["source"]) for cell in FOUND["cells"] if cell["cell_type"] == "code"]


async def shown(cell: str, names: dict[str, Any]) -> Any:
    """Run a cell, `await` at its top included; return the value of its last line, which a notebook shows."""
    tree = ast.parse(cell)
    assert isinstance(tree.body[-1], ast.Expr), "a cell shows nothing"
    tree.body[-1] = ast.Assign([ast.Name("_", ast.Store())], tree.body[-1].value)
    code = compile(ast.fix_missing_locations(tree), str(NOTEBOOK), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    assert isinstance(code, CodeType)
    waiting = eval(code, names)
    if inspect.isawaitable(waiting):
        await waiting
    return names["_"]


def test_the_cells_run_and_each_shows_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_module("pandas", "pip install pandas")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}

    async def run() -> list[Any]:
        return [await shown(cell, names) for cell in CELLS]

    values = asyncio.run(run())
    assert "ttft_ms" in values[0]._repr_html_()
    assert all(value is not None for value in values[1])
    assert "requests/s" in values[2]._repr_html_()
    assert values[3].loc["count", "ttft_ms"] == names["result"].summary.successes == 40
    assert set(values[4]["count"]) == {20}
    assert values[5]["p50"] > 0


def test_the_notebook_is_kept_without_outputs() -> None:
    assert FOUND["nbformat"] == 4
    assert not [cell for cell in FOUND["cells"] if cell.get("outputs") or cell.get("execution_count")]
