"""The papers at the root say what is: commands, targets, links and code that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import lens
from lens.cli.main import COMMANDS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAPERS = sorted(ROOT.glob("*.md"))


def test_the_readme_lists_every_command_and_no_other() -> None:
    assert re.findall(r"^\| `lll (\w+)` \|", README, re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("paper", PAPERS, ids=lambda p: p.name)
def test_every_make_target_that_is_named_exists(paper: Path) -> None:
    targets = set(re.findall(r"^([a-z ]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^ +)make ([a-z]+)", paper.read_text(), re.MULTILINE))
    assert named <= {name for line in targets for name in line.split()}


@pytest.mark.parametrize("paper", PAPERS, ids=lambda p: p.name)
def test_every_file_that_is_named_exists(paper: Path) -> None:
    text = paper.read_text()
    named = re.findall(r"\]\((?!http)([^)]+)\)", text)
    named += re.findall(r"`((?:src|tests|benchmarks)/[\w/]+(?:\.\w+)?/?)`", text)
    missing = [name for name in named if "NAME" not in name and not (ROOT / name).exists()]
    assert not missing


def test_the_code_of_the_readme_uses_public_names() -> None:
    block = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert block
    used = {
        n.attr for n in ast.walk(ast.parse(block[1])) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "lens"
    }
    assert used
    assert used <= set(lens.__all__)
