"""Prometheus remote write, version 1: series and samples as protocol buffers, compressed with snappy.

The message has three small types, encoded here; only the compression needs a library.
https://prometheus.io/docs/specs/prw/remote_write_spec/
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any

from lens.export.extras import need
from lens.export.prometheus import Family


def compressor() -> Any:
    """Return the module that compresses with snappy.

    Raises:
        ConfigError: the extra `push` is not installed.
    """
    return need("cramjam", "push", "--export-prometheus").snappy


def write_request(families: Iterable[Family], at_ms: int, also: Mapping[str, str]) -> bytes:
    """Return a compressed WriteRequest of all samples at one time; `also` are labels that every series gets.

    Raises:
        ConfigError: the extra `push` is not installed.
    """
    series = b"".join(
        _field(1, _series({**also, **dict(sample.labels), "__name__": sample.name}, float(sample.value), at_ms))
        for family in families
        for sample in family.samples
    )
    return bytes(compressor().compress_raw(series))


def _series(labels: Mapping[str, str], value: float, at_ms: int) -> bytes:
    """A TimeSeries of one sample; labels are sorted by name, and those without a value left out."""
    named = b"".join(_field(1, _field(1, k.encode()) + _field(2, v.encode())) for k, v in sorted(labels.items()) if v)
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
