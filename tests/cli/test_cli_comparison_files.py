"""Where a comparison is written, and who writes the other formats of one command."""

from pathlib import Path

import pytest

from lens.analysis.sides import Compared
from lens.cli.comparison_files import FORMATS, ComparisonFiles, places_of_flags, without_own
from lens.cli.settings import Settings
from lens.config.settings import ExportConfig, OutputConfig, RunConfig, TargetConfig
from lens.errors import ConfigError, FileError
from lens.pricing import PriceBook
from lens.run.outputs import Destination


def settings(*formats, output=None):
    exports = tuple(ExportConfig(format=name) for name in formats)
    config = RunConfig(targets=(TargetConfig(provider="simulator"),), output=OutputConfig(exports=exports))
    return Settings(config=config, book=PriceBook(), output=output, force=False, ui="none")


def test_the_driver_writes_what_holds_requests_alone():
    rest, own = without_own(settings("json", "jsonl", "junit", output="run.json"))
    assert [str(place.path) for place in own] == ["run.json", "run.xml"]
    assert [(one.format, one.file) for one in rest.config.output.exports] == [("jsonl", "run.jsonl")]
    assert rest.output is None


def test_a_command_without_a_comparison_to_write_is_as_it_was():
    asked = settings("jsonl", output="run.jsonl")
    assert without_own(asked) == (asked, [])


@pytest.mark.parametrize(
    ("flags", "paths"),
    [
        ({}, []),
        ({"output": "a.csv"}, ["a.csv"]),
        ({"output": "a.xml"}, ["a.xml"]),
        ({"output": "a.txt"}, ["a.txt"]),
        ({"output": "a", "export": "json,csv"}, ["a.json", "a.csv"]),
        ({"export": "json"}, ["None"]),
    ],
)
def test_files_are_named_by_the_flags(flags, paths):
    given = {"output": None, "output_dir": None, "export": None} | flags
    assert [str(place.path) for place in places_of_flags(given)] == paths


def test_a_format_of_requests_is_refused():
    with pytest.raises(ConfigError, match="--export parquet: it holds the requests of one run"):
        places_of_flags({"output": None, "output_dir": None, "export": "parquet"})


def test_a_file_that_exists_is_refused_before_anything_is_done(tmp_path):
    (tmp_path / "a.json").write_text("mine")
    places = places_of_flags({"output": str(tmp_path / "a.json"), "output_dir": None, "export": "json"})
    with pytest.raises(FileError, match="exists"), ComparisonFiles(places, force=False):
        pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_one_output_that_cannot_be_written_takes_no_other_with_it(tmp_path):
    full, whole = Path("/dev/full"), tmp_path / "a.csv"
    places = [Destination(FORMATS["json"], full), Destination(FORMATS["csv"], whole)]
    with ComparisonFiles(places, force=False) as files:
        trouble = files.write(Compared(sides=(), comparisons=()))
    assert trouble == "cannot write /dev/full: No space left on device"
    assert list(files.complete) == [whole]
    assert whole.read_text().startswith("target,provider,model")
