"""The same bytes give the same verdict whether an answer's events are kept whole (--save-text) or only scanned.

The recorded answers are read both ways in test_providers_recorded.py; here are texts and values that parsers are known
to disagree on.
"""

import pytest
from recorded import exchange_of, reading_of

from lens.orchestrator.collect import first_events

TEXTS = {
    "a lone high surrogate": rb'"\ud800"', "a lone low surrogate": rb'"\udc00 x"',
    "a pair turned round": rb'"\udc00\ud800"',
    "a pair": rb'"\ud83d\ude00"', "an escaped NUL": rb'"\u0000"', "no UTF-8": b'"\xff"',
    "a raw surrogate": b'"\xed\xa0\x80"',
    "an overlong form": b'"\xc0\xaf"', "a cut character": b'"\xe2\x82"', "beyond Unicode": b'"\xf5\x80\x80\x80"',
    "a raw control": b'"\x01"', "a raw tab": b'"a\tb"', "an unknown escape": rb'"\x41"', "a short escape": rb'"\u12"',
}  # fmt: skip
VALUES = {
    "-Infinity": b"-Infinity", "Infinity": b"Infinity", "NaN": b"NaN", "-NaN": b"-NaN", "1e999": b"1e999", "01": b"01",
    "+1": b"+1", ".5": b".5", "1.": b"1.", "400 digits": b"9" * 400, "None": b"None", "-": b"-", "1e": b"1e",
    "deep": b"[" * 300 + b"]" * 300, "too deep": b"[" * 2000 + b"]" * 2000, "a comma too many": b"[1,]",
    "a name twice": b'{"a":1,"a":2}', "single quotes": b"'x'", "a comment": b"1/*x*/",
}  # fmt: skip
ODD = {**{name: (text, b"1") for name, text in TEXTS.items()}, **{name: (b'"a"', one) for name, one in VALUES.items()}}
# An answer by protocol: TEXT and VALUE stand where an odd one is put; the recorded answer says which codec reads it.
ANSWERS = {
    "oai_chat_basic_01": b"""data: {"id":"x","choices":[{"index":0,"delta":{"content":TEXT},"p":VALUE}]}

data: {"choices":[{"index":0,"delta":{"content":"b"}}]}

data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}

data: [DONE]

""",
    "anthropic_basic_01": b"""event: message_start
data: {"type":"message_start","message":{"id":"m","model":"c","usage":{"input_tokens":3,"output_tokens":1}}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":TEXT},"p":VALUE}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}

event: message_stop
data: {"type":"message_stop"}

""",
    "gemini_sse_basic_01": b"""data: {"candidates":[{"content":{"parts":[{"text":TEXT}]},"p":VALUE}]}

data: {"candidates":[{"content":{"parts":[{"text":"b"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3}}

""",
    "ollama_chat_basic_01": b"""{"model":"m","message":{"role":"assistant","content":TEXT},"p":VALUE,"done":false}
{"model":"m","message":{"content":""},"done":true,"done_reason":"stop","prompt_eval_count":3,"eval_count":2}
""",
    "oai_responses_basic_01": b"""event: response.output_text.delta
data: {"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":TEXT,"p":VALUE}

event: response.completed
data: {"type":"response.completed","response":{"id":"r","status":"completed","model":"m","usage":{"input_tokens":3}}}

""",
    "cohere_v2_stream_01": b"""event: content-delta
data: {"type":"content-delta","index":0,"delta":{"message":{"content":{"text":TEXT}}},"p":VALUE}

event: message-end
data: {"type":"message-end","delta":{"finish_reason":"COMPLETE","usage":{"tokens":{"input_tokens":3}}}}

data: [DONE]

""",
}


# Perplexity's full mode: each chunk has what is new, and beside it all of the message so far.
REPEATING = b"""data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"One"},"message":{"content":"One"}}]}

data: {"choices":[{"index":0,"delta":{"content":" two"},"message":{"content":"One two"}}]}

data: {"choices":[{"index":0,"delta":{"content":" three"},"message":{"content":"One two three"}}]}

data: {"choices":[{"index":0,"delta":DELTA,"message":{"content":"One two three"},"finish_reason":"stop"}]}

data: [DONE]

"""


@pytest.mark.parametrize("keep_all", [False, True])
@pytest.mark.parametrize("delta", [b'{"role":"assistant","content":""}', b"{}"])
def test_text_that_every_event_repeats_counts_once(delta, keep_all):
    body = REPEATING.replace(b"DELTA", delta)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(body)
    exchange, _ = exchange_of("oai_chat_basic_01", [head + body], keep_all=keep_all)
    reading = reading_of("oai_chat_basic_01", exchange)
    assert reading.category == "success"
    assert reading.chars_per_event == (3, 4, 6, 0, 0)
    assert reading.text == ("One two three" if keep_all else "")
    assert first_events(exchange.events, None, reading.chars_per_event).chars.tolist() == [3, 4, 6, 0, 0]


def test_text_that_no_event_repeats_is_counted_as_it_came():
    body = ANSWERS["oai_chat_basic_01"].replace(b"TEXT", b'"a"').replace(b"VALUE", b"1")
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(body)
    exchange, _ = exchange_of("oai_chat_basic_01", [head + body], keep_all=False)
    assert reading_of("oai_chat_basic_01", exchange).chars_per_event is None


def verdict(name, data, *, keep_all):
    """All of a record that does not depend on whether texts are wanted."""
    exchange, _ = exchange_of(name, [data], keep_all=keep_all)
    reading = reading_of(name, exchange)
    kept = (
        reading.category,
        reading.failure,
        reading.usage,
        reading.finish_reason,
        reading.warnings,
        reading.served_model,
    )
    return (*kept, exchange.events.signals, exchange.events.chars)


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", ANSWERS)
def test_an_odd_event_is_judged_the_same_whether_it_is_kept_or_not(name, odd):
    text, value = ODD[odd]
    body = ANSWERS[name].replace(b"TEXT", text).replace(b"VALUE", value)
    media = b"application/x-ndjson" if name.startswith("ollama") else b"text/event-stream"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (media, len(body))
    assert verdict(name, head + body, keep_all=False) == verdict(name, head + body, keep_all=True)
