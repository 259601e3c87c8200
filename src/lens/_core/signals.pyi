"""Which signals one event carries: JSON paths matched in one pass, no object built."""

from collections.abc import Sequence
from typing import Any

class SignalSet:
    """Rules compiled to a trie of keys. `rules` and `done` as wire.SignalRules.compiled_form gives them.

    Raises:
        ValueError: a path, scope or value cannot be compiled; the message says which and why.
    """

    def __init__(self, rules: Sequence[tuple[Any, ...]], done: bytes = b"") -> None: ...
    def scan(self, data: bytes) -> tuple[int, int]:
        """(Signal bits, characters of content) of one event's data."""
