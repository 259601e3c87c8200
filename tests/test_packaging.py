"""What is installed is whole: commands, types, the core and its C interface.

These run on whatever `import lens` finds: the wheel in `make test`, the source tree otherwise.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from needs import need_program
from waiting import HANG_S

import lens

PACKAGE = Path(lens.__file__).parent
INSTALLED = "LENS_TEST_BUILD" in os.environ
CORE = ("clock", "tape", "signals", "chats", "frames", "inflater", "stream", "exchange", "reactor", "pacer", "tcp")

EMBEDDED = Path(__file__).parent.parent / "docs" / "examples" / "embedded-core"


def run(*args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(args, capture_output=True, text=True, timeout=HANG_S, check=False, cwd=cwd)


@pytest.mark.parametrize("module", CORE)
def test_each_part_of_the_core_comes_compiled_with_its_types_and_declarations(module: str) -> None:
    binary = PACKAGE / "_core" / f"{module}{sysconfig.get_config_var('EXT_SUFFIX')}"
    assert binary.is_file()
    assert binary.with_name(f"{module}.pyi").is_file()
    assert binary.with_name(f"{module}.pxd").is_file()


def test_every_module_of_the_sources_is_there() -> None:
    sources = Path(__file__).parent.parent / "src" / "lens"
    shipped = {".py", ".json", ".toml", ".js"}
    wanted = {path.relative_to(sources) for path in sources.rglob("*") if path.suffix in shipped}
    assert wanted == {path for path in wanted if (PACKAGE / path).is_file()}


def test_type_checkers_may_trust_the_package() -> None:
    assert (PACKAGE / "py.typed").is_file()


def test_the_wheel_holds_no_source_of_the_core_and_nothing_that_a_build_left() -> None:
    if not INSTALLED:
        pytest.skip("the source tree is tested, not a wheel; `make test` tests the wheel")
    kinds = {path.suffix for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert kinds <= {".py", ".pyi", ".pxd", ".h", ".so", ".typed", ".json", ".toml", ".html", ".css", ".js"}
    assert not {".pyx", ".c"} & kinds


def test_both_commands_are_the_same_program() -> None:
    if not INSTALLED:
        pytest.skip("the source tree has no commands; `make test` tests the wheel")
    scripts = {e.name: e.value for e in entry_points(group="console_scripts") if e.value.startswith("lens.")}
    assert scripts == {"lll": "lens.__main__:main", "llm-latency-lens": "lens.__main__:main"}
    for name in scripts:
        done = run(str(Path(sys.executable).with_name(name)), "--version")
        assert done.returncode == 0, done.stderr
        assert lens.__version__ in done.stdout


def test_the_module_runs_as_a_program(tmp_path: Path) -> None:
    done = run(sys.executable, "-m", "lens", "--version", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert lens.__version__ in done.stdout
    done = run(sys.executable, "-m", "lens", "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "benchmark" in done.stdout


def test_importing_the_package_or_asking_for_help_loads_nothing_heavy(tmp_path: Path) -> None:
    heavy = {"trio", "numpy", "rich", "h11", "ssl", "urllib3", "lens._core.reactor"}
    for module in ("lens", "lens.cli.main"):
        done = run(sys.executable, "-c", f"import sys, {module}; print(*sys.modules)", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert not heavy & set(done.stdout.split())


def test_another_harness_can_cimport_the_core(tmp_path: Path) -> None:
    compiler = need_program(("cc", "gcc"), "apt-get install gcc")
    shutil.copy(EMBEDDED / "harness.pyx", tmp_path)
    done = run(sys.executable, "-m", "cython", "-3", "-I", str(PACKAGE.parent), "harness.pyx", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    includes = [sysconfig.get_path("include"), str(PACKAGE / "_core")]
    flags = ["-O0", "-shared", "-fPIC", *(f"-I{path}" for path in includes)]
    done = run(compiler, *flags, "harness.c", "-o", "harness" + sysconfig.get_config_var("EXT_SUFFIX"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    code = (EMBEDDED / "README.md").read_text().split("```python\n")[1].split("```")[0]
    done = run(sys.executable, "-c", code, cwd=tmp_path)
    assert done.stderr == ""
    count, after_ns = re.fullmatch(r"(\d+) events, the last text after (\d+) ns\n", done.stdout).groups()
    assert int(count) == 3
    assert 0 < int(after_ns) < 10**11


def test_every_import_of_the_package_is_a_declared_dependency() -> None:
    import ast
    import tomllib

    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    declared = {text.split(">")[0].split("[")[0] for text in project["dependencies"]}
    for extra, wanted in project["optional-dependencies"].items():
        declared |= set() if extra == "test" else {text.split(">")[0].split("[")[0] for text in wanted}
    # Module -> distribution, where they differ.
    names = {"yaml": "pyyaml", "quicktok": "quicktok-v1", "google": "google-auth", "jsonschema_rs": "jsonschema-rs"}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for top in {m.split(".")[0] for m in modules} - {"lens"} - sys.stdlib_module_names:
                assert names.get(top, top) in declared, f"{path.name} imports {top}, which pyproject.toml does not name"
