"""The manual page says what the help says; shells complete the words of both commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import HANG_S

from lens.cli.main import COMMANDS

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT / "tools"))


def test_the_manual_page_has_every_command_and_no_line_that_roff_would_obey() -> None:
    from man_page import man_page

    page = man_page()
    for name in COMMANDS:
        assert f".SS lll {name}" in page
    assert "\\-\\-help\\-all" in page
    macros = {line.split()[0] for line in page.splitlines() if line.startswith((".", "'"))}
    assert macros <= {".TH", ".SH", ".SS", ".PP", ".TP", ".B", ".I", ".br", ".nf", ".fi"}


@pytest.mark.parametrize("program", ["lll", "llm-latency-lens"])
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("be", ["benchmark"]),
        ("profile --provi", ["--provider"]),
        ("profile --provider oll", ["ollama-openai", "ollama"]),
        ("config ch", ["check"]),
        ("benchmark --request-r", []),  # another tool's name
    ],
)
def test_a_shell_completes_commands_options_and_providers(program: str, words: str, completed: list[str]) -> None:
    variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
    typed = f"{program} {words}"
    done = subprocess.run(
        [sys.executable, "-m", "lens"], capture_output=True, text=True, timeout=HANG_S, check=True,
        env=os.environ | {variable: "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)},
    )  # fmt: skip
    assert [line.partition(",")[2] for line in done.stdout.splitlines() if line] == completed


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_one_that_it_takes(shell: str, tmp_path: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed; apt-get install {shell}")
    script = subprocess.run(
        [sys.executable, "-m", "lens"], capture_output=True, text=True, timeout=HANG_S, check=True,
        env=os.environ | {"_LLL_COMPLETE": f"{shell}_source"},
    ).stdout  # fmt: skip
    (tmp_path / "script").write_text(script)
    subprocess.run([program, "-n", str(tmp_path / "script")], timeout=HANG_S, check=True)
