"""Prometheus remote write, version 1: series and samples as protocol buffers, compressed with snappy.

The message has three small types, written here by hand; only the compression needs a library.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from lens.export.extras import need
from lens.export.prometheus import Family


def write_request(families: Iterable[Family], at_ms: int, job: str) -> bytes:
    """A WriteRequest of all samples at one time, compressed.

    Raises:
        ConfigError: the extra `push` is not installed.
    """
    snappy = need("cramjam", "push", "Prometheus remote write").snappy
    series = b"".join(
        _field(1, _series((("__name__", sample.name), ("job", job), *sample.labels), float(sample.value), at_ms))
        for family in families
        for sample in family.samples
    )
    return bytes(snappy.compress_raw(series))


def _series(labels: Iterable[tuple[str, str]], value: float, at_ms: int) -> bytes:
    """TimeSeries: labels in the order of their names, and one sample."""
    named = b"".join(_field(1, _field(1, k.encode()) + _field(2, v.encode())) for k, v in sorted(labels))
    sample = b"\x09" + struct.pack("<d", value) + b"\x10" + _varint(at_ms)
    return named + _field(2, sample)


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited field."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
