"""The questions of `lll doctor` go through the driver: one spend ceiling for all, and other loads are refused."""

from __future__ import annotations

import msgspec
import pytest

from lens.analysis.diagnosis.diagnose import diagnose
from lens.config.settings import LoadConfig, OutputConfig, PromptConfig, RunConfig, TargetConfig
from lens.errors import ConfigError
from lens.model import Status
from lens.orchestrator.stop import Stop
from lens.pricing import parse_price, standard_book
from lens.run.probes import Asking, examine

BOOK = standard_book([parse_price("in=3,out=15")])
QUICK = (("x-lens-script", "ttft=5ms,itl=1ms"),)
TARGETS = (TargetConfig(provider="simulator", model="m", headers=QUICK),)
SHORT = Asking(times=1, at_once=2, prompt_tokens=100, answer_tokens=20)


async def examined(load):
    return await examine(RunConfig(targets=TARGETS, load=load), BOOK, SHORT, on_question=lambda _: None, stop=Stop())


async def test_every_question_is_asked_and_numbered_through():
    found = await examined(LoadConfig())
    assert [one.index for one in found.records] == list(range(7))
    assert len({one.stage for one in found.records}) == 6
    assert found.over_budget is None


async def diagnosed(script):
    target = msgspec.structs.replace(TARGETS[0], headers=(("x-lens-script", script),))
    config = RunConfig(targets=(target,))
    found = await examine(config, BOOK, SHORT, on_question=lambda _: None, stop=Stop())
    diagnosis = diagnose(found.records)
    return found, {one.cause: one for one in (*diagnosis.findings, *diagnosis.fine)}


async def test_a_server_that_holds_tool_arguments_back_is_found():
    _, found = await diagnosed("ttft=5ms,itl=10ms,tokens=10,tool=100,tool-buffered")
    assert found["tool arguments"].kind == "warning"
    assert "holds tool arguments back until they are complete" in found["tool arguments"].says


async def test_a_server_that_streams_tool_arguments_is_not_blamed():
    _, found = await diagnosed("ttft=5ms,itl=10ms,tokens=10,tool=100")
    assert "tool arguments" not in found or found["tool arguments"].kind == "fine"


async def test_a_server_that_knows_no_tools_has_no_failure_for_it(monkeypatch):
    monkeypatch.setattr("lens.run.probes.tool_body", lambda _: {"model": ""})  # refused by any server
    found, _ = await diagnosed("ttft=5ms,itl=1ms,tokens=10,models=m")
    assert {one.status for one in found.records} == {Status.SUCCESS}
    assert found.notes == ("tool call: not answered (not_found); it may know no tools",)


async def test_a_ceiling_counts_for_all_questions_together():
    found = await examined(LoadConfig(max_cost_usd="0.001"))
    assert 0 < len(found.records) < 6
    assert found.over_budget.startswith("--max-cost $")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"prompts": PromptConfig(texts=("hi",))}, r"doctor: prompts\.texts"),
        ({"output": OutputConfig(save_text=True)}, r"doctor: output\.save_text"),
        ({"thresholds": ("ttft_p50<1",)}, "doctor: thresholds"),
    ],
)
async def test_so_is_what_only_a_load_has(fields, says):
    config = RunConfig(targets=TARGETS, **fields)
    with pytest.raises(ConfigError, match=says):
        await examine(config, BOOK, SHORT, on_question=lambda _: None, stop=Stop())


@pytest.mark.parametrize("load", [{"rate_per_s": 5.0}, {"until": "ttft_p50 5%"}, {"workers": 2}, {"cooldown": "3"}])
async def test_what_the_questions_decide_is_refused_by_its_name(load):
    with pytest.raises(ConfigError, match=rf"doctor: load\.{next(iter(load))}"):
        await examined(LoadConfig(**load))
