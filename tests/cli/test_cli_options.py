"""Values of options as people type them: what each parser makes of a word, and what it says of another."""

from contextlib import suppress

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lens.cli import options
from lens.units import NS_PER_MS, NS_PER_S


def convert(kind, text):
    return kind.convert(text, None, None)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (options.HEADER, "X-Scope: team a", ("X-Scope", "team a")),
        (options.HEADER, "X-Scope=team=a", ("X-Scope", "team=a")),
        (options.HEADER, "X-Time: 10:30", ("X-Time", "10:30")),
        (options.HEADER, "X-Empty:", ("X-Empty", "")),
        (options.JSON_OBJECT, '{"top_p": 0.9}', {"top_p": 0.9}),
        (options.PAIR, "env = prod", ("env", "prod")),
        (options.PAIR, "url=http://x/?a=b", ("url", "http://x/?a=b")),
        (options.NUMBERS, "1, 2,4", (1, 2, 4)),
        (options.GAPS, "0, 500ms,1m", (0, 500 * NS_PER_MS, 60 * NS_PER_S)),
        (options.DURATION, "1.5h", 5400 * NS_PER_S),
        (options.RATE, "600/m", 10.0),
        (options.NUMBER, "0.7", 0.7),
        (options.FiniteRange(0, 1), "0.7", 0.7),
    ],
)
def test_a_word_is_read_as_it_is_meant(kind, text, value):
    assert convert(kind, text) == value
    assert convert(kind, value) == value  # what came from a default or a file is left alone


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        (options.HEADER, "novalue", "a header is written 'Name: value'"),
        (options.HEADER, ": no name", "a header is written"),
        (options.JSON_OBJECT, "{top_p: 0.9}", "this is not JSON"),
        (options.JSON_OBJECT, "[1]", "expected a JSON object"),
        (options.JSON_OBJECT, "@/none/such.json", "cannot read /none/such.json: No such file"),
        (options.PAIR, "=prod", "is not KEY=VALUE"),
        (options.PAIR, "env", "is not KEY=VALUE"),
        (options.NUMBERS, "1,0", "write numbers, like 1,2,4,8"),
        (options.NUMBERS, "1,,2", "write numbers"),
        (options.NUMBERS, "1,\u00b2", "write numbers"),
        (options.GAPS, "1s,soon", "is not a duration"),
        (options.DURATION, "soon", "is not a duration; write 60, 60s, 1m30s or 500ms"),
        (options.RATE, "0", "is not a rate above zero"),
    ],
)
def test_another_word_is_refused_with_what_would_do(kind, text, says):
    with pytest.raises(click.BadParameter) as caught:
        convert(kind, text)
    assert says in caught.value.message


def test_json_may_come_from_a_file(tmp_path):
    path = tmp_path / "body.json"
    path.write_text('{"stop": ["é"]}', encoding="utf-8")
    assert convert(options.JSON_OBJECT, f"@{path}") == {"stop": ["é"]}
    path.write_bytes(b'{"stop": "\xff"}')
    with pytest.raises(click.BadParameter, match="this is not JSON"):
        convert(options.JSON_OBJECT, f"@{path}")


@given(st.text(max_size=30))
def test_no_word_breaks_a_parser(text):
    for kind in (options.HEADER, options.PAIR, options.NUMBERS, options.GAPS, options.DURATION, options.RATE):
        with suppress(click.BadParameter):
            convert(kind, text)
