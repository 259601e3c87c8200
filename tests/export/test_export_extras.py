"""Formats whose library is not installed: the word that says what to install."""

import sys

import pytest

from lens.errors import ConfigError, ExitCode
from lens.export.extras import check_installed, need


def test_what_is_installed_is_imported():
    assert need("json", "push", "--influx") is sys.modules["json"]


@pytest.mark.parametrize("module", ["surely_not_there_7", "surely_not_there_7.inner"])
def test_what_is_not_is_named_with_the_way_to_get_it(module):
    with pytest.raises(ConfigError) as caught:
        need(module, "parquet", "--export parquet")
    said = "--export parquet needs surely_not_there_7: pip install 'llm-latency-lens[parquet]'"
    assert str(caught.value) == said
    assert caught.value.exit_code == ExitCode.USAGE


def test_one_that_cannot_be_loaded_is_told_like_one_that_is_missing(tmp_path, monkeypatch):
    (tmp_path / "half_there_7.py").write_text("import surely_not_there_7\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="needs half_there_7"):
        need("half_there_7", "push", "--influx")


def test_one_that_does_not_fit_into_memory_is_not_told_to_be_missing(tmp_path, monkeypatch):
    (tmp_path / "too_large_7.py").write_text("raise ImportError('libx.so: failed to map segment from shared object')\n")
    (tmp_path / "broken_7.py").write_text("raise ImportError('libx.so: undefined symbol: y')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MemoryError):
        need("too_large_7", "parquet", "--export parquet")
    with pytest.raises(ConfigError, match="broken_7, which cannot be loaded: libx"):
        need("broken_7", "parquet", "--export parquet")


def test_what_is_needed_later_is_looked_for_without_loading_it(tmp_path, monkeypatch):
    (tmp_path / "is_there_7.py").write_text("raise AssertionError\n")
    monkeypatch.syspath_prepend(tmp_path)
    check_installed("is_there_7.inner", "parquet", "--export parquet")
    check_installed("sys", "parquet", "--export parquet")
    assert "is_there_7" not in sys.modules
    monkeypatch.setitem(sys.modules, "is_there_7", None)
    for missing in ("is_there_7", "surely_not_there_7.inner"):
        with pytest.raises(ConfigError, match="pip install 'llm-latency-lens"):
            check_installed(missing, "parquet", "--export parquet")
