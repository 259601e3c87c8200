"""Prompt files in the layouts that people have, and made-up prompts."""

from __future__ import annotations

import contextlib
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens.config.settings import PromptConfig
from lens.errors import ConfigError, ExitCode, FileError
from lens.orchestrator.prompts import load_prompts, read_prompts
from lens.orchestrator.synthetic import WORDS, lengths, made_up
from lens.orchestrator.traces import read_trace_ns


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text", "prompts"),
    [
        ("a.txt", "one\n\n  two \n", ["one", "two"]),
        ("bom.txt", "\ufeffone\n", ["one"]),
        ("a.jsonl", '{"prompt": "one"}\n\n{"text": "two"}\n', ["one", "two"]),
        ("a.jsonl", '"one"\n"two"\n', None),
        ("a.csv", "id,prompt\n1,one\n2,two\n", ["one", "two"]),
        ("quoted.csv", 'prompt\n"one, with\na line end"\n', ["one, with\na line end"]),
        ("a.json", '["one", {"prompt": "two"}]', ["one", "two"]),
        ("tests.json", '{"test_cases": [{"name": "t1", "prompt": "one"}]}', ["one"]),
        ("lines.json", '{"prompt": "one"}\n{"prompt": "two"}', ["one", "two"]),
        ("detected", '{"prompt": "one"}\n', ["one"]),
        ("unicode.txt", "日本語\n", ["日本語"]),
        ("ends.txt", "a\u2028b\r\nc\x0cd\x85\ne", ["a\u2028b", "c\x0cd\x85", "e"]),
        ("ends.jsonl", '{"prompt": "a\u2028b"}\r\n{"prompt": "c\x85"}', ["a\u2028b", "c\x85"]),
        ("long.csv", "prompt\n" + "x" * 200_000, ["x" * 200_000]),
        ("lenient.csv", 'prompt\n"one" more\n', ["one more"]),
        ("mac.csv", "prompt\rone\rtwo", ["one", "two"]),
        ("alpaca.json", '[{"instruction": "Sum up", "input": "a b", "output": "c"}]', ["Sum up\n\na b"]),
        ("alpaca.jsonl", '{"instruction": "Say hi", "input": ""}', ["Say hi"]),
        ("alpaca.csv", "instruction,input\nSum up,a b\n", ["Sum up\n\na b"]),
    ],
)
def test_the_layout_is_told_by_the_content(tmp_path, name, text, prompts):
    path = write(tmp_path, name, text)
    if prompts is None:
        with pytest.raises(FileError, match="line 1"):
            read_prompts(path)
    else:
        assert [p.text for p in read_prompts(path)] == prompts


def test_a_whole_text_file_can_be_one_prompt(tmp_path):
    assert [p.text for p in read_prompts(write(tmp_path, "a.txt", "one\ntwo\n"), whole=True)] == ["one\ntwo"]


def test_what_a_layout_tells_is_not_one_prompt_as_a_whole(tmp_path):
    assert len(read_prompts(write(tmp_path, "a.jsonl", '{"prompt": "one"}\n{"prompt": "two"}'), whole=True)) == 2
    assert read_prompts(write(tmp_path, "a.md", '{"a": 1}\n\n  x\n'), whole=True)[0].text == '{"a": 1}\n\n  x'


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_text_as_windows_saves_it_is_read(tmp_path, encoding):
    path = tmp_path / "a.txt"
    path.write_bytes("Hello\r\nWörld\r\n".encode(encoding))
    assert [p.text for p in read_prompts(path)] == ["Hello", "Wörld"]


@pytest.mark.parametrize(
    "talk",
    [[], [{"from": "gpt", "value": "only"}], [{"from": "alien", "value": "x"}, {"from": "human", "value": "y"}], None],
)
def test_conversations_that_cannot_be_asked_are_skipped_and_counted(tmp_path, talk):
    good = {"conversations": [{"from": "human", "value": "Q"}, {"from": "bard", "value": "A"}]}
    path = write(tmp_path, "a.json", json.dumps([{"conversations": talk}, good]))
    warnings = []
    assert [p.messages[0]["content"] for p in read_prompts(path, warnings=warnings)] == ["Q"]
    assert len(warnings) == 1
    assert warnings[0].startswith("1 of 2 conversations were skipped")


def test_sharegpt_is_asked_up_to_the_last_question(tmp_path):
    talk = [
        {"from": "system", "value": "be brief"},
        {"from": "human", "value": "hi"},
        {"from": "gpt", "value": "hello"},
        {"from": "human", "value": "how?"},
        {"from": "gpt", "value": "well"},
    ]
    (prompt,) = read_prompts(write(tmp_path, "s.json", json.dumps([{"id": "x", "conversations": talk}])))
    assert [(m["role"], m["content"]) for m in prompt.messages] == [
        ("system", "be brief"),
        ("user", "hi"),
        ("assistant", "hello"),
        ("user", "how?"),
    ]
    assert prompt.id == "x"


