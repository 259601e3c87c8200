"""Every shape of an answer in tests/fixtures is cut into the events it is known to have, however it is cut."""

import itertools
import json
import random
import zlib
from pathlib import Path

import pytest
from twin_signals import CHAT, CONTENT, MALFORMED

from lens._core.frames import Decoder
from lens._core.signals import SignalSet
from lens._core.tape import Tape

FIXTURES = Path(__file__).parents[1] / "fixtures"
AUDIO = [(f"choices[].delta.audio.{key}", 16, True, 0, None) for key in ("transcript", "data")]
EVENTS_OF_TYPE = {
    "text/event-stream": "sse",
    "application/x-ndjson": "ndjson",
    "application/vnd.amazon.eventstream": "aws",
}
SMALL_BYTES = 60_000  # larger answers are not fed byte by byte
# HTTP that breaks before its body, or is not HTTP: not for a decoder of bodies.
HEADLESS = {"http_close_in_headers_01", "http_reset_before_headers_01"}
# What the decoder itself has to say of a body.
ERRORS = {
    "bedrock_bad_message_crc_01": "bad checksum",
    "bedrock_bad_prelude_crc_01": "bad checksum",
    "bedrock_truncated_frame_01": "incomplete event",
    "http_bad_chunk_size_01": "bad chunk size",
    "http_reset_midstream_01": "incomplete body",
    "http_truncated_after_done_01": "incomplete body",
    "http_truncated_chunked_01": "incomplete body",
    "http_truncated_chunked_02": "incomplete body",
    "http_truncated_content_length_01": "incomplete body",
}

fixtures = sorted(p.name.removesuffix(".expected.json") for p in FIXTURES.glob("*.expected.json"))


def test_the_fixtures_are_there():
    assert len(fixtures) > 150


class Answer:
    """One fixture: its body's bytes, how HTTP frames them, and what is known of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.known = json.loads((FIXTURES / f"{name}.expected.json").read_text())
        raw = self.data = (FIXTURES / f"{name}.http").read_bytes()
        while True:
            head, _, rest = self.data.partition(b"\r\n\r\n")
            status, *lines = head.decode("latin-1").split("\r\n")
            self.data = rest
            if not status.split(" ")[1].startswith("1"):
                break
        self.head_bytes = len(raw) - len(self.data)
        self.headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            self.body, self.length = "chunked", 0
        elif "content-length" in self.headers:
            self.body, self.length = "length", int(self.headers["content-length"])
        else:
            self.body, self.length = "close", 0
        kind = self.headers.get("content-type", "").split(";")[0]
        is_array = self.known["protocol"] == "gemini_json" and kind == "application/json"
        self.events = "json_array" if is_array else EVENTS_OF_TYPE.get(kind, "document")
        self.gzipped = self.headers.get("content-encoding") == "gzip"

    def decode(self, cuts) -> tuple[Decoder, Tape, list[int]]:
        """Decoder, tape, and how many bytes of the answer had come when each event was known."""
        tape, known_at = Tape(), []
        decoder = Decoder(tape, keep_all=True)
        decoder.begin(self.body, self.length, self.events, SignalSet(CHAT + AUDIO, b"[DONE]"), encoded=self.gzipped)
        unzip = zlib.decompressobj(31)
        for a, b in itertools.pairwise(sorted({0, *cuts, len(self.data)})):
            decoder.feed(self.data[a:b], b, b)
            for payload, arrived, seen in decoder.take_encoded():
                while payload:
                    decoder.feed_payload(unzip.decompress(payload), arrived, seen)
                    payload = unzip.unused_data
                    if unzip.eof:
                        unzip = zlib.decompressobj(31)
            known_at += [self.head_bytes + b] * (len(tape) - len(known_at))
        decoder.finish(len(self.data))
        return decoder, tape, known_at


@pytest.fixture(params=[name for name in fixtures if name not in HEADLESS])
def answer(request) -> Answer:
    return Answer(request.param)


def cuts_of(answer: Answer):
    """Whole, byte by byte, and at random places."""
    n, rng = len(answer.data), random.Random(answer.name)
    yield []
    if n < SMALL_BYTES:
        yield range(1, n)
    for _ in range(3):
        yield sorted(rng.randrange(n + 1) for _ in range(rng.randint(1, 40)))


def test_each_answer_has_the_events_it_is_known_to_have_however_it_is_cut(answer):
    known, frames = answer.known, None
    for cuts in cuts_of(answer):
        decoder, tape, _ = answer.decode(cuts)
        assert decoder.error == ERRORS.get(answer.name)
        assert decoder.ended == (decoder.error in (None, "incomplete event"))
        frames = frames or tape.frames()
        assert tape.frames() == frames
        if answer.events == "document":
            assert (len(tape), bool(decoder.document)) == (0, bool(answer.data))
            continue
        signals = tape.columns(0)[2].tolist()
        # What is known stops at the first malformed event; the decoder goes on.
        stop = next((i + 1 for i, s in enumerate(signals) if s & MALFORMED), len(signals))
        if "counts" in known:
            assert stop == known["counts"]["wire_events"]
            assert decoder.comments == (known["counts"]["sse_comment_lines"] or 0)
        if known["protocol"] == "openai_chat":
            content = [i for i, s in enumerate(signals[:stop]) if s & CONTENT]
            assert len(content) == known["content_events"]
            assert content[:1] + content[-1:] == [known["first"][k] for k in ("content", "last_content") if content]


def test_an_event_is_known_with_the_byte_that_completes_it_and_stamped_no_later(answer):
    offsets, first = answer.known.get("wire_offsets"), answer.known["first"]
    if answer.events == "document" or answer.gzipped or not offsets or len(answer.data) > SMALL_BYTES:
        return
    _, tape, known_at = answer.decode(range(1, len(answer.data)))
    stamped = tape.columns(-answer.head_bytes)[0].tolist()
    for which, offset in offsets.items():
        event = first[which]
        assert abs(known_at[event] - offset) <= 1
        assert (known_at[event - 1] if event else 0) < stamped[event] <= known_at[event]
