"""What other package managers are told is what pyproject.toml says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import lens

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RECIPE = yaml.safe_load((ROOT / "packaging" / "conda" / "recipe.yaml").read_text())
FORMULA = (ROOT / "packaging" / "homebrew" / "llm-latency-lens.rb").read_text()
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def names(wanted: list[str]) -> set[str]:
    """The requirements without blanks: click>=8.1,<9."""
    return {one.replace(" ", "") for one in wanted}


def test_the_recipe_wants_what_the_package_wants():
    assert names(RECIPE["requirements"]["run"]) - {"python"} == set(PROJECT["project"]["dependencies"])
    assert names(RECIPE["requirements"]["host"]) - {"python", "pip"} == set(PROJECT["build-system"]["requires"])
    points = [f"{name} = {where}" for name, where in PROJECT["project"]["scripts"].items()]
    assert sorted(RECIPE["build"]["python"]["entry_points"]) == sorted(points)


def test_recipe_and_formula_are_of_this_version():
    assert RECIPE["context"]["version"] == lens.__version__
    assert f"llm_latency_lens-{lens.__version__}.tar.gz" in FORMULA


def test_the_changelog_has_this_version():
    assert re.search(rf"^## \[{re.escape(lens.__version__)}\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", [*WORKFLOWS, ROOT / "action.yml"], ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_hash(path):
    used = re.findall(r"uses: (\S+)", path.read_text())
    assert not [one for one in used if not re.search(r"@[0-9a-f]{40}$", one) and not one.startswith("llm-devops/")]


def test_every_system_of_the_classifiers_has_a_wheel_in_the_release():
    release = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
    systems = " ".join(release["jobs"]["wheels"]["strategy"]["matrix"]["os"])
    for classifier, system in (("MacOS", "macos"), ("Microsoft :: Windows", "windows"), ("POSIX :: Linux", "ubuntu")):
        assert f"Operating System :: {classifier}" in PROJECT["project"]["classifiers"]
        assert system in systems


def test_on_the_package_index_every_link_of_the_readme_leads_to_a_file_of_the_release():
    text = (ROOT / "README.md").read_text()
    for one in PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(one["pattern"], one["replacement"], text)
    links = re.findall(r"(!?)\[[^\]]*\]\(([^)]+)\)", text)
    source = PROJECT["project"]["urls"]["Source"]
    places = {
        "!": f"{source.replace('github.com', 'raw.githubusercontent.com')}/v$HFPR_VERSION/",
        "": f"{source}/blob/v$HFPR_VERSION/",
    }
    ours = [(places[image], url) for image, url in links if "$HFPR_VERSION" in url]
    assert {place for place, _ in ours} == set(places.values())
    assert all(url.startswith(place) and (ROOT / url.removeprefix(place)).is_file() for place, url in ours)
    assert all(url.startswith("https://") for _, url in links)
