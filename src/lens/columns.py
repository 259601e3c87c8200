"""How the columns of a record go into JSON and MessagePack, and come back: hooks for msgspec."""

from __future__ import annotations

import sys
from array import array
from typing import cast

import msgspec

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # what reading a file of something else raises


def encode_hook(value: object) -> object:
    """Return a column as a list, for msgspec encoders."""
    if not isinstance(value, array):
        raise TypeError(f"cannot encode {type(value).__name__}")
    return value.tolist()


# Typecodes that a packed column may have, by the number of its MessagePack extension.
COLUMN_CODES = {ord(code): code for code in "BHIq"}


def pack_hook(value: object) -> object:
    """Return a column as a MessagePack extension numbered by its typecode; little endian."""
    if not isinstance(value, array):
        raise TypeError(f"cannot encode {type(value).__name__}")
    if sys.byteorder == "big":
        value = array(value.typecode, value)
        value.byteswap()
    return msgspec.msgpack.Ext(ord(value.typecode), value.tobytes())


def decode_hook(kind: type, value: object) -> object:
    """Return an extension as the column it was, a list as a column of int64, for msgspec decoders."""
    if kind is not array:
        raise TypeError(f"cannot decode {kind}")
    if not isinstance(value, msgspec.msgpack.Ext):
        try:
            return array("q", cast(list[int], value))
        except (OverflowError, TypeError) as error:
            raise ValueError(f"no column of whole numbers: {error}") from None
    if value.code not in COLUMN_CODES:
        raise ValueError(f"no column is of kind {value.code}")
    column = array(COLUMN_CODES[value.code], bytes(value.data))
    if sys.byteorder == "big":
        column.byteswap()
    return column
