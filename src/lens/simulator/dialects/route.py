"""From a request's method and path to its dialect. The ends of the paths decide, so that any base URL works."""

from __future__ import annotations

from lens.simulator.dialects.base import Dialect
from lens.simulator.dialects.openai import Chat, Completions, Embeddings, Models

_BY_END: tuple[tuple[str, Dialect], ...] = (
    ("/chat/completions", Chat()),
    ("/completions", Completions()),
    ("/embeddings", Embeddings()),
)
_MODELS = Models()


def dialect_for(method: str, path: str) -> Dialect | None:
    """The dialect that this path belongs to; None when no provider has such a path."""
    if method == "GET":
        return _MODELS if path.endswith("/models") else None
    for end, dialect in _BY_END:
        if path.endswith(end):
            return dialect
    return None
