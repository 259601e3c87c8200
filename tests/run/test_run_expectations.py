"""Answers are held to what was expected of them; nothing that a server sends can hang that, or stands in the reason."""

import json
import time

import msgspec
import pytest
from handmade import MS, TEXT, events, failed_record, record, stamps
from waiting import HANG_S

from lens.config.settings import PromptConfig, RunConfig
from lens.errors import ConfigError, FileError
from lens.metrics.goodput import parse_slos
from lens.model import Events, ToolCall
from lens.run.expectations import check_expected, expectations, judge_of, judged

SCHEMA = {
    "type": "object", "required": ["city"], "properties": {"city": {"type": "string", "pattern": "^[A-Z]"}},
    "additionalProperties": False,
}  # fmt: skip


def answer(text, **more):
    """An answer of which each character came 10 ms after the one before."""
    return record(events=events(*[(10 * (i + 1), TEXT, 1) for i in range(len(text))]), text=text, **more)


def judge(one, *wanted):
    return judged(one, expectations(wanted)).judged


@pytest.fixture
def schema(tmp_path):
    path = tmp_path / "city.json"
    path.write_text(json.dumps(SCHEMA))
    return f"schema:{path}"


@pytest.mark.parametrize(("text", "valid"), [
    ('{"a": 1}', True), (" [1]\n", True), ("42", True), ('{"a": ', False), ("", False), ("```json\n{}\n```", False),
    ("[" * 5000, False), ("[" * 150 + "]" * 150, False),
])  # fmt: skip
def test_json_is_one_json_value(text, valid):
    found = judge(answer(text), "json")
    assert found.valid is valid
    assert (found.reason is None) is valid


def test_an_answer_is_usable_when_its_last_character_that_counts_has_come():
    assert judge(answer("[1] \n"), "json").usable_ns == 30 * MS


def test_a_schema_is_met_or_names_the_rule_that_is_not(schema):
    assert judge(answer('{"city": "Oslo"}'), schema).valid
    secret = judge(answer('{"city": "xyzzy"}'), schema)
    assert (secret.valid, secret.reason) == (False, "the answer does not meet properties/city/pattern of the schema")
    assert "xyzzy" not in judge(answer('{"xyzzy": 1, "city": "A"}'), schema).reason


def test_arguments_of_a_tool_call_are_held_to_the_schema_where_there_is_no_text(schema):
    call = ToolCall(name="f", arguments='{"city": "Oslo"}', first_ns=3 * MS, last_ns=70 * MS, valid=True)
    found = judge(record(text="", tool_calls=(call,)), schema)
    assert (found.valid, found.usable_ns) == (True, 70 * MS)


def test_a_tool_is_called_with_complete_arguments():
    calls = (
        ToolCall(name="f", first_ns=3 * MS, last_ns=70 * MS, valid=True),
        ToolCall(name="g", first_ns=3 * MS, last_ns=90 * MS, valid=False),
    )
    assert judge(record(tool_calls=calls), "tool:f").usable_ns == 70 * MS
    assert judge(record(tool_calls=calls), "tool:g").reason == "the arguments of the tool g are not complete JSON"
    assert judge(record(), "tool:f").reason == "no call of the tool f"


def test_a_regular_expression_is_searched_in_the_text():
    assert judge(answer("so: yes!"), "regex:(?i)YES").usable_ns == 70 * MS
    assert judge(answer("so: no"), "regex:yes").reason == "the regular expression is not found"


def test_a_regular_expression_cannot_hang():
    began = time.monotonic()
    found = judge(answer("a" * 3000), "regex:^(a|a)+$x")
    assert time.monotonic() - began < HANG_S
    assert not found.valid
    hostile = judge(answer("a" * 40), "regex:^(a|aa)+$(?<=b)")
    assert not hostile.valid


def test_patterns_of_a_schema_cannot_hang(tmp_path):
    path = tmp_path / "slow.json"
    path.write_text('{"type": "string", "pattern": "^(a+)+$"}')
    began = time.monotonic()
    assert not judge(answer('"' + "a" * 2000 + '!"'), f"schema:{path}").valid
    assert time.monotonic() - began < HANG_S


def test_all_expectations_must_be_met_and_the_last_tells_when():
    assert judge(answer('["yes"]  '), "json", "regex:yes").usable_ns == 70 * MS
    assert not judge(answer('["no"]'), "json", "regex:yes").valid


def test_an_answer_in_one_piece_is_usable_at_its_end():
    whole = record((), events=Events(), text="[1]", stamps=stamps(end=80), stream=False)
    assert judge(whole, "json").usable_ns == 80 * MS


def test_a_failed_request_has_no_answer_to_judge():
    failed = failed_record()
    assert judged(failed, expectations(["json"])) is failed


def test_where_the_events_do_not_tell_there_is_a_verdict_and_no_time():
    found = judge(msgspec.structs.replace(answer("[1]"), text="[1, 2]"), "json")
    assert (found.valid, found.usable_ns) == (True, None)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("jsn", "write json, schema:FILE"), ("schema:", "write json"), ("regex:(", "not a regular expression"),
        ("yaml:x", "write json"), ("", "write json"),
    ],
)  # fmt: skip
def test_what_is_no_expectation_is_refused(said, why):
    with pytest.raises(ConfigError, match=why):
        expectations([said])


def test_a_schema_that_cannot_be_used_is_refused(tmp_path):
    with pytest.raises(FileError, match=r"absent\.json"):
        expectations([f"schema:{tmp_path}/absent.json"])
    path = tmp_path / "bad.json"
    for content in ('{"type": "nonsense"}', '{"$ref": "https://example.com/x.json"}', '"text"'):
        path.write_text(content)
        with pytest.raises(ConfigError, match="not a JSON schema"):
            expectations([f"schema:{path}"])
    path.write_text("{")
    with pytest.raises(FileError, match="cannot read"):
        expectations([f"schema:{path}"])


def test_what_nobody_expects_is_judged_by_nobody():
    assert judge_of(()) is None
    assert judge_of(("json",))(answer("[1]")).judged.valid


def test_an_slo_about_valid_answers_needs_an_expectation():
    slos = parse_slos("ttft:100 valid")
    assert [str(one) for one in slos] == ["ttft_ms <= 100", "valid >= 1"]
    with pytest.raises(ConfigError, match="valid is measured of what is expected"):
        check_expected(RunConfig(), (), slos)
    check_expected(RunConfig(), (), slos[:1])
    check_expected(RunConfig(prompts=PromptConfig(expect=("json",))), (), slos)
