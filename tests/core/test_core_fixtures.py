"""Every shape of an answer in tests/fixtures is cut into the events it is known to have, however it is cut."""

import random

import pytest
from answers import Answer, fixtures
from twin_signals import CONTENT, MALFORMED

SMALL_BYTES = 60_000  # larger answers are not fed byte by byte
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


def test_the_fixtures_are_there():
    assert len(fixtures) > 150


@pytest.fixture(params=fixtures)
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
