"""Servers that speak OpenAI's protocol, as data: address, key variable and quirks."""

from __future__ import annotations

import msgspec


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """What differs from one server of the protocol to the next."""

    name: str
    title: str
    base_url: str | None = None
    address_variables: tuple[str, ...] = ()  # that name its address, where it has none of its own
    key_variables: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    max_tokens_key: str = "max_tokens"  # OpenAI's own models want max_completion_tokens
    include_usage: bool = True  # False where stream_options is refused or needless
    plain_chunks: bool = False  # ask for no random padding, so that chunk sizes compare
    quirks: tuple[str, ...] = ()  # what to know when reading its figures
    owner: str | None = None  # `owned_by` of the models that such a server lists


PRESETS: tuple[Preset, ...] = (
    Preset(
        name="openai",
        title="OpenAI",
        base_url="https://api.openai.com/v1",
        key_variables=("OPENAI_API_KEY",),
        max_tokens_key="max_completion_tokens",
        plain_chunks=True,
        quirks=("reasoning text is never sent, only counted",),
    ),
    Preset(
        name="openai-compatible",
        title="any server of OpenAI's protocol",
        aliases=("compatible", "generic"),
        quirks=("needs --base-url",),
    ),
    Preset(
        name="simulator",
        title="the embedded simulator",
        owner="simulator",
        quirks=("starts by itself without --base-url",),
    ),
    Preset(
        name="vllm",
        owner="vllm",
        title="vLLM",
        base_url="http://localhost:8000/v1",
        quirks=("several tokens a chunk under load", "reasoning may come under two names; it counts once"),
    ),
    Preset(name="sglang", title="SGLang", owner="sglang", base_url="http://localhost:30000/v1"),
    Preset(name="tgi", title="Text Generation Inference", base_url="http://localhost:3000/v1"),
    Preset(
        name="llamacpp",
        owner="llamacpp",
        title="llama.cpp server",
        base_url="http://localhost:8080/v1",
        aliases=("llama.cpp", "llama-cpp"),
        quirks=("reports its own prompt and decode times", "503 while the model loads"),
    ),
    Preset(
        name="ollama-openai",
        owner="library",
        title="Ollama, under /v1",
        base_url="http://localhost:11434/v1",
        quirks=("a tool call comes whole in one chunk",),
    ),
    Preset(
        name="deepseek",
        title="DeepSeek",
        base_url="https://api.deepseek.com/v1",
        key_variables=("DEEPSEEK_API_KEY",),
        quirks=("keep-alive comments while it queues; they are no tokens",),
    ),
    Preset(
        name="openrouter",
        title="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        key_variables=("OPENROUTER_API_KEY",),
        quirks=("says what it billed; that cost is used", "keep-alive comments while it queues"),
    ),
    Preset(
        name="groq",
        title="Groq",
        base_url="https://api.groq.com/openai/v1",
        key_variables=("GROQ_API_KEY",),
        quirks=("reports its queue time",),
    ),
    Preset(
        name="mistral",
        title="Mistral",
        base_url="https://api.mistral.ai/v1",
        key_variables=("MISTRAL_API_KEY",),
        include_usage=False,
        quirks=("content may be a list of parts", "usage comes unasked"),
    ),
    Preset(
        name="xai",
        title="xAI",
        base_url="https://api.x.ai/v1",
        key_variables=("XAI_API_KEY",),
        quirks=("completion_tokens leaves reasoning out; it is added",),
    ),
    Preset(
        name="together",
        title="Together",
        base_url="https://api.together.xyz/v1",
        key_variables=("TOGETHER_API_KEY",),
    ),
    Preset(
        name="fireworks",
        title="Fireworks",
        base_url="https://api.fireworks.ai/inference/v1",
        key_variables=("FIREWORKS_API_KEY",),
    ),
    Preset(name="litellm", title="LiteLLM proxy", base_url="http://localhost:4000/v1", aliases=("lite-llm",)),
)
