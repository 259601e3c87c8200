"""What becomes of a run whose outputs cannot be made: it is rescued, and said where it is."""

import faulthandler
import os
import signal
import sys

import pytest
from msgspec.structs import replace

from lens.config.settings import ExportConfig, LoadConfig, OutputConfig, PromptConfig, RunConfig, TargetConfig
from lens.export import formats
from lens.history.read import read_run
from lens.run.driver import RunOptions, run
from lens.run.outputs import destinations, exports_to_stdout
from lens.simulator import make_script, start

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="nothing is isolated elsewhere")


class Hungry:
    """An export that needs more memory than there is."""

    def __init__(self, info, book, *, single):
        pass

    def write(self, table, info, summary):
        yield b"the beginning"
        raise MemoryError


class Broken(Hungry):
    def write(self, table, info, summary):
        raise ValueError("of a plugin")


class Crashing(Hungry):
    def write(self, table, info, summary):
        yield b"the beginning"
        faulthandler.disable()
        os.kill(os.getpid(), signal.SIGBUS)


async def run_with(names, kind, folder, monkeypatch):
    """Return a run of three requests that is written in these formats; "mine" is of this kind."""
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setattr(formats, "memory_is_limited", lambda: kind == "Crashing")
    mine = formats.Format(name="mine", suffix=".mine", where=f"{__name__}:{kind}", says="of a test", isolated=True)
    monkeypatch.setitem(formats.FORMATS, "mine", mine)
    with start(make_script(ttft="1ms", itl="1ms", tokens=3)) as handle:
        config = RunConfig(
            targets=(TargetConfig(provider="openai", model="m", base_url=f"{handle.url}/v1"),),
            load=LoadConfig(iterations=3),
            prompts=PromptConfig(texts=("Hello",)),
            output=OutputConfig(exports=tuple([ExportConfig(format=name) for name in names])),
        )
        return await run(config, options=RunOptions(output=str(folder / "run.out")))


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("Hungry", "no memory is left to make the outputs"),
        ("Broken", "ValueError: of a plugin"),
        pytest.param("Crashing", "no memory is left to make the outputs", marks=on_linux),
    ],
)
async def test_a_run_whose_export_breaks_is_rescued(kind, says, tmp_path, monkeypatch):
    result = await run_with(["mine"], kind, tmp_path, monkeypatch)
    assert says in result.trouble
    assert result.exit_code == 2
    (rescued,) = tmp_path.glob("lll-rescued-*.msgpack")
    assert str(rescued) in result.trouble
    assert len(read_run(rescued).records) == 3


BUILT_IN = [name for name, one in formats.FORMATS.items() if name != "prometheus-seconds"]  # its file is prometheus'


@pytest.mark.parametrize("place", [0, len(BUILT_IN)])
async def test_an_export_that_breaks_leaves_every_other_complete(place, tmp_path, monkeypatch):
    result = await run_with([*BUILT_IN[:place], "mine", *BUILT_IN[place:]], "Broken", tmp_path, monkeypatch)
    written = {tmp_path / f"run{formats.FORMATS[name].suffix}" for name in BUILT_IN}
    assert set(result.paths) == written
    assert all(path.stat().st_size for path in written)
    assert not list(tmp_path.glob("*.partial"))  # of what broke nothing had been written
    assert "the mine output cannot be made: ValueError: of a plugin" in result.trouble
    assert f"what was measured is in {tmp_path / 'run.json'}" in result.trouble  # and is not written once more
    assert not list(tmp_path.glob("lll-rescued-*"))
    assert not list(tmp_path.glob("*.journal.*"))
    assert (result.exit_code, len(read_run(tmp_path / "run.jsonl").records)) == (2, 3)


@pytest.mark.parametrize("broken", BUILT_IN)
async def test_a_built_in_export_that_breaks_takes_no_other_with_it(broken, tmp_path, monkeypatch):
    monkeypatch.setitem(formats.FORMATS, broken, replace(formats.FORMATS[broken], where=f"{__name__}:Broken"))
    result = await run_with(BUILT_IN, "Broken", tmp_path, monkeypatch)
    whole = {f"run{formats.FORMATS[name].suffix}" for name in BUILT_IN if name != broken}
    assert {path.name for path in result.paths} == whole
    assert {path.name for path in tmp_path.iterdir()} - {f"run{formats.FORMATS[broken].suffix}.partial"} == whole


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1"])
@pytest.mark.parametrize("in_config", [False, True])
def test_an_export_to_standard_output_is_known_by_any_name(name, in_config):
    output = OutputConfig(exports=(ExportConfig(format="jsonl", file=name if in_config else None),))
    said = None if in_config else name
    assert exports_to_stdout(output, said)
    config = RunConfig(targets=(TargetConfig(provider="openai"),), output=output)
    assert [place.path for place in destinations(config, said)] == [None]
    assert not exports_to_stdout(output, "run.jsonl")
