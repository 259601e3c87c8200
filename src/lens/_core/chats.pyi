"""Whole streams of chats in which nothing is unusual, read without making an object of each chunk."""

from collections.abc import Sequence
from typing import Protocol

class _Frame(Protocol):
    @property
    def index(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def data(self) -> bytes: ...

def read_chat(
    frames: tuple[_Frame, ...], signals: Sequence[int]
) -> tuple[int, str, bytes | None, str | None, str | None, str | None] | None:
    """(events up to `[DONE]`, text, JSON of the counts, finish reason, model, service tier) of a usual stream.

    Usual is one choice, text alone, one object of counts at most, one tier and one fingerprint, in chunks that hold
    what every server writes, with the signals that OpenAI's rules give them, and `[DONE]` at the end.
    None of any other stream.
    """
