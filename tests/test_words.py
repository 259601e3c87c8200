"""The words of the project: no reference to a document that is not here, and none of the old wording."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SUFFIXES = {".py", ".pyi", ".pyx", ".pxd", ".h", ".c", ".md", ".toml", ".json", ".js", ".yml", ".yaml"}
TEXTS = sorted(
    path
    for folder in ("src", "docs", "deploy", "tools", "benchmarks")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in SUFFIXES and "__pycache__" not in path.parts
) + sorted(ROOT.glob("*.md"))
BANNED = re.compile(
    r"\b(PLAN|WIRE|METRICS) ?§?\d|\bPLAN\.md|\bWIRE\.md|\bMETRICS\.md|\b[Tt]he plan's|\bas planned|"
    r"come what may|[Pp]robes? for ever|asked again, by|Run files asked again|\bis wanted, not|Ask run files|"
    r"\b[Ww]hat (has |have )?(become|becomes|became) of\b|\bhow sure\b"
)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_text_refers_to_absent_documents_or_uses_old_words(path: Path) -> None:
    found = [line.strip() for line in path.read_text(errors="replace").splitlines() if BANNED.search(line)]
    assert not found
