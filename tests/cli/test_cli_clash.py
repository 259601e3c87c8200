"""Another distribution with the import name `lens` is told, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from lens.cli.clash import clash_warning, other_distribution


@pytest.mark.parametrize(
    ("folder", "other"),
    [
        ("lens-1.2.3.dist-info", "lens 1.2.3"),
        ("Lens-0.5.egg-info", "Lens 0.5"),
        ("llm_latency_lens-0.2.0.dist-info", None),
        ("lens_studio-1.0.dist-info", None),
        ("lens", None),
    ],
)
def test_the_metadata_of_a_distribution_of_that_name_is_found(tmp_path, folder, other):
    (tmp_path / folder).mkdir()
    assert other_distribution(tmp_path) == other
    warning = clash_warning(str(tmp_path / "lens" / "cli"))
    assert (warning is None) == (other is None)
    if warning:
        assert "pipx install llm-latency-lens" in warning
        assert other in warning


def test_a_folder_that_cannot_be_read_holds_none(tmp_path):
    assert other_distribution(tmp_path / "nowhere") is None
