"""Traces that are replayed: times of Azure's and BurstGPT's tables, and requests of their lengths."""

from __future__ import annotations

import pytest

from lens.config.settings import LoadConfig, PromptConfig, RunConfig, TargetConfig
from lens.errors import FileError
from lens.orchestrator.plan import make_plan
from lens.orchestrator.prompts import read_prompts
from lens.orchestrator.traces import is_table, read_trace_ns
from lens.units import NS_PER_S

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:05.0000001,4,2
2023-11-16 18:17:03.9799600,3,5
2024-05-12 00:00:00+00:00,2,1
2023-11-16 18:17:06,0,7
once,3,7
"""
AZURE_NS = [1_700_158_625_000_000_100, 1_700_158_623_979_960_000, 1_715_472_000_000_000_000]
BURSTGPT = """Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,3,1,4,Conversation log
6.25,GPT-4,2,0,2,API log
7,GPT-4,many,1,1,API log
nan,GPT-4,2,1,3,API log
"""


@pytest.fixture
def file_of(tmp_path):
    def write(text, name="trace.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_times_of_azures_table_are_read_to_the_tick(file_of):
    warnings = []
    path = file_of(AZURE)
    assert read_trace_ns(path, warnings) == AZURE_NS
    assert warnings == [f"trace {path}: 2 of 5 rows could not be used; the first: row 4: 2023-11-16 18:17:06, 0, 7"]


def test_times_of_burstgpts_table_are_seconds(file_of):
    warnings = []
    assert read_trace_ns(file_of(BURSTGPT), warnings) == [5 * NS_PER_S, 6_250_000_000]
    assert "2 of 4 rows could not be used; the first: row 3: 7, many, 1" in warnings[0]


def test_prompts_of_a_table_have_its_lengths(file_of):
    prompts = read_prompts(file_of(AZURE))
    assert [len(prompt.text.split(" ")) for prompt in prompts] == [4, 3, 2]
    assert [prompt.max_tokens for prompt in prompts] == [2, 5, 1]
    assert len({prompt.text.split(" ")[0] for prompt in prompts}) == 3
    assert [prompt.max_tokens for prompt in read_prompts(file_of(BURSTGPT))] == [1, None]


def test_a_table_is_replayed_in_the_order_of_its_times_with_one_warning(file_of):
    path = str(file_of(AZURE))
    target = TargetConfig(provider="openai", model="m", base_url="http://127.0.0.1:1/v1", proxy="")
    config = RunConfig(targets=(target,), load=LoadConfig(trace=path), prompts=PromptConfig(file=path))
    plan = make_plan(config, {})
    first, second, _ = sorted(AZURE_NS)
    assert plan.stages[0].times_ns[:2] == (0, second - first)
    assert [len(prompt.text.split(" ")) for prompt in plan.prompts] == [3, 4, 2]
    assert len(plan.warnings) == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a,b\n1,2\n", "no columns TIMESTAMP, ContextTokens, GeneratedTokens"),
        ("", "its columns are none"),
        (
            "TIMESTAMP,ContextTokens,GeneratedTokens\nonce,1,1\n",
            "no row of it can be used; the first: row 1: once, 1, 1",
        ),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-01-01 00:00:00.,1,1\n", "no row of it can be used"),
    ],
)
def test_a_table_of_nothing_usable_is_refused(file_of, text, why):
    with pytest.raises(FileError, match=why):
        read_trace_ns(file_of(text))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        ('{"timestamp": -1}', "its timestamp is no time of a trace"),
        ('{"timestamp": "x"}', "line 1 has no timestamp"),
        ("[1]", "line 1: "),
    ],
)
def test_lines_without_times_are_refused(file_of, text, why):
    with pytest.raises(FileError, match=why):
        read_trace_ns(file_of(text, "trace.jsonl"))


def test_a_table_is_told_by_its_columns():
    assert is_table(AZURE.partition("\n")[0].split(","))
    assert is_table(BURSTGPT.partition("\n")[0].split(","))
    assert not is_table(["prompt", "TIMESTAMP"])
