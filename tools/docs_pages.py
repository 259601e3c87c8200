"""Pages that mkdocs makes from the program itself: metrics from their definitions, commands from their help.

A hook of mkdocs.yml. The two pages exist only in the built site, so they cannot be out of date.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner
from mkdocs.structure.files import File, Files

from lens.cli.main import COMMANDS, lll
from lens.metrics.definitions import METRICS, Metric

ROOT = Path(__file__).parent.parent
KINDS = {
    "request": "Of a request",
    "pooled": "Of a request, several values each",
    "cost": "Cost of a request",
    "run": "Of a whole run",
}
BETTER = {"lower": "lower", "higher": "higher", None: "-"}


def metrics_page() -> str:
    """Return the reference of metrics, a table per kind."""
    lines = [
        "# Metrics",
        "",
        "Made from the definitions in `lens.metrics.definitions`. `lll explain METRIC RUN` shows the events behind it;",
        "percentiles of any metric of a request are written `ttft_p95` in thresholds and exports.",
    ]
    for kind, title in KINDS.items():
        lines += [
            "",
            f"## {title}",
            "",
            "| metric | unit | better | formula | read from | also |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_row(metric) for metric in METRICS.values() if metric.kind == kind]
    return "\n".join(lines) + "\n"


def _row(metric: Metric) -> str:
    cells = (
        f"`{metric.name}`",
        metric.unit,
        BETTER[metric.better],
        metric.formula,
        metric.source,
        ", ".join(f"`{name}`" for name in metric.aliases),
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def commands_page() -> str:
    """Return the reference of commands: what their help says, with every option."""
    lines = [
        "# Commands",
        "",
        "What `lll COMMAND --help-all` prints. Options are the same in every command that has them.",
    ]
    for name, words in _commands():
        shown = CliRunner().invoke(lll, [*words, "--help-all"], prog_name="lll", env={"COLUMNS": "96"}).output
        lines += ["", f"## lll {name}", "", "```text", shown.rstrip(), "```"]
    return "\n".join(lines) + "\n"


def _commands() -> Iterator[tuple[str, list[str]]]:
    for name in COMMANDS:
        command = lll.get_command(click.Context(lll), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from [(f"{name} {below}", [name, below]) for below in command.commands]
        else:
            yield name, [name]


def contributing_page() -> str:
    """Return CONTRIBUTING.md as a page of the site."""
    return (ROOT / "CONTRIBUTING.md").read_text().replace("](docs/", "](")


# What pages link to in a checkout, where the made pages are not: what they are made of, or the manual page.
IN_CHECKOUT = {
    "](../src/lens/metrics/definitions.py": "](metrics.md",
    "](../share/man/man1/lll.1": "](commands.md",
    "](../CONTRIBUTING.md": "](contributing.md",
}
PAGES = {"metrics.md": metrics_page, "commands.md": commands_page, "contributing.md": contributing_page}


def on_files(files: Files, *, config: Any) -> Files:
    """Add the made pages to those of docs/."""
    for name, make in PAGES.items():
        files.append(File.generated(config, name, content=make()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return the text of a page with links to made pages in place of those for a checkout."""
    for link, made in IN_CHECKOUT.items():
        markdown = markdown.replace(link, made)
    return markdown
