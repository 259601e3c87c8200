"""Columns stay columns on any way through MessagePack and JSON, and what is no column is refused."""

from array import array

import msgspec
import pytest
from handmade import full_record, record
from hypothesis import given
from hypothesis import strategies as st

from lens.columns import COLUMN_CODES, UNREADABLE, decode_hook, encode_hook, pack_hook
from lens.model import Record

LIMITS = {"B": (0, 2**8 - 1), "H": (0, 2**16 - 1), "I": (0, 2**32 - 1), "q": (-(2**63), 2**63 - 1)}


@st.composite
def columns(draw):
    code = draw(st.sampled_from(sorted(LIMITS)))
    return array(code, draw(st.lists(st.integers(*LIMITS[code]), max_size=20)))


@given(columns())
def test_a_packed_column_comes_back_with_its_type(column):
    packed = msgspec.msgpack.encode(column, enc_hook=pack_hook)
    back = msgspec.msgpack.decode(packed, type=array, dec_hook=decode_hook)
    assert (back.typecode, back) == (column.typecode, column)
    assert len(packed) <= 6 + len(column) * column.itemsize


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20))
def test_a_column_in_json_comes_back_as_whole_numbers(numbers):
    data = msgspec.json.encode(array("q", numbers), enc_hook=encode_hook)
    assert msgspec.json.decode(data, type=array, dec_hook=decode_hook).tolist() == numbers


@pytest.mark.parametrize("made", [full_record(), record(), record(())], ids=["full", "stream", "no content"])
def test_a_record_comes_back_whole(made):
    packed = msgspec.msgpack.encode(made, enc_hook=pack_hook)
    assert msgspec.msgpack.decode(packed, type=Record, dec_hook=decode_hook) == made


@pytest.mark.parametrize("value", [[1.5], ["1"], [2**63], "12", {"a": 1}, None, [None]])
def test_what_is_no_column_is_refused(value):
    with pytest.raises(UNREADABLE):
        msgspec.json.decode(msgspec.json.encode(value), type=array, dec_hook=decode_hook)


def test_an_extension_of_another_kind_is_no_column():
    other = msgspec.msgpack.encode(msgspec.msgpack.Ext(5, b"ab"))
    with pytest.raises(UNREADABLE, match="no column is of kind 5"):
        msgspec.msgpack.decode(other, type=array, dec_hook=decode_hook)
    cut = msgspec.msgpack.encode(msgspec.msgpack.Ext(ord("q"), b"12345"))  # no whole number of numbers
    with pytest.raises(UNREADABLE):
        msgspec.msgpack.decode(cut, type=array, dec_hook=decode_hook)
    assert {chr(number) for number in COLUMN_CODES} == set(LIMITS)


@pytest.mark.parametrize("hook", [encode_hook, pack_hook])
def test_nothing_else_slips_through_the_hooks(hook):
    with pytest.raises(TypeError, match="cannot encode object"):
        hook(object())
    with pytest.raises(TypeError, match="cannot decode"):
        decode_hook(set, [])
