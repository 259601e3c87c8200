"""Claim: the core cuts, stamps and classifies at least 3 million streamed events a second on one core,
and keeps each in at most 8 bytes.

Chat chunks of about 300 bytes, one HTTP chunk each, are fed in reads of 64 KiB to a Decoder: body framing,
server-sent events, signals, tape. The baseline is one memchr pass over the same bytes in the same run: as
fast as they can be looked at. `walk_ns` is the same without the learned template, because a number before
the text differs in each event; json.loads is what a Python client pays for that alone. Prints one line of
JSON a claim.
"""

import json
import random
import statistics
import time

from common import claim

from lens._core.frames import Decoder
from lens._core.signals import SignalSet
from lens._core.tape import Tape

EVENTS = 20_000
READ_BYTES = 65536
REPEATS = 15
CLAIMED_PER_S = 3_000_000
CLAIMED_BYTES = 8

RULES = [
    ("choices[].delta.content", 1, True, 0, None),
    ("choices[].delta.reasoning", 2, True, 0, None),
    ("choices[].delta.reasoning_content", 2, True, 1, None),
    ("choices[].delta.refusal", 8, True, 0, None),
    ("choices[].delta.tool_calls[].function.name", 4, True, 0, None),
    ("choices[].delta.tool_calls[].function.arguments", 4, True, 0, None),
    ("choices[].finish_reason", 64, True, 0, None),
    ("usage", 32, False, 0, None),
    ("error", 128, False, 0, None),
]
# Tokens as models write them; one in twelve has an escape and misses the template.
WORDS = [" the", " stream", " of", " tokens", ",", " latency", "é", " 遅延", "ing", " a", ".", "\\n\\n"]
CHUNK = (
    'data: {"id":"chatcmpl-2UaaOxbniPnJ6nRbn8eo2Q9gSoxTD","object":"chat.completion.chunk","created":%s,'
    '"model":"gpt-5.5-2026-04-23","service_tier":"default","system_fingerprint":"fp_1f66cdd27f",'
    '"choices":[{"index":0,"delta":{"content":"%s"},"logprobs":null,"finish_reason":null}],"usage":null}\n\n'
)


def body(*, numbered: bool) -> bytes:
    """EVENTS chunks; where numbered, no two are alike before the text."""
    words = random.Random(7)
    events = (CHUNK % (1795438771 + i * numbered, words.choice(WORDS)) for i in range(EVENTS))
    return b"".join(b"%x\r\n%s\r\n" % (len(e), e) for e in (event.encode() for event in events))


def decode_ns(reads: list[bytes], rules: SignalSet) -> int:
    """One whole pass."""
    tape = Tape()
    decoder = Decoder(tape)
    decoder.begin("chunked", 0, "sse", rules)
    start = time.perf_counter_ns()
    for read in reads:
        decoder.feed(read, start, start)
    took = time.perf_counter_ns() - start
    assert len(tape) == EVENTS, decoder.error
    return took


def memchr_ns(reads: list[bytes]) -> int:
    """bytes.find of one byte is memchr; this byte is not there, so it looks at all of them."""
    start = time.perf_counter_ns()
    for read in reads:
        read.find(b"\x00")
    return time.perf_counter_ns() - start


def loads_ns(data: bytes) -> float:
    """json.loads of one event."""
    events = [line[6:] for line in data.split(b"\n") if line.startswith(b"data: ")][:2000]
    start = time.perf_counter_ns()
    for event in events:
        json.loads(event)
    return (time.perf_counter_ns() - start) / len(events)


def tape_bytes() -> float:
    """Bytes an event, at 20 ms gaps, 50 us of lag and words of 1 to 10 characters."""
    chance, tape, arrived = random.Random(7), Tape(), 10**15
    for read in range(5000):
        arrived += int(chance.gauss(20e6, 4e6))
        tape.event(arrived, arrived + int(chance.expovariate(1 / 50e3)), read, 1, chance.randint(1, 10))
    return tape.tape_bytes / len(tape)


def main() -> None:
    rules = SignalSet(RULES, b"[DONE]")
    data, numbered = body(numbered=False), body(numbered=True)
    reads, walked = ([d[i : i + READ_BYTES] for i in range(0, len(d), READ_BYTES)] for d in (data, numbered))
    # Taken in turns, so that what disturbs the machine disturbs all three.
    times = [(decode_ns(reads, rules), memchr_ns(reads), decode_ns(walked, rules)) for _ in range(REPEATS)]
    decoded, scanned, walk = (statistics.median(column) for column in zip(*times, strict=True))
    per_s, bytes_each = EVENTS / decoded * 1e9, tape_bytes()
    claim(
        "frames and signals: at least 3 million events/s on one core", per_s, "events/s",
        baseline="memchr over the same bytes", baseline_figure=EVENTS / scanned * 1e9, ratio=decoded / scanned,
        holds=per_s >= CLAIMED_PER_S,
        also=f"{len(data) / EVENTS:.0f} bytes an event in {decoded / EVENTS:.0f} ns; without the template "
        f"{walk / EVENTS:.0f} ns; json.loads alone {loads_ns(data):,.0f} ns",
    )  # fmt: skip
    claim(
        "memory a recorded event", bytes_each, "bytes", baseline="the claim", baseline_figure=CLAIMED_BYTES,
        ratio=bytes_each / CLAIMED_BYTES, holds=bytes_each <= CLAIMED_BYTES,
    )  # fmt: skip


if __name__ == "__main__":
    main()
