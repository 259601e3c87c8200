"""Nesting and aliases are refused before they cost anything: the work grows with the text and no faster."""

import sys

import pytest

from lens import parsing
from lens.parsing import (
    MAX_ALIASED,
    MAX_DEPTH,
    check_depth,
    decode_text,
    list_in,
    parse_json,
    parse_json_table,
    parse_toml,
    parse_yaml,
    read_small,
    table_in,
    text_lines,
)


def nested(depth, opens="[", closes="]"):
    return opens * depth + closes * depth


LAUGHS = "\n".join(["a0: &a0 [lol]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 20)])
MERGES = LAUGHS.replace("[lol]", "{x: 1}").replace(" [", " {<<: [").replace("]", "]}")
CHAIN = "\n".join(["a0: &a0 [x]"] + [f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 300)])


def lines_run(call):
    """The lines of Python that a call runs: its work, whatever else the machine does."""
    count = 0

    def trace(frame, event, argument):
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with pytest.raises(ValueError, match=r"too deeply|aliases"):
            call()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("parse", [parse_json, parse_yaml, lambda text: parse_toml(f"a = {text[1:-1]}")])
def test_the_deepest_allowed_is_read_and_one_more_is_refused(parse):
    text = nested(MAX_DEPTH)
    assert parse(text)
    with pytest.raises(ValueError, match=f"nested too deeply: at most {MAX_DEPTH} levels"):
        parse(nested(MAX_DEPTH + 2))


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_json, nested(5000)),
        (parse_json, nested(900)),
        (parse_json, '{"a":' * 900 + "1" + "}" * 900),
        (parse_json, "[" * 100_000),
        (parse_yaml, nested(5000)),
        (parse_yaml, "[" * 20_000),
        (parse_yaml, "{" * 20_000),
        (parse_yaml, "- " * 20_000),
        (parse_yaml, "? " * 20_000),
        (parse_yaml, "\n".join(" " * i + "a:" for i in range(500))),
        (parse_yaml, CHAIN),
        (parse_yaml, "a: &a [*a]"),
        (parse_toml, "a = " + nested(5000)),
        (parse_toml, "a = " + "{a = " * 5000 + "1" + "}" * 5000),
        (parse_toml, "a." * 20_000 + "b = 1"),
        (parse_toml, "[" + "a . " * 20_000 + "b]"),
        (parse_toml, '"a".' * 20_000 + "b = 1"),
        (parse_toml, f"[{'a.' * 60}b]\n{'c.' * 60}d = 1"),
    ],
    ids=lambda value: value[:6] if isinstance(value, str) else value.__name__,
)
def test_deep_nesting_is_refused(parse, text):
    with pytest.raises(ValueError, match="nested too deeply"):
        parse(text)


@pytest.mark.parametrize("text", [LAUGHS, MERGES])
def test_aliases_that_stand_for_too_much_are_refused(text):
    with pytest.raises(ValueError, match=f"aliases stand for more than {MAX_ALIASED} values"):
        parse_yaml(text)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_yaml, lambda n: "[" * n),
        (parse_yaml, lambda n: "- " * n),
        (parse_yaml, lambda n: "\n".join(" " * i + "a:" for i in range(150)) + "\n" * n),
        (parse_toml, lambda n: "a = " + "[" * n),
        (parse_toml, lambda n: "a." * n + "b = 1"),
        (parse_json, lambda n: "[" * n),
    ],
)
def test_refusing_twice_the_text_takes_at_most_twice_the_work(parse, text):
    lines_run(lambda: parse(text(2000)))  # what is imported and cached the first time
    assert lines_run(lambda: parse(text(8000))) <= 2 * lines_run(lambda: parse(text(4000))) + 100


def test_aliases_of_a_plain_file_are_read():
    assert parse_yaml("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: [*a, *a]") == {
        "a": {"x": 1},
        "b": {"x": 1, "y": 2},
        "c": [{"x": 1}, {"x": 1}],
    }


