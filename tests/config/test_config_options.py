"""The typed keyword arguments are the fields of the settings, and the files made from definitions are up to date."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_type_hints

import pytest

from lens.config.options import LoadOptions, PromptOptions, TargetOptions
from lens.config.settings import LoadConfig, PromptConfig, TargetConfig
from lens.config.spelling import section_of

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import typed_names  # noqa: E402


@pytest.mark.parametrize(
    ("options", "section", "apart"),
    [
        (TargetOptions, TargetConfig, {"provider", "model"}),
        (LoadOptions, LoadConfig, set()),
        (PromptOptions, PromptConfig, {"texts"}),
    ],
)
def test_every_field_is_an_argument_and_every_argument_sets_a_field(options, section, apart):
    hints = get_type_hints(options)
    assert set(section.__struct_fields__) - apart <= set(hints)
    for name in set(hints) - set(section.__struct_fields__):
        assert any(name + end in section.__struct_fields__ for end in ("_ns", "_per_s")), name


def test_every_argument_is_documented():
    for options in (TargetOptions, LoadOptions, PromptOptions):
        source = typed_names.options().split(f"class {options.__name__}")[1].split("\nclass ")[0]
        for name in get_type_hints(options):
            assert f"\n    {name}: " in source
            assert source.split(f"\n    {name}: ")[1].split("\n")[1].strip().startswith('"""'), name


@pytest.mark.parametrize("made", ["FIGURES", "OPTIONS"])
def test_the_files_are_as_the_tool_writes_them(made):
    text = getattr(typed_names, made.lower())()
    assert getattr(typed_names, made).read_text() == text, "run: python tools/typed_names.py"


def test_an_argument_of_each_kind_is_taken():
    target = section_of(TargetConfig, {"provider": "openai", "max_tokens": 5, "connect_to": ["a:1:b:2"]}, "target")
    assert (target.max_tokens, target.connect_to) == (5, ("a:1:b:2",))
