"""The forms for issues are what GitHub takes."""

import subprocess
import sys
from pathlib import Path

import pytest
from needs import need_package
from waiting import HANG_S

FORMS = Path(__file__).parents[2] / ".github" / "ISSUE_TEMPLATE"


@pytest.mark.parametrize("form", sorted(path.name for path in FORMS.glob("*.yml")))
def test_a_form_keeps_to_githubs_schema(form):
    need_package("check_jsonschema", "pip install check-jsonschema")
    schema = "vendor.github-issue-config" if form == "config.yml" else "vendor.github-issue-forms"
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(FORMS / form)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 0, done.stdout
