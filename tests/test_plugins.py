"""Plugins as an installed distribution brings them: an entry point in a dist-info folder on the path."""

from __future__ import annotations

import pytest
from handmade import INFO, record

from lens import plugins
from lens.errors import ConfigError
from lens.export.formats import format_named, open_export
from lens.metrics.builder import table_of
from lens.metrics.summarize import summarize
from lens.pricing import PriceBook


@pytest.fixture
def installed(tmp_path, monkeypatch):
    info = tmp_path / "lens_extra-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lens-extra\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lens.exporters]\nshout = lens_extra:Shout\nbroken = lens_extra_absent:X\n")
    (tmp_path / "lens_extra.py").write_text(
        "class Shout:\n"
        "    def __init__(self, info, book, *, single):\n        pass\n"
        "    def begin(self):\n        return b'HEAR\\n'\n"
        "    def add(self, record):\n        return b'!'\n"
        "    def end(self, info, summary):\n        return b'\\n'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("installed")
def test_a_format_of_a_plugin_takes_records_one_by_one():
    export = open_export(format_named("shout"), INFO, PriceBook())
    table = table_of([record(), record(index=1)], INFO)
    assert b"".join(export.write(table, INFO, summarize(table))) == b"HEAR\n!!\n"


@pytest.mark.usefixtures("installed")
def test_a_plugin_that_cannot_be_loaded_is_named_with_its_reason():
    assert plugins.names("lens.exporters") == ["broken", "shout"]
    with pytest.raises(ConfigError, match=r"'broken' \(lens_extra_absent:X\) failed to load: ModuleNotFoundError"):
        plugins.load("lens.exporters", "broken")


def test_an_absent_plugin_is_reported():
    with pytest.raises(ConfigError, match=r"no plugin 'shout' in lens\.exporters; installed are none"):
        plugins.load("lens.exporters", "shout")
