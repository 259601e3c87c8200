"""The expression language: what it lets through, what it says, and that nothing else gets in."""

import pytest
from handmade import failed_record, full_record, record
from hypothesis import given
from hypothesis import strategies as st

from lens.analysis.explore.fields import FIELDS, field_named, listed
from lens.analysis.explore.filters import compile_filter, compile_row_filter
from lens.analysis.explore.groups import Groups
from lens.errors import ConfigError
from lens.metrics.builder import table_of
from lens.pricing import PriceBook, parse_price


@pytest.mark.parametrize(
    ("text", "is_meant"),
    [
        ("provider == 'openai'", True),
        ("provider == 'openai' and ttft_ms > 500", False),
        ("ttft > 99 and ttft < 101", True),
        ("50 < ttft_ms <= 100", True),
        ("not (model == 'gpt-4')", False),
        ("model in ['gpt-4', 'gpt-5']", True),
        ("'gpt' in model", True),
        ("startswith(model, 'gpt') or status != 'Success'", True),
        ("lower('GPT-4') == model", True),
        ("thinking_ms > 0", False),  # not measured
        ("thinking_ms is None", True),
        ("thinking_ms != None", False),
        ("output_tokens * 2 + 1 == 9", True),
        ("-output_tokens < 0", True),
        ("output_tokens / 0 > 1", False),
        ("ttft_ms > 'x'", False),
        ("hour_of_day == 18 and date == '2025-11-07'", True),
        ("weekday == 'Friday'", True),
        ("label.team == 'search'", True),
        ("labels.nobody is None", True),
        ("total_cost > 0.00004", True),
        ("status", True),
        ("abs(ttft_ms - 100) < 1", True),
        ("abs(model) == 1 or -model == 1 or round(ttft_ms, model) == 1", False),
        ("'a' * 99999999999 == model", False),
        ("'%99999999999d' % 5 == model", False),
        ("total_cost * 2 < 1", True),
        ("day == date and prompt is None", True),
    ],
)
def test_what_an_expression_says(text, is_meant):
    table = table_of([record(labels={"team": "search"})], book=PriceBook([parse_price("in=1,out=1")]))
    assert compile_filter(text)(table).tolist() == [is_meant]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tfft_ms > 1", "did you mean ttft_ms"),
        ("ttft_ms >", "cannot be read"),
        ("__import__('os').system('true')", "not allowed"),
        ("model.__class__", "no field"),
        ("(lambda: 1)()", "not allowed"),
        ("[x for x in model]", "not allowed"),
        ("open('/etc/passwd')", "not allowed"),
        ("success_rate > 1", "whole run"),
        ("2 ** 99999", "not allowed"),
        ("'a' * " + "(" * 3000, "longer than"),
        ("f'{model}'", "not allowed"),
        ("lower()", "too many or too few"),
        ("contains(model, part='x')", "too many or too few|not allowed"),
    ],
)
def test_nothing_else_gets_in(text, says):
    with pytest.raises(ConfigError, match=says):
        compile_filter(text)


@given(st.text(max_size=60))
def test_any_text_is_an_expression_or_one_clear_error(text):
    try:
        wanted = compile_filter(text)
    except ConfigError:
        return
    assert wanted(table_of([record()])).tolist() in ([True], [False])


def test_labels_are_fields_and_they_are_near_too():
    table = table_of([record(labels={"region": "eu"}), record()])
    assert compile_filter("region == 'eu'", table)(table).tolist() == [True, False]
    assert listed(field_named("region", table)(table)) == ["eu", None]
    with pytest.raises(ConfigError, match="did you mean region"):
        compile_filter("regoin == 'eu'", table)


def test_every_field_reads_every_record():
    table = table_of([record(), failed_record(), full_record()])
    for name in FIELDS:
        assert len(listed(field_named(name)(table))) == 3


def test_groups_come_in_the_order_of_their_values():
    records = [record(model="b"), record(model="a"), record(model="b", finish_reason="stop")]
    groups = Groups(table_of(records), ["model", "finish_reason"])
    assert [(group.key, len(group.table)) for group in groups] == [
        (("a", None), 1),
        (("b", "stop"), 1),
        (("b", None), 1),
    ]


def test_rows_of_any_kind_are_filtered_in_the_same_language():
    rows = [{"name": "a", "size": 3}, {"name": "b", "size": None}, {"name": "ab", "size": 9}]
    readers = {name: lambda some, name=name: [row[name] for row in some] for name in ("name", "size")}
    assert compile_row_filter("startswith(name, 'a') and size > 2", readers)(rows) == [True, False, True]
    assert compile_row_filter("size is None or name in ['ab', 'x']", readers)(rows) == [False, True, True]
    assert compile_row_filter("True", readers)([]) == []
    with pytest.raises(ConfigError, match=r"no field 'names'; did you mean name\?"):
        compile_row_filter("names == 1", readers)
    with pytest.raises(ConfigError, match="not allowed"):
        compile_row_filter("open('x')", readers)


def test_what_python_would_warn_of_is_not_warned_of(recwarn):
    assert compile_filter("index == 1or 0")
    assert not recwarn
