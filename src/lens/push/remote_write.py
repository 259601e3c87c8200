"""Prometheus remote write, version 1: series and samples as protocol buffers, compressed with snappy.

The message has three small types, encoded here. With cramjam it is compressed; without, it is snappy all the same, of
literals alone, which every reader takes.
https://prometheus.io/docs/specs/prw/remote_write_spec/
https://github.com/google/snappy/blob/main/format_description.txt
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

from lens.export.prometheus import Family

# Bytes that a literal holds at most: where its tag has the length, and where two bytes behind the tag have it.
_SHORT_LITERAL, _LITERAL = 60, 1 << 16


def snappy(data: bytes) -> bytes:
    """Return data as a block of snappy."""
    try:
        import cramjam
    except ImportError:
        return snappy_literals(data)
    return bytes(cramjam.snappy.compress_raw(data))


def snappy_literals(data: bytes) -> bytes:
    """Return data as a block of snappy that copies nothing: its length, then literals."""
    pieces = [data[at : at + _LITERAL] for at in range(0, len(data), _LITERAL)]
    return _varint(len(data)) + b"".join([_literal_tag(len(piece)) + piece for piece in pieces])


def _literal_tag(n: int) -> bytes:
    return bytes([(n - 1) << 2]) if n <= _SHORT_LITERAL else struct.pack("<BH", 61 << 2, n - 1)


def write_request(families: Iterable[Family], at_ms: int, also: Mapping[str, str]) -> bytes:
    """Return a compressed WriteRequest of all samples at one time; `also` are labels that every series gets."""
    series = b"".join(
        _field(1, _series({**also, **dict(sample.labels), "__name__": sample.name}, float(sample.value), at_ms))
        for family in families
        for sample in family.samples
    )
    return snappy(series)


def _series(labels: Mapping[str, str], value: float, at_ms: int) -> bytes:
    """Return a TimeSeries of one sample; labels are sorted by name, and those without a value left out."""
    named = b"".join(_field(1, _field(1, k.encode()) + _field(2, v.encode())) for k, v in sorted(labels.items()) if v)
    sample = b"\x09" + struct.pack("<d", value) + b"\x10" + _varint(at_ms)
    return named + _field(2, sample)


def _field(number: int, data: bytes) -> bytes:
    """Return a length-delimited field."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
