"""The recorded answers of tests/fixtures: what came, how it is framed, and what is known of it."""

import itertools
import json
import zlib
from pathlib import Path

from twin_signals import CHAT

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
# HTTP that breaks before its body, or is not HTTP: not for a decoder of bodies.
HEADLESS = {"http_close_in_headers_01", "http_reset_before_headers_01"}
fixtures = sorted({p.name.removesuffix(".expected.json") for p in FIXTURES.glob("*.expected.json")} - HEADLESS)


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
