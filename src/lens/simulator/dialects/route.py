"""From a request to its dialect. Paths decide, and of those mostly their ends, so that any base URL works."""

from __future__ import annotations

from lens.simulator.dialects.anthropic import Anthropic
from lens.simulator.dialects.base import Dialect
from lens.simulator.dialects.bedrock import Converse, Invoke
from lens.simulator.dialects.cohere import Cohere
from lens.simulator.dialects.google import Google, GoogleArray
from lens.simulator.dialects.ollama import OllamaChat, OllamaGenerate
from lens.simulator.dialects.openai import Chat, Completions, Embeddings, Models
from lens.simulator.dialects.responses import Responses
from lens.simulator.http import Request

_ANTHROPIC, _GOOGLE, _GOOGLE_ARRAY, _MODELS = Anthropic(), Google(), GoogleArray(), Models()
_CONVERSE, _INVOKE = Converse(), Invoke()

# The first end that fits counts.
_BY_END: tuple[tuple[str, Dialect], ...] = (
    ("/chat/completions", Chat()),
    ("/completions", Completions()),
    ("/embeddings", Embeddings()),
    ("/responses", Responses()),
    ("/messages", _ANTHROPIC),
    (":streamRawPredict", _ANTHROPIC),
    (":rawPredict", _ANTHROPIC),
    (":generateContent", _GOOGLE),
    ("/converse", _CONVERSE),
    ("/converse-stream", _CONVERSE),
    ("/invoke", _INVOKE),
    ("/invoke-with-response-stream", _INVOKE),
    ("/api/chat", OllamaChat()),
    ("/api/generate", OllamaGenerate()),
    ("/v2/chat", Cohere()),
)


def dialect_for(request: Request) -> Dialect | None:
    """The dialect that this request belongs to; None when no provider has such a path."""
    path = request.path
    if request.method == "GET":
        return _MODELS if path.endswith("/models") else None
    if path.endswith(":streamGenerateContent"):
        return _GOOGLE if request.query.get("alt") == "sse" else _GOOGLE_ARRAY
    for end, dialect in _BY_END:
        if path.endswith(end):
            return dialect
    return None
