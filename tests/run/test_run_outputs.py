"""What becomes of a run whose outputs cannot be made: it is rescued, and said where it is."""

import pytest

from lens.config.settings import ExportConfig, LoadConfig, OutputConfig, PromptConfig, RunConfig, TargetConfig
from lens.export import formats
from lens.history.read import read_run
from lens.run.driver import RunOptions, run
from lens.simulator import make_script, start


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


@pytest.mark.parametrize(
    ("kind", "says"), [("Hungry", "no memory is left to make the outputs"), ("Broken", "ValueError: of a plugin")]
)
async def test_a_run_whose_export_breaks_is_rescued(kind, says, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    mine = formats.Format(name="mine", suffix=".mine", where=f"{__name__}:{kind}", says="of a test")
    monkeypatch.setitem(formats.FORMATS, "mine", mine)
    with start(make_script(ttft="1ms", itl="1ms", tokens=3)) as handle:
        config = RunConfig(
            targets=(TargetConfig(provider="openai", model="m", base_url=f"{handle.url}/v1"),),
            load=LoadConfig(iterations=3),
            prompts=PromptConfig(texts=("Hello",)),
            output=OutputConfig(exports=(ExportConfig(format="mine"),)),
        )
        result = await run(config, options=RunOptions(output=str(tmp_path / "run.mine")))
    assert says in result.trouble
    assert result.exit_code == 2
    (rescued,) = tmp_path.glob("lll-rescued-*.msgpack")
    assert str(rescued) in result.trouble
    assert len(read_run(rescued).records) == 3
