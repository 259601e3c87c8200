"""Which signals one event carries: JSON paths matched in one pass, no object built."""

from collections.abc import Sequence
from typing import Any

SIGNAL_BITS: dict[str, int]
"""The bit of each signal by its name in lens.model.Signal."""

CONTENT_BITS: int
"""Those that are content."""

class SignalSet:
    """Rules compiled to a trie of keys. `rules`, `done` and `blocks` as wire.SignalRules.compiled_form gives them.

    A path is keys joined by dots; "[]" stands for every element of an array, and "(base64)" after a key
    for the JSON inside that base64 string: "chunk.bytes(base64).delta.text" (Bedrock InvokeModel).
    In AWS event streams a path begins with the event type: "contentBlockDelta.delta.text".

    Raises:
        ValueError: a path, scope or value cannot be compiled; the message says which and why.
    """

    def __init__(self, rules: Sequence[tuple[Any, ...]], done: bytes = b"", blocks: Sequence[str] = ()) -> None: ...
    def block(self, data: bytes) -> int | None:
        """The number of the block that one event's data names, 0 to 65534; the last where it names several."""

    def scan(self, data: bytes) -> tuple[int, int]:
        """(Signal bits, characters of content) of one event's data.

        `done` signals DONE, white space nothing; what json.loads refuses, base64 that is not, and more than
        512 levels signal MALFORMED alone. NaN and Infinity pass, as in json.loads, and bytes that are not
        UTF-8 count as the U+FFFD that replace them. Of a key that stands twice in one object both values
        count (json.loads keeps the last).
        """