def test_messages_limits_and_extra_fields_pass_through(tmp_path):
    messages = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}]
    line = json.dumps({"messages": messages, "max_tokens": 7, "id": 3, "extra_body": {"top_p": 0.5}})
    (prompt,) = read_prompts(write(tmp_path, "m.jsonl", line))
    assert prompt.as_messages() == messages
    assert (prompt.max_tokens, prompt.id, prompt.extra_body) == (7, "3", {"top_p": 0.5})


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.txt", "\n \n", "no prompt in it"),
        ("a.jsonl", '{"prompt": "one"}\n{"prompt"', "line 2"),
        ("a.jsonl", '{"other": 1}', "no prompt, text or messages"),
        ("a.json", '[{"prompt": "x"}, 5]', "item 2"),
        ("a.csv", "a,b\n1,2\n", "no column"),
        ("open.csv", 'prompt\none\n"two\nthree\n', "a quote is opened and never closed"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.csv", "prompt,max_tokens\nx,many\n", "max_tokens"),
        ("a.json", '[{"conversations": [{"from": "gpt", "value": "x"}]}]', "no user message"),
        ("a.json", '[{"conversations": [{"from": "alien", "value": "x"}]}]', "speaker"),
        ("a.json", '[{"prompt": "x", "max_tokens": "many"}]', "item 1"),
    ],
)
def test_a_file_that_cannot_be_understood_says_where(tmp_path, name, text, says):
    with pytest.raises(FileError, match=says) as caught:
        read_prompts(write(tmp_path, name, text))
    assert caught.value.exit_code == ExitCode.USAGE


def test_a_file_that_is_not_there_or_not_text_is_a_file_error(tmp_path):
    with pytest.raises(FileError, match="No such file"):
        read_prompts(tmp_path / "none.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match="not UTF-16 text"):
        read_prompts(tmp_path / "binary.txt")


@given(st.binary(max_size=200), st.sampled_from(["x.txt", "x.json", "x.jsonl", "x.csv"]))
def test_no_bytes_make_the_reader_raise_anything_but_a_file_error(tmp_path_factory, data, name):
    path = tmp_path_factory.mktemp("p") / name
    path.write_bytes(data)
    with contextlib.suppress(FileError):
        assert read_prompts(path)


def test_made_up_prompts_have_their_length_differ_and_come_again_by_seed():
    texts = made_up([50] * 20, seed=3)
    assert {len(t.split()) for t in texts} == {50}
    assert len(set(texts)) == 20
    assert len({t.split()[0] for t in texts}) == 20, "no two share a prefix"
    assert texts == made_up([50] * 20, seed=3)
    assert texts != made_up([50] * 20, seed=4)


@pytest.mark.parametrize("words", [1, 7, 200, 3000])
def test_the_words_of_a_seed_are_the_choices_of_its_generator(words):
    text = made_up([words + 1], seed=9)[0]
    generator = random.Random("9 0")
    assert text.split()[1:] == [generator.choice(WORDS) for _ in range(words)]


def test_a_shared_prefix_is_shared_and_the_rest_is_not():
    texts = [t.split() for t in made_up([50] * 5, prefix_tokens=30)]
    assert len({tuple(t[:30]) for t in texts}) == 1
    assert len({tuple(t[30:]) for t in texts}) == 5


@pytest.mark.parametrize(("spec", "low", "high"), [("550", 550, 550), ("100-200", 100, 200), ("500:20", 380, 620)])
def test_lengths_follow_their_spec(spec, low, high):
    drawn = lengths(spec, 300, seed=1)
    assert all(low <= n <= high for n in drawn)
    assert sum(drawn) / 300 == pytest.approx((low + high) / 2, rel=0.05)


@pytest.mark.parametrize("spec", ["", "0", "5-2", "a", "-5", "1:2:3"])
def test_what_is_no_length_is_refused(spec):
    with pytest.raises(ConfigError, match="length"):
        lengths(spec, 1)


def test_sources_of_prompts_exclude_each_other(tmp_path):
    with pytest.raises(ConfigError, match="not both"):
        load_prompts(PromptConfig(texts=("x",), file="y"), count=1)
    with pytest.raises(ConfigError, match="--input-tokens"):
        load_prompts(PromptConfig(texts=("x",), input_tokens="5"), count=1)


def test_system_and_output_length_go_where_a_prompt_has_none_of_its_own(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"prompt": "a", "system": "own", "max_tokens": 3}\n{"prompt": "b"}\n')
    first, second = load_prompts(PromptConfig(file=str(path), system="all", output_tokens="9"), count=1)
    assert (first.system, first.max_tokens) == ("own", 3)
    assert (second.system, second.max_tokens) == ("all", 9)


def test_without_any_prompt_there_is_one():
    assert len(load_prompts(PromptConfig(), count=5)) == 1


def test_a_trace_gives_its_times_in_nanoseconds(tmp_path):
    path = write(tmp_path, "t.jsonl", '{"timestamp": 0, "input_length": 5}\n{"timestamp": 1500}\n{"timestamp_s": 2}\n')
    assert read_trace_ns(path) == [0, 1_500_000_000, 2_000_000_000]
    with pytest.raises(FileError, match="line 1 has no timestamp"):
        read_trace_ns(write(tmp_path, "u.jsonl", "{}"))


def test_made_up_prompts_are_as_many_as_are_needed():
    prompts = load_prompts(PromptConfig(input_tokens="20-40", shared_prefix_tokens=5), count=6, seed=2)
    assert len(prompts) == len({p.text for p in prompts}) == len({p.id for p in prompts}) == 6
    assert all(20 <= len(p.text.split()) <= 40 for p in prompts)


@pytest.mark.parametrize("spec", ["999999999999", "1-5000000", "5:99999999"])
def test_a_length_that_no_model_reads_is_refused(spec):
    with pytest.raises(ConfigError, match=r"--input-tokens .*at most 4,000,000 tokens"):
        lengths(spec, 1, option="--input-tokens")
