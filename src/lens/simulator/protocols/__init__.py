"""Every provider's protocol, chosen by the request's path, mostly by its end, so that any base URL works."""

from lens.simulator.http import Request
from lens.simulator.protocols.anthropic import Anthropic
from lens.simulator.protocols.base import WireProtocol
from lens.simulator.protocols.bedrock import Converse, Invoke
from lens.simulator.protocols.cohere import Cohere
from lens.simulator.protocols.google import Google, GoogleArray
from lens.simulator.protocols.ollama import OllamaChat, OllamaGenerate
from lens.simulator.protocols.openai import Chat, Completions, Embeddings, Models
from lens.simulator.protocols.openai_responses import Responses

__all__ = ["WireProtocol", "find_protocol"]

_ANTHROPIC, _GOOGLE, _GOOGLE_ARRAY, _MODELS = Anthropic(), Google(), GoogleArray(), Models()
_CONVERSE, _INVOKE = Converse(), Invoke()

# The first end that fits counts.
_BY_END: tuple[tuple[str, WireProtocol], ...] = (
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


def find_protocol(request: Request) -> WireProtocol | None:
    """Return the protocol of this request; None when no provider has such a path."""
    path = request.path
    if request.method == "GET":
        return _MODELS if path.endswith("/models") else None
    if path.endswith(":streamGenerateContent"):
        return _GOOGLE if request.query.get("alt") == "sse" else _GOOGLE_ARRAY
    for end, protocol in _BY_END:
        if path.endswith(end):
            return protocol
    return None
