"""Remote write: snappy of literals and the messages in it, read back by libraries that are not ours."""

import sys

import cramjam
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from lens.export.prometheus import Family, Sample
from lens.push.remote_write import snappy, snappy_literals, write_request


@pytest.mark.parametrize("size", [0, 1, 60, 61, 65_535, 65_536, 65_537, 200_000])
def test_literals_are_snappy_to_another_reader(size):
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    assert bytes(cramjam.snappy.decompress_raw(snappy_literals(data))) == data


def test_a_plain_install_writes_literals_and_the_extra_compresses(monkeypatch):
    data = b"llm_latency_lens_ttft_ms" * 100
    assert len(snappy(data)) < len(data) / 2
    monkeypatch.setitem(sys.modules, "cramjam", None)
    assert snappy(data) == snappy_literals(data)


def message(name, /, **fields):
    """A message type of the protocol; fields: (number, type of the field, message it holds)."""
    kinds = descriptor_pb2.FieldDescriptorProto
    rows = [
        kinds(
            name=field, number=number, type=kind, type_name=holds and f".prw.{holds}",
            label=kinds.LABEL_REPEATED if holds else kinds.LABEL_OPTIONAL,
        )
        for field, (number, kind, holds) in fields.items()
    ]  # fmt: skip
    return descriptor_pb2.DescriptorProto(name=name, field=rows)


@pytest.fixture(scope="module")
def write_request_type():
    """Prometheus' WriteRequest, version 1, as its .proto files describe it."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="prw.proto", package="prw", syntax="proto3")
    file.message_type.extend(
        [
            message("Label", name=(1, kinds.TYPE_STRING, None), value=(2, kinds.TYPE_STRING, None)),
            message("Sample", value=(1, kinds.TYPE_DOUBLE, None), timestamp=(2, kinds.TYPE_INT64, None)),
            message("TimeSeries", labels=(1, kinds.TYPE_MESSAGE, "Label"), samples=(2, kinds.TYPE_MESSAGE, "Sample")),
            message("WriteRequest", timeseries=(1, kinds.TYPE_MESSAGE, "TimeSeries")),
        ]
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("prw.WriteRequest"))


def test_what_is_written_means_the_same_to_googles_reader(write_request_type):
    samples = [
        Sample("ttft_ms_sum", (("target", "größe"), ("empty", "")), 12.5),
        Sample("requests_total", (("status", "Success"),), 3),
    ]
    family = Family("x", "says", "counter", samples)
    data = cramjam.snappy.decompress_raw(write_request([family, family], 1_764_000_000_123, {"job": "night"}))
    found = write_request_type.FromString(bytes(data))
    rows = [
        ({one.name: one.value for one in series.labels}, [(one.value, one.timestamp) for one in series.samples])
        for series in found.timeseries
    ]
    assert rows == 2 * [
        ({"__name__": "ttft_ms_sum", "job": "night", "target": "größe"}, [(12.5, 1_764_000_000_123)]),
        ({"__name__": "requests_total", "job": "night", "status": "Success"}, [(3.0, 1_764_000_000_123)]),
    ]
    names = [[one.name for one in series.labels] for series in found.timeseries]
    assert names == [sorted(of) for of in names]
