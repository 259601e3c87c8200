"""The pages under docs/: they build without a warning, and every example in them runs as printed."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import click
import forks
import pytest
from needs import need_package
from waiting import HANG_S

import lens
from lens.cli.main import COMMANDS, lll
from lens.config.load import VARIABLES
from lens.errors import ExitCode
from lens.metrics.definitions import METRICS
from lens.orchestrator.sessions.sources import NAMES

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)


def run(line: str, place: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run a command line of a page, which begins with `lll`."""
    return forks.server().run([*shlex.split(line)[1:], *more], first=forks.QUICK_SIMULATOR, cwd=place)


def run_all(codes: list[str], place: Path) -> list[subprocess.CompletedProcess[str]]:
    """Run programs of a page side by side."""
    run_code = partial(forks.server().run, first=forks.QUICK_SIMULATOR, cwd=place)
    with ThreadPoolExecutor(len(codes)) as side_by_side:
        return list(side_by_side.map(lambda code: run_code(code=code), codes))


@pytest.mark.parametrize("page", ["library.md", "test-bench.md", "auto-optimizer.md", "sessions.md"])
def test_the_code_of_a_page_runs(page: str, tmp_path: Path) -> None:
    codes = [code for code in blocks(page, "python") if "print(" in code]
    for code, done in zip(codes, run_all(codes, tmp_path), strict=True):
        assert (done.returncode, done.stderr) == (0, ""), code
        assert done.stdout


def test_the_commands_of_the_test_bench_page_run(tmp_path: Path) -> None:
    for line in [line for block in blocks("test-bench.md", "bash") for line in block.splitlines()]:
        done = run(line, tmp_path)
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"


def test_the_config_of_the_page_on_keys_is_one(tmp_path: Path) -> None:
    (toml,) = blocks("keys.md", "toml")
    (tmp_path / "keys.toml").write_text(toml)
    targets = lens.load_config(tmp_path / "keys.toml", {}).targets
    assert [target.api_key_command or target.api_key_keyring for target in targets] == [
        "pass show openai",
        "anthropic/me",
    ]


def test_the_example_of_the_page_on_sessions_runs(tmp_path: Path) -> None:
    (rows,) = blocks("sessions.md", "jsonl")
    (tmp_path / "talks.jsonl").write_text(rows)
    (toml,) = blocks("sessions.md", "toml")
    (tmp_path / "config.toml").write_text(toml)
    assert lens.load_config(tmp_path / "config.toml", {}).sessions.rate_per_s == 2
    lines = [line for block in blocks("sessions.md", "bash") for line in block.splitlines() if line.startswith("lll ")]
    script = ["-H", "x-lens-script: ttft=5ms,itl=1ms,tokens=5"]
    for line in lines:
        done = run(line, tmp_path, *script)
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    assert '"turn":2' in (tmp_path / "run.jsonl").read_text()


def test_the_page_on_sessions_names_every_format() -> None:
    named = set(
        re.findall(r"^\| `([\w-]+)` \|", (DOCS / "sessions.md").read_text().partition("## Formats")[2], re.MULTILINE)
    )
    assert named == set(NAMES)


def test_the_commands_of_the_command_line_page_run(tmp_path: Path) -> None:
    lines = [line for block in blocks("cli.md", "bash") for line in block.splitlines() if line.startswith("lll ")]
    reads = [
        line for line in lines if line.startswith("lll merge") or ("run.jsonl" in line and "-o run.jsonl" not in line)
    ]
    # Who reads what another wrote comes after; all others may come at once.
    for batch in ([line for line in lines if line not in reads], reads):
        assert batch
        with ThreadPoolExecutor(len(batch)) as side_by_side:
            ended = list(side_by_side.map(lambda line: run(line, tmp_path), batch))
        for line, done in zip(batch, ended, strict=True):
            assert done.returncode == 0, f"{line}: {done.stderr}"


# Pages whose commands are run one after another, each page in a folder of its own.
IN_ORDER = ("start", "endpoint", "result", "patterns", "ci", "cold-starts", "environment", "precision", "tools")


def run_page(page: str, folder: Path) -> list[str]:
    """Return the commands of a page that failed, with what they said."""
    folder.mkdir()
    lines = [line for block in blocks(f"{page}.md", "bash") for line in block.splitlines()]
    assert lines, page
    ended = [(line, run(line, folder)) for line in lines]
    return [f"{page}: {line}: {done.stderr}" for line, done in ended if done.returncode]


def test_the_commands_of_the_other_pages_run(tmp_path: Path) -> None:
    with ThreadPoolExecutor(len(IN_ORDER)) as side_by_side:
        failed = list(side_by_side.map(lambda page: run_page(page, tmp_path / page), IN_ORDER))
    # What gates measure beside so many others may be too noisy to judge.
    alone = [page for page, said in zip(IN_ORDER, failed, strict=True) if said]
    assert not [one for page in alone for one in run_page(page, tmp_path / f"{page} alone")]


def options_of(words: list[str]) -> set[str]:
    """Return the options that a command has, hidden ones too."""
    command: click.Command = lll
    for word in words:
        if isinstance(command, click.Group) and (below := command.get_command(click.Context(command), word)):
            command = below
    return {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help-all"}


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_every_option_in_a_command_of_a_page_exists(page: str) -> None:
    commands = re.findall(r"\blll ((?:[a-z]+ )[^`|\n#;)]*)", (DOCS / page).read_text())
    for text in commands:
        words = text.split()
        named = {word.partition("=")[0] for word in words if re.fullmatch(r"--[a-z][\w-]+(=.*)?", word)}
        assert not named or words[0] in COMMANDS, text
        assert not named or named <= options_of(words[:2]) | {"--help", "--version"}, text


def test_every_variable_of_the_program_is_in_its_page() -> None:
    page = (DOCS / "environment.md").read_text()
    assert not [name for name in ("LLL_CONFIG_FILE", *VARIABLES) if f"`{name}`" not in page]


def test_every_exit_code_is_in_its_page() -> None:
    codes = [value for name, value in vars(ExitCode).items() if name.isupper()]
    assert re.findall(r"^\| (\d+) \|", (DOCS / "environment.md").read_text(), re.MULTILINE) == [str(n) for n in codes]


def test_every_public_name_has_its_page() -> None:
    shown = {name.rpartition(".")[2] for name in re.findall(r"^::: (\S+)", (DOCS / "api.md").read_text(), re.MULTILINE)}
    assert {name for name in lens.__all__ if name[0].isalpha()} - shown <= {
        "LensError",
        "RunInterrupted",
        "Calibration",
    }


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_links_to_exists_in_a_checkout(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.M))
    assert not [link for link in links if "://" not in link and not (page.parent / link).exists()]


def test_the_pages_build_without_a_warning(tmp_path: Path) -> None:
    need_package("mkdocs", "pip install 'llm-latency-lens[docs]'")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=HANG_S, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    shown = {page: (tmp_path / "site" / page / "index.html").read_text() for page in ("library", "metrics", "commands")}
    assert "ttft_ms" in shown["library"]
    assert not [name for name in METRICS if name not in shown["metrics"]]
    assert not [name for name in COMMANDS if f"lll {name}" not in shown["commands"]]
