"""Session files in each format: what every turn sends, what it waits for, and what was left out and why.

tests/fixtures/sessions holds rows written for these tests, and beside each file what it means.
"""

from __future__ import annotations

import json
import random
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from lens.errors import ConfigError, FileError
from lens.orchestrator.sessions.history import LiveAnswer, turn_prompt
from lens.orchestrator.sessions.sources import FORMATS, NAMES, read_sessions
from lens.units import NS_PER_MS

FIXTURES = Path(__file__).parent.parent / "fixtures" / "sessions"
FILES = sorted(path for path in FIXTURES.iterdir() if not path.name.endswith(".expected.json"))


def said(message):
    """A message in one word or two."""
    calls = message.get("tool_calls")
    if isinstance(calls, list) and calls:
        return f"{message['role']} calls {[call['id'] for call in calls if isinstance(call, dict) and 'id' in call]}"
    return f"{message['role']}: {message.get('content')}"


def told(path, format_name="auto"):
    """What a file means, in the form of the expectations; where no answer was recorded it is "answer N"."""
    warnings = []
    sessions, name = read_sessions(path, format_name, warnings)
    found = {"format": name, "warnings": [warning.partition(": ")[2] for warning in warnings], "sessions": []}
    for session in sessions:
        missing = any(session.turns[one].answer is None for turn in session.turns for one in turn.history)
        answers = {n: LiveAnswer(f"answer {n}") for n in range(len(session.turns))} if missing else None
        turns = []
        for number, turn in enumerate(session.turns):
            one = {
                "sends": [said(m) for m in turn_prompt(session, number, answers=answers).messages],
                "after": list(turn.after),
                "think_ms": turn.think_ns / NS_PER_MS,
                "tool_ms": turn.tool_ns / NS_PER_MS,
                "max_tokens": turn.max_tokens,
                "extra": turn.extra_body,
            }
            turns.append({key: value for key, value in one.items() if value not in (None, {}, [], 0)})
        start_ms = session.start_ns / NS_PER_MS if session.start_ns is not None else None
        found["sessions"].append({"id": session.id, "start_ms": start_ms, "turns": turns})
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_means_what_stands_beside_it(path):
    assert told(path) == json.loads(path.with_name(f"{path.name}.expected.json").read_text())


def test_every_format_has_a_file():
    found = {json.loads(path.with_name(f"{path.name}.expected.json").read_text())["format"] for path in FILES}
    assert found == {one.name for one in FORMATS}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_format_that_is_named_is_the_one_that_is_reported(path):
    found = told(path)
    assert told(path, found["format"]) == found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no row of JSON in it"),
        ("hello\n", "no row of JSON in it; the first: line 1: "),
        ('{"foo": 1}\n', "no known format; the keys of item 1 are foo. Give --session-format: otel, "),
        (
            '{"messages": []}\n',
            "nothing of it can be used as messages; the first: item 1: a list of messages",
        ),
        ('{"conversations": [{"from": "gpt", "value": "x"}]}', "nothing of it can be used as sharegpt; the first: "),
        ("[1, 2]", "no row of JSON in it; the first: item 1: an object is wanted"),
    ],
)
def test_a_file_of_nothing_usable_is_refused(tmp_path, text, why):
    path = tmp_path / "sessions.jsonl"
    path.write_text(text)
    with pytest.raises(FileError) as error:
        read_sessions(path, "auto", [])
    assert why in str(error.value)
    assert str(path) in str(error.value)


def test_a_format_that_nobody_knows_is_refused_with_the_nearest(tmp_path):
    path = tmp_path / "sessions.jsonl"
    path.write_text("{}")
    with pytest.raises(ConfigError, match="did you mean sharegpt"):
        read_sessions(path, "shareGPT", [])
    with pytest.raises(ConfigError, match=f"there are auto, {', '.join(NAMES)}"):
        read_sessions(path, "x", [])


def test_all_files_of_a_folder_are_read(tmp_path):
    for name in ("b.json", "a.json"):
        row = {"id": name, "block_size": 4, "requests": [{"type": "n", "t": 0, "in": 3, "out": 1, "hash_ids": [1]}]}
        (tmp_path / name).write_bytes(msgspec.json.encode(row))
    (tmp_path / "notes.txt").write_text("no trace")
    sessions, name = read_sessions(tmp_path, "auto", [])
    assert name == "weka"
    assert [session.id for session in sessions] == ["a.json", "b.json"]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(FileError, match="no file in it that ends with"):
        read_sessions(empty, "auto", [])


def test_sessions_of_one_name_get_names_of_their_own(tmp_path):
    path = tmp_path / "sessions.jsonl"
    row = msgspec.json.encode({"id": "x", "messages": [{"role": "user", "content": "hi"}]})
    path.write_bytes(row + b"\n" + row)
    sessions, _ = read_sessions(path, "auto", [])
    assert [session.id for session in sessions] == ["x", "x-1"]


ODD = (None, True, 0, -1, 1.5, 2**70, "", "x", "9" * 30, [], [[]], [1], ["x"], {}, {"a": 1}, [{}])


def places(value, path=()):
    """The place of every value in a JSON document."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*path, key))


def with_odd(value, path, odd):
    """A document with another value at one place."""
    if not path:
        return odd
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = with_odd(value[path[0]], path[1:], odd)
    return copy


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix != ".csv"], ids=lambda path: path.name)
def test_a_value_of_another_kind_is_refused_or_read_but_breaks_nothing(path, tmp_path):
    text = path.read_text()
    rows = [json.loads(text)] if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]
    rows = rows[0] if isinstance(rows[0], list) else rows
    name = told(path)["format"]
    generator = random.Random(path.name)
    spots = [(number, place) for number, row in enumerate(rows) for place in places(row)]
    for number, place in generator.sample(spots, min(len(spots), 25)):
        for odd in generator.sample(ODD, 3):
            changed = [with_odd(row, place, odd) if n == number else row for n, row in enumerate(rows)]
            other = tmp_path / "changed.jsonl"
            other.write_text("\n".join(json.dumps(row) for row in changed))
            for said_name in ("auto", name):
                with suppress(FileError):
                    told(other, said_name)
