"""Answers made by hand: events or a document, as the wire would have brought them whole."""

import json
from array import array

from lens._core.signals import SignalSet
from lens.model import Events, Stamps
from lens.wire import Exchange, Frame


def exchange(**more):
    given = {"stamps": Stamps(start=0), "status": 200, "events": Events(), "ended": True}
    return Exchange(**given | more)


def streamed(rules, *events, **more):
    """The answer of a stream with these events, each a JSON value, or bytes as they are."""
    signals = SignalSet(*rules.compiled_form())
    data = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
    found = [signals.scan(one) for one in data]
    n = len(data)
    columns = Events(
        arrived_ns=array("q", range(n)),
        lag_ns=array("q", [0] * n),
        signals=array("H", [bits for bits, _ in found]),
        chars=array("I", [chars for _, chars in found]),
        read=array("I", range(n)),
    )
    frames = tuple(Frame(index=i, name="", data=one) for i, one in enumerate(data))
    return exchange(framing="sse", events=columns, frames=frames, **more)


def whole(document, **more):
    """The answer that is one document, a JSON value or bytes as they are."""
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return exchange(framing="document", document=data, **more)
