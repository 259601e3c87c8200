"""Local counts: known ones, whose they are, and that they never take the place of what a server said."""

import json
import sys
from decimal import Decimal

import pytest
from click.testing import CliRunner
from handmade import record
from needs import need_module

from lens.cli.main import lll
from lens.errors import ConfigError
from lens.export.request_json import encode_requests
from lens.metrics.builder import table_of
from lens.metrics.summarize import summarize
from lens.model import ToolCall, Usage
from lens.pricing import PriceBook, parse_price
from lens.run.token_counter import Tokenizer, counted, encoding_of, load_tokenizer
from lens.simulator import Script, start_thread
from lens.wire import Prompt

WORDS = Tokenizer("words", lambda text: len(text.split()))


@pytest.mark.parametrize(
    ("name", "text", "tokens"),
    [
        ("o200k_base", "hello world", 2),
        ("cl100k_base", "hello world", 2),
        ("o200k_base", "antidisestablishmentarianism", 6),
        ("cl100k_base", "Привет, мир!", 7),
        ("o200k_base", "Привет, мир!", 5),
        ("o200k_base", "", 0),
    ],
)
def test_known_counts(name, text, tokens):
    need_module("quicktok", "pip install 'llm-latency-lens[tokens]'")
    assert load_tokenizer(name).count(text) == tokens


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4o-mini", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("openai/gpt-oss-20b", "o200k_harmony"),
        ("meta-llama/Llama-3.1-8B", "llama3"),
        ("Qwen/Qwen3-8B", "qwen3"),
        ("claude-sonnet", "o200k_base"),
    ],
)
def test_the_encoding_of_a_model(model, encoding):
    assert encoding_of(model) == encoding


def test_text_thinking_and_tool_calls_are_all_output():
    bare = record(usage=None, token_source=None, text="a b c", reasoning="d e")
    done = counted(bare, WORDS)
    assert (done.usage.output_tokens, done.usage.reasoning_tokens, done.token_source) == (5, 2, "estimated:words")
    assert done.usage.input_tokens is None
    called = record(usage=None, token_source=None, text="a ", tool_calls=(ToolCall(name="f", arguments=" x y"),))
    assert counted(called, WORDS).usage.output_tokens == 4


def test_the_prompt_is_counted_too_where_no_server_did():
    bare = record(usage=None, token_source=None, text="a b c")
    done = counted(bare, WORDS, Prompt(text="one two", system="be brief"))
    assert (done.usage.input_tokens, done.usage.output_tokens, done.usage.total_tokens) == (4, 3, 7)
    parts = [{"type": "text", "text": "one two"}, {"type": "image_url", "image_url": {"url": "x"}}]
    asked = Prompt(messages=({"role": "user", "content": parts}, {"role": "assistant", "content": "three"}))
    assert counted(bare, WORDS, asked).usage.input_tokens == 3


def test_what_a_server_counted_is_never_replaced():
    said = record(text="a b c")
    assert counted(said, WORDS) is said


def test_what_a_server_did_not_count_is_counted_beside_what_it_did():
    made = record(usage=Usage(output_tokens=7), token_source="usage", text="a b c")
    done = counted(made, WORDS, Prompt(text="one two"))
    assert (done.usage.input_tokens, done.usage.output_tokens, done.usage.total_tokens) == (2, 7, 9)
    assert done.token_source == "usage+estimated:words"
    asked = counted(record(usage=Usage(input_tokens=5), token_source="usage", text="a b"), WORDS, Prompt(text="x"))
    assert (asked.usage.input_tokens, asked.usage.output_tokens) == (5, 2)


def test_a_cost_of_counted_tokens_is_known_and_marked_as_an_estimate():
    book = PriceBook([parse_price("in=1,out=2")])
    bare = record(usage=None, token_source=None, text="a b c")
    table = table_of([bare, record()], book=book)
    assert table.costs.decimals("total_cost")[0] is None
    found = table_of([counted(bare, WORDS, Prompt(text="one two")), record()], book=book)
    assert found.costs.decimals("total_cost")[0] == Decimal("0.000008")
    assert found.costs.estimated.tolist() == [True, False]
    summary = summarize(found)
    assert summary.estimated_costs == 1
    assert any("the cost of 1 request is an estimate" in one for one in summary.warnings)
    row = json.loads(next(iter(encode_requests(found))))
    assert (row["cost_estimated"], row["token_source"]) == (True, "estimated:words")


def test_an_unknown_tokenizer_is_told_and_an_absent_one_says_what_to_install(monkeypatch):
    with pytest.raises(ConfigError, match="there are auto, o200k_base"):
        load_tokenizer("words")
    monkeypatch.setitem(sys.modules, "quicktok", None)
    with pytest.raises(ConfigError, match=r"llm-latency-lens\[tokens\]"):
        load_tokenizer("auto")


def test_the_command_line_counts_after_the_run_and_marks_it(tmp_path):
    need_module("quicktok", "pip install 'llm-latency-lens[tokens]'")
    out = tmp_path / "run.json"
    with start_thread(Script(tokens=6, usage="never")) as handle:
        words = ["profile", "--provider", "vllm", "--model", "m", "--base-url", f"{handle.url}/v1", "--prompt", "hi"]
        result = CliRunner().invoke(lll, [*words, "--tokenizer", "auto", "-e", "json", "-o", str(out)])
    assert result.exit_code == 0, result.output
    told = json.loads(out.read_text())
    assert told["token_source"] == "estimated:o200k_base"
    assert told["output_tokens"] > 0
    assert told["input_tokens"] == 1
    assert told.get("text") is None, "the text is kept for counting, and written only when asked for"
