"""docs/optimize.md: its programs and its commands run as printed, and it names all criteria and presets."""

from __future__ import annotations

import re
import shlex
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import forks

from lens.analysis.optimize.presets import OBJECTIVES, PRESETS

PAGE = (Path(__file__).parent.parent / "docs" / "optimize.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_its_programs_run(tmp_path: Path) -> None:
    codes = blocks("python")
    assert len(codes) == 2
    run_code = partial(forks.server().run, first=forks.QUICK_SIMULATOR, cwd=tmp_path)
    with ThreadPoolExecutor(len(codes)) as side_by_side:
        ended = list(side_by_side.map(lambda code: run_code(code=code), codes))
    for code, done in zip(codes, ended, strict=True):
        assert (done.returncode, done.stderr) == (0, ""), code
    assert ended[0].stdout.startswith("simulator/")
    assert ended[1].stdout.startswith("quick ")


def test_its_commands_run_one_after_the_other(tmp_path: Path) -> None:
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    assert len(lines) == 4
    for line in lines:
        done = forks.server().run(shlex.split(line)[1:], first=forks.QUICK_SIMULATOR, cwd=tmp_path)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        assert done.stdout


def test_it_names_every_criterion_and_preset() -> None:
    for name in (*OBJECTIVES, *PRESETS):
        assert f"| {name} |" in PAGE
