"""Write what type checkers and editors know of the library, from the definitions: run it when a test says so.

    python tools/typed_names.py          # src/lens/results/request_figures.py and src/lens/config/options.py

The metrics of a request become attributes of `RequestFigures`; the fields of TargetConfig, LoadConfig and PromptConfig
become keyword arguments. A test compares the files with what this would write.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from lens.config.settings import LoadConfig, PromptConfig, Section, TargetConfig
from lens.config.spelling import short_name
from lens.metrics.definitions import Metric, request_metrics
from lens.metrics.rows import WHOLE_UNITS, file_name

SOURCES = Path(__file__).parent.parent / "src" / "lens"
FIGURES = SOURCES / "results" / "request_figures.py"
OPTIONS = SOURCES / "config" / "options.py"
MADE = "Made by tools/typed_names.py"

# Types of fields as a caller may give them.
PLAIN = {
    "AtLeastOne": "int",
    "Count": "int",
    "Positive": "float",
    "Shape": "float",
    "RatePerS": "float",
    "PositiveNs": "int",
    "Secret": "Secret | str",
}
GIVEN_ALSO = {"headers": "Mapping[str, str]"}
# Keyword arguments: the struct whose fields they are, without those that have a place of their own.
GROUPS: dict[str, tuple[type[Section], frozenset[str], str]] = {
    "TargetOptions": (TargetConfig, frozenset({"provider", "model"}), "How an endpoint is reached and asked."),
    "LoadOptions": (LoadConfig, frozenset(), "How many requests are sent, when, and how long they are waited for."),
    "PromptOptions": (PromptConfig, frozenset({"texts"}), "What is asked, beside the prompt itself."),
}


def figures() -> str:
    """Return the module with an attribute for each metric of a request."""
    lines = [
        f'"""The metrics of a request as typed attributes. {MADE}; not to be edited."""',
        "",
        "from __future__ import annotations",
        "",
        "from decimal import Decimal",
        "",
        "",
        "class RequestFigures:",
        '    """Every metric of a request by its names; None is not measured."""',
    ]
    for metric in request_metrics():
        name, kind = file_name(metric), _kind(metric)
        lines += ["", f"    {name}: {kind} | None", f'    """{_formula(metric)}"""']
        for other in sorted({metric.name, *metric.aliases} - {name}):
            lines += [f"    {other}: {kind} | None", f'    """The same as `{name}`."""']
    return _formatted(lines)


def _kind(metric: Metric) -> str:
    if metric.kind == "cost":
        return "Decimal"
    return "int" if metric.unit in WHOLE_UNITS and metric.kind == "request" else "float"


def _formula(metric: Metric) -> str:
    unit = {"share": "A share", "count": "A count"}.get(metric.unit, f"In {metric.unit}")
    text = f"{unit}{', the mean over the request' if metric.kind == 'pooled' else ''}: {metric.formula}."
    return text if len(text) < 100 else text.replace("; ", ";\n    ", 1)


def options() -> str:
    """Return the module with the keyword arguments of the library."""
    lines = [
        f'"""Keyword arguments of the library, by the section they belong to. {MADE}; not to be edited.',
        "",
        'A time in ns and a rate have a short spelling too: duration="60s" for duration_ns=60_000_000_000.',
        '"""',
        "",
        "from __future__ import annotations",
        "",
        "from collections.abc import Mapping",
        "from typing import Any, Literal, TypedDict",
        "",
        "from lens.config.settings import Arrival, ConnectionPolicy, CustomConfig, Pattern",
        "from lens.wire import Secret",
    ]
    for group, (section, apart, says) in GROUPS.items():
        lines += ["", "", f"class {group}(TypedDict, total=False):", f'    """{says}"""']
        for name, kind, comment in _fields_of(section):
            if name in apart:
                continue
            lines += ["", *_field(name, _given(name, kind), comment)]
            if (short := short_name(name)) != name:
                text = "str | float | None" if "None" in kind else "str | float"
                if "tuple" in kind:
                    text = "tuple[str | float, ...] | list[str | float]"
                lines += [f"    {short}: {text}", f'    """The same as `{name}`, with its unit: "{_example(name)}"."""']
    return _formatted(lines)


def _example(name: str) -> str:
    return "60s" if name.endswith("_ns") else "600/m"


def _field(name: str, kind: str, comment: str) -> Iterator[str]:
    yield f"    {name}: {kind}"
    if comment:
        yield f'    """{comment[0].upper()}{comment[1:]}{"" if comment[-1] in ".?" else "."}"""'


def _given(name: str, kind: str) -> str:
    """Return the type of an argument for a field of this type: lists where it has tuples, plain values."""
    kind = re.sub(r"\w+", lambda match: PLAIN.get(match[0], match[0]), kind)
    if kind.startswith("tuple["):
        inner = kind.removeprefix("tuple[").removesuffix(", ...]")
        kind = f"{kind} | list[{inner}]"
    return f"{kind} | {GIVEN_ALSO[name]}" if name in GIVEN_ALSO else kind


def _fields_of(section: type[Section]) -> Iterator[tuple[str, str, str]]:
    """Yield name, type and comment of each field of a struct, as its source has them."""
    source = (SOURCES / "config" / "settings.py").read_text()
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if not isinstance(node, ast.ClassDef) or node.name != section.__name__:
            continue
        for field in node.body:
            if isinstance(field, ast.AnnAssign):
                yield ast.unparse(field.target), ast.unparse(field.annotation), _comment(lines, field)


def _comment(lines: list[str], field: ast.AnnAssign) -> str:
    """Return the comment behind a field, or on the lines right before it."""
    behind = lines[field.end_lineno - 1][field.end_col_offset :].partition("#")[2].strip() if field.end_lineno else ""
    return behind.replace('"', "'").replace("\\", "")


def _formatted(lines: list[str]) -> str:
    """Return the text as `ruff format` leaves it."""
    words = [sys.executable, "-m", "ruff", "format", "--quiet", "--line-length", "120", "-"]
    return subprocess.run(words, input="\n".join(lines) + "\n", capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    FIGURES.write_text(figures())
    OPTIONS.write_text(options())
