"""Every reader of files and of words, given mangled ones: the documented error or a result, soon, and nothing else.

Seeds are files that are read well. FUZZ_SECONDS says how long each target is tried (`make fuzz`); what was tried
last is told when it fails, and FUZZ_SEED tries other bytes.
"""

import os
import random
import time

import pytest
from fuzzed import INPUTS
from readers import TARGETS, refused

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0.4"))
SEED = int(os.environ.get("FUZZ_SEED", "20261123"))
# CPU time that one reading may take; a pattern that explodes takes for ever.
SOON_S = 3.0
MOST_BYTES = 20_000
SNIPPETS = [b"", b"\x00", b"\xff\xfe", b"null", b"[]", b"{}", b"-1", b"1e999", b"9" * 400, b"NaN", b'"', b"\n", b"${",
            b"[" * 3000, "é🚀".encode(), b"\\ud800", b"%", b"<", b":", b"," * 50, b"true", b"\xc0\x80"]  # fmt: skip


def mangled(seed, chance):
    """The seed after a few of: bytes changed, left out, doubled, swapped for something odd."""
    data = bytearray(seed)
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        at = chance.randrange(len(data) + 1)
        end = min(at + chance.choice((1, 1, 4, 20)), len(data))
        what = chance.randrange(5)
        if what == 0 and data:
            data[at % len(data)] = chance.randrange(256)
        elif what == 1:
            del data[at:end]
        elif what == 2:
            data[at:at] = data[at:end] * chance.choice((1, 3, 50))
        elif what == 3:
            data[at:end] = chance.choice(SNIPPETS)
        else:
            data[at:] = b""
    return bytes(data[:MOST_BYTES])


@pytest.mark.parametrize("name", TARGETS)
def test_a_mangled_input_is_read_or_refused(name, scratch, record_property):
    run, seeds = TARGETS[name]
    for seed in seeds:
        run(bytes(seed), scratch)  # as it is, it is read
    chance, until, slowest, inputs = random.Random(f"{SEED} {name}"), time.monotonic() + SECONDS, 0.0, 0
    while time.monotonic() < until:
        data, inputs = mangled(chance.choice(seeds), chance), inputs + 1
        began = time.process_time()
        try:
            run(data, scratch)
        except Exception as error:
            if not refused(name, error):
                raise AssertionError(f"{type(error).__name__}: {error}; for {data!r}") from error
        slowest = max(slowest, time.process_time() - began)
        assert slowest < SOON_S, f"{slowest:.1f} s for {data!r}"
    record_property(INPUTS, inputs)
