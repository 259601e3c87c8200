"""The walk equals json.loads on whatever it is given, and the learned template changes nothing."""

import base64
import json

import twin_signals
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from twin_signals import CHAT, GUARDED, MALFORMED, TEXT

from lens._core.frames import Decoder
from lens._core.signals import SignalSet
from lens._core.tape import Tape


def scan(rules, data: bytes, done=b"") -> tuple[int, int]:
    return SignalSet(rules, done).scan(data)


words = st.sampled_from(
    ["choices", "delta", "content", "reasoning", "usage", "error", "type", "text", "parts", "thought", "call", "b", "t"]
)
strings = st.one_of(words, st.sampled_from(["r", "stop", "x", "e30=", "eyJhIjoxfQ=="]), st.text(max_size=12))
leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), strings)
documents = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(strings, inner, max_size=5)),
    max_leaves=20,
)


# Documents that meet the rules, which chance alone would not write. To build a strategy costs more than a draw from it.
text = st.one_of(st.none(), st.text(max_size=6), leaves)
delta = st.fixed_dictionaries({}, optional=dict.fromkeys(("content", "reasoning", "reasoning_content", "text"), text))
part = st.one_of(text, st.fixed_dictionaries({}, optional={"text": text, "thought": leaves, "call": documents}))
inner = st.fixed_dictionaries({}, optional={"type": st.sampled_from(["t", "r"]), "text": text})
encoded = st.one_of(inner, st.lists(inner, max_size=2)).map(lambda v: base64.b64encode(json.dumps(v).encode()).decode())
shapes = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.lists(st.fixed_dictionaries({"delta": delta}, optional={"finish_reason": text}), max_size=3),
        "type": st.one_of(st.sampled_from(["t", "r", "stop"]), leaves),
        "delta": st.one_of(delta, st.just("x")),
        "parts": st.lists(part, max_size=3),
        "usage": documents,
        "b": st.one_of(encoded, leaves),
        "unknown": documents,
    },
)
flags = st.booleans()
indents = st.sampled_from([None, None, 1])
separations = st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", "\r\n:")])
actions = st.sampled_from(["cut", "drop", "put", "put"])
pieces = st.sampled_from(
    [b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"0", b"-", b"e", b".", b"\x1f", b"\xff", b"u"]
)


@st.composite
def shaped(draw):
    return dict(draw(st.permutations(list(draw(shapes).items()))))


def written(draw, value) -> bytes:
    ascii_only, indent, separators = draw(flags), draw(indents), draw(separations)
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent, separators=separators)
    return text.encode(errors="surrogatepass")


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.one_of(shaped(), documents), st.sampled_from([CHAT, GUARDED, CHAT + GUARDED]))
def test_valid_json_signals_what_json_loads_would_show(data, document, rules):
    event = written(data.draw, document)
    assert scan(rules, event, b"[DONE]") == twin_signals.scan(rules, b"[DONE]", event)


@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.one_of(shaped(), documents))
def test_damaged_json_is_refused_where_json_loads_refuses_it(data, document):
    event = bytearray(written(data.draw, document))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(event)))
        action = data.draw(actions)
        if action == "cut":
            del event[at:]
        elif action == "drop":
            del event[at : at + 1]
        else:
            event[at:at] = data.draw(pieces)
    try:
        truth = twin_signals.scan(CHAT + GUARDED, b"", bytes(event))
    except twin_signals.DuplicateKey:
        assume(False)
    assert scan(CHAT + GUARDED, bytes(event)) == truth


def streamed(rules, events) -> list[tuple[int, int]]:
    """What a decoder says of these events one after another, with its template."""
    tape = Tape()
    decoder = Decoder(tape)
    decoder.begin("close", 0, "ndjson", SignalSet(rules))
    decoder.feed(b"".join(event + b"\n" for event in events), 1, 1)
    _, _, signals, chars, _ = tape.columns(0)
    return list(zip(signals.tolist(), chars.tolist(), strict=True))


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.data(),
    st.lists(
        st.one_of(shaped(), st.text(max_size=9).map(lambda t: {"choices": [{"delta": {"content": t}}]})),
        min_size=1,
        max_size=3,
    ),
    st.lists(st.text(max_size=9), min_size=1, max_size=6),
)
def test_the_template_changes_nothing(data, documents, texts):
    """Events that differ in one text only, mixed with others: each is what it is alone."""
    rules = data.draw(st.sampled_from([CHAT, GUARDED, CHAT + GUARDED]))
    events = []
    for text in texts:
        document = json.dumps(data.draw(st.sampled_from(documents)), ensure_ascii=False)
        for key in ("content", "text"):
            at = document.find(f'"{key}": "')
            if at >= 0 and data.draw(flags):
                at += len(key) + 5
                document = document[:at] + json.dumps(text, ensure_ascii=data.draw(flags))[1:-1] + document[at:]
        events.append(document.encode(errors="replace"))
    assert streamed(rules, events) == [scan(rules, event) for event in events]


def test_a_text_that_looks_like_the_rest_of_the_event_is_still_a_text():
    """Prefix and suffix of the template must not overlap in a shorter event."""
    events = [
        b'{"a":"x","t":"yy"}',
        b'{"a":"x","t":"y"}',
        b'{"a":"x","t":""}',
        b'{"a":"x","t":"}',
        b'{"a":"x","t":"\\"}',
    ]
    rules = [("t", TEXT, True, 0, None)]
    assert streamed(rules, events) == [(TEXT, 2), (TEXT, 1), (0, 0), (MALFORMED, 0), (MALFORMED, 0)]


def test_a_guard_that_looks_at_the_text_itself_is_asked_each_time():
    rules = [("t", TEXT, True, 0, ("", "t", "no", True))]
    assert streamed(rules, [b'{"t":"yes"}', b'{"t":"no"}', b'{"t":"maybe"}']) == [(TEXT, 3), (0, 0), (TEXT, 5)]
