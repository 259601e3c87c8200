"""Remote write without a library: snappy of literals, read back by one that is not ours."""

import sys

import pytest

from lens.push.remote_write import snappy, snappy_literals


@pytest.mark.parametrize("size", [0, 1, 60, 61, 65_535, 65_536, 65_537, 200_000])
def test_literals_are_snappy_to_another_reader(size):
    cramjam = pytest.importorskip("cramjam")
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    assert bytes(cramjam.snappy.decompress_raw(snappy_literals(data))) == data


def test_a_plain_install_writes_literals_and_the_extra_compresses(monkeypatch):
    data = b"llm_latency_lens_ttft_ms" * 100
    pytest.importorskip("cramjam")
    assert len(snappy(data)) < len(data) / 2
    monkeypatch.setitem(sys.modules, "cramjam", None)
    assert snappy(data) == snappy_literals(data)
