"""What ships: pinned workflows with few rights, bounded dependencies, a hardened core of reproducible bytes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from needs import need_program
from waiting import HANG_S

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def jobs(path: Path) -> dict[str, dict]:
    return yaml.safe_load(path.read_text())["jobs"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_hash_and_says_its_version(path):
    used = re.findall(r"uses: (.*)", path.read_text())
    assert used
    for one in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one), one


def test_one_action_has_one_hash_everywhere():
    found = {one for path in WORKFLOWS for one in re.findall(r"uses: (\S+)@(\S+)", path.read_text())}
    assert len(found) == len({name for name, _ in found})


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_do_no_more_than_a_job_says(path):
    whole = yaml.safe_load(path.read_text())
    assert whole["permissions"] in ({}, {"contents": "read"})
    for job in whole["jobs"].values():
        assert job["timeout-minutes"] <= 120


def test_a_release_is_attested_and_published_without_a_password():
    made = jobs(ROOT / ".github" / "workflows" / "release.yml")
    assert "secrets." not in (ROOT / ".github" / "workflows" / "release.yml").read_text()
    assert made["pypi"]["permissions"] == {"id-token": "write"}
    assert made["pypi"]["environment"]["name"] == "pypi"
    assert made["pypi"]["needs"] == "attest"
    assert made["attest"]["needs"] == "check"
    assert set(made["check"]["needs"]) == {"wheels", "sdist"}
    used = [step.get("uses", "").partition("@")[0] for step in made["attest"]["steps"]]
    assert {"actions/attest-build-provenance", "actions/attest-sbom"} <= set(used)
    # Whoever may write to the index or the repository runs nothing of the sources.
    for job in made.values():
        if "write" in job["permissions"].values():
            assert "actions/checkout" not in {step.get("uses", "").partition("@")[0] for step in job["steps"]}


def test_what_a_user_installs_has_a_floor_and_a_ceiling():
    extras = PROJECT["project"]["optional-dependencies"]
    # What only developers install follows the newest.
    wanted = [one for name, some in extras.items() if name not in ("test", "sdks") for one in some]
    for one in [*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"], *wanted]:
        assert re.search(r">=[\d.]+,<[\d.]+$", one), one


@pytest.fixture(scope="module")
def clocks(tmp_path_factory) -> list[Path]:
    """One module of the core, built in two places."""
    if sys.platform != "linux":
        pytest.skip("the flags of the linker are those of Linux")
    need_program(("cc", "gcc"), "apt-get install gcc")
    beside = Path(sys.executable).parent
    cmake, ninja = (need_program(name, f"pip install {name}", beside) for name in ("cmake", "ninja"))
    environ = {**os.environ, "PATH": f"{beside}{os.pathsep}{os.environ['PATH']}"}
    found = []
    for name in ("here", "elsewhere/deeper"):
        folder = tmp_path_factory.mktemp("build") / name
        shutil.copytree(
            ROOT / "src" / "lens" / "_core", folder / "src/lens/_core", ignore=shutil.ignore_patterns("*.so")
        )
        (folder / "src/lens/__init__.py").touch()
        shutil.copy(ROOT / "CMakeLists.txt", folder)
        how = ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}", "-DCMAKE_BUILD_TYPE=Release",
               f"-DPython_EXECUTABLE={sys.executable}", "-DLENS_CORE_MODULES=clock"]  # fmt: skip
        for words in ([cmake, "-S", ".", "-B", "out", *how], [ninja, "-C", "out", "clock"]):
            done = subprocess.run(words, capture_output=True, text=True, timeout=HANG_S, cwd=folder, env=environ)
            assert done.returncode == 0, done.stdout + done.stderr
        found += (folder / "out").glob("clock.*.so")
    assert len(found) == 2
    return found


def test_the_core_is_the_same_bytes_wherever_it_is_built(clocks):
    first, second = (path.read_bytes() for path in clocks)
    assert first == second


def test_the_core_is_hardened(clocks):
    readelf = need_program("readelf", "apt-get install binutils")
    said = subprocess.run([readelf, "-dlsW", str(clocks[0])], capture_output=True, text=True, timeout=HANG_S).stdout
    assert "BIND_NOW" in said
    assert "GNU_RELRO" in said
    assert re.search(r"GNU_STACK .* RW ", said)
    flags = (clocks[0].parent / "build.ninja").read_text()
    assert "-fstack-protector-strong" in flags
    assert "-D_FORTIFY_SOURCE=2" in flags
