"""What the core installs for other C and Cython code: names that clash with nobody's, and no data to copy."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from waiting import HANG_S

from lens import _core

CORE = Path(_core.__file__).parent
HEADERS = sorted(CORE.glob("*.h"))
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def code_of(header: Path) -> str:
    return COMMENT.sub("", header.read_text())


def names_of(code: str) -> set[str]:
    """Functions, types, constants and macros that an include brings into scope."""
    names = set(re.findall(r"^(?!return|else)[a-z][\w ]*[ *](\w+)\(", code, re.MULTILINE))
    names |= set(re.findall(r"^\} (\w+);", code, re.MULTILINE))
    names |= set(re.findall(r"^#\s*define (\w+)", code, re.MULTILINE))
    for body in re.findall(r"^enum \{(.*?)\};", code, re.MULTILINE | re.DOTALL):
        names |= {part.split("=")[0].strip() for part in body.split(",") if part.strip()}
    return names


@pytest.mark.parametrize("header", HEADERS, ids=lambda path: path.name)
def test_every_name_of_an_installed_header_has_the_prefix(header):
    names = names_of(code_of(header))
    assert names
    assert {name for name in names if not name.startswith(("lens_", "LENS_"))} == set()


@pytest.mark.parametrize("header", HEADERS, ids=lambda path: path.name)
def test_no_header_holds_data_that_each_includer_would_have_a_copy_of(header):
    assert re.findall(r"^static (?!inline\b)(?!.*\bconst\b).*", code_of(header), re.MULTILINE) == []


@pytest.mark.parametrize("header", HEADERS, ids=lambda path: path.name)
def test_a_header_can_be_included_by_itself(header, tmp_path):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler on this machine")
    source = tmp_path / "alone.c"
    source.write_text(f'#include "{header.name}"\n#include "{header.name}"\nint main(void) {{ return 0; }}\n')
    flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", CORE]
    done = subprocess.run([compiler, *flags, source], capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stderr