@pytest.mark.parametrize(
    "text",
    [
        f'a = "{"[" * 200}"',
        f"a = '{'[' * 200}'",
        f'a = """\n{"[" * 200}\\"""{"{" * 200}"""',
        f"a = '''\n{'[' * 200}'''",
        f"a = 1 # {'[' * 200} {'a.' * 200}",
        f'a = "{"b." * 200}"',
        "\n".join(f"[a{i}]\nx = [[1], [2]]" for i in range(200)),
    ],
)
def test_brackets_and_dots_in_strings_and_comments_of_toml_are_no_nesting(text):
    assert parse_toml(text)


@pytest.mark.parametrize("quote", ['"""', "'''", '"', "'"])
def test_an_unfinished_toml_string_is_an_error_of_toml(quote):
    with pytest.raises(ValueError, match=r"(?i)string|expected|illegal"):
        parse_toml(f"a = {quote}{'[' * 200}")


def test_wide_values_are_no_deep_ones():
    check_depth([[{"a": [1]}]] * 100_000)


def test_lines_end_at_line_feeds_only():
    assert text_lines("") == []
    assert text_lines("a\n\r\nb\u2028c\x85\x0c\x1cd") == ["a", "", "b\u2028c\x85\x0c\x1cd"]


def test_text_that_is_in_no_known_encoding_is_refused():
    with pytest.raises(ValueError, match=r"not UTF-8 text \(byte 2\)"):
        decode_text("Größe".encode("latin-1"))


def test_a_file_of_settings_that_is_too_large_is_refused_with_words(tmp_path, monkeypatch):
    (tmp_path / "small").write_bytes(b"a" * 100)
    monkeypatch.setattr(parsing, "MOST_BYTES", 100)
    assert read_small(tmp_path / "small") == b"a" * 100
    (tmp_path / "large").write_bytes(b"a" * 101)
    with pytest.raises(OSError, match="it holds more than 0 MB; is it the right file") as caught:
        read_small(tmp_path / "large")
    assert caught.value.strerror.startswith("it holds")


@pytest.mark.parametrize("held", [None, 5, "text", [1], True])
def test_what_is_no_table_is_an_empty_one(held):
    assert table_in({"load": held}, "load") == {}
    assert table_in({}, "load") == {}
    assert table_in({"load": {"rate": 1}}, "load") == {"rate": 1}


@pytest.mark.parametrize("held", [None, 5, "text", {"a": 1}])
def test_what_is_no_list_is_an_empty_one(held):
    assert list_in({"thresholds": held}, "thresholds") == []
    assert list_in({"thresholds": ("a", "b")}, "thresholds") == ["a", "b"]


@pytest.mark.parametrize(
    ("parse", "text", "says"),
    [
        (parse_yaml, "load: {a: 1}\nother: 2\nload: {b: 2}\n", r"'load' stands twice \(at line 3, column 1\)"),
        (parse_yaml, "a: {b: 1, b: 1}", "'b' stands twice"),
        (parse_json_table, '{"load": {"a": 1}, "load": {}}', "'load' stands twice"),
        (parse_json_table, '[{"a": {"b": 1, "b": 2}}]', "'b' stands twice"),
        (parse_toml, "[load]\n[load]\n", "twice"),
        (parse_yaml, f"a: {'9' * 10_000}", "an integer of more than 4,300 digits"),
        (parse_toml, f"a = {'9' * 10_000}", "an integer of more than 4,300 digits"),
    ],
)
def test_what_would_be_dropped_or_takes_too_long_is_refused_in_words(parse, text, says):
    with pytest.raises(ValueError, match=says):
        parse(text)


def test_a_key_may_stand_once_in_each_table():
    assert parse_yaml("a: {x: 1}\nb: &b {x: 1}\nc: {<<: *b, x: 2}") == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 2}}
    assert parse_json_table('{"a": {"x": 1}, "b": [{"x": 0.5}, {"x": 12345678901234567890}]}') == {
        "a": {"x": 1},
        "b": [{"x": 0.5}, {"x": 12345678901234567890}],
    }
