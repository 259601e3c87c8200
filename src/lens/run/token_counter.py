"""Count tokens where a server does not say how many it read and made; after the run, and marked as an estimate.

The order of trust: what the server reports, what its events add up to, then this. There is no fallback
to characters: without a tokenizer there is no count. Counting needs the text, so the events are kept.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from lens.config.settings import RunConfig
from lens.errors import ConfigError
from lens.model import Record, Usage
from lens.providers.messages import text_of
from lens.wire import Prompt

AUTO = "auto"
# Whose text this tokenizer cuts as the model does, by what the model's name begins with; others are only near.
_ENCODINGS = {
    "gpt-oss": "o200k_harmony",
    "gpt-3.5": "cl100k_base",
    "gpt-4o": "o200k_base",
    "gpt-4.1": "o200k_base",
    "gpt-4": "cl100k_base",
    "gpt-": "o200k_base",
    "llama-3": "llama3",
    "llama3": "llama3",
    "meta-llama-3": "llama3",
    "qwen": "qwen3",
}
NAMES = ("o200k_base", "cl100k_base", "o200k_harmony", "llama3", "qwen3")


class Tokenizer(msgspec.Struct, frozen=True):
    """A name, and what counts the tokens of a text."""

    name: str
    count: Callable[[str], int]


def token_counter(config: RunConfig, prompt_of: Callable[[Record], Prompt]) -> Callable[[Record], Record] | None:
    """Return what counts the tokens of a record by its model's tokenizer; None if `output.tokenizer` asks for none.

    `prompt_of` returns what a record's request asked.

    Raises:
        ConfigError: no tokenizer of that name, or the extra `tokens` is not installed.
    """
    name = config.output.tokenizer
    if name is None:
        return None
    by_model = {target.model: load_tokenizer(name, target.model) for target in config.targets}
    any_model = load_tokenizer(name)
    return lambda record: counted(record, by_model.get(record.model, any_model), prompt_of(record))


def load_tokenizer(name: str, model: str = "") -> Tokenizer:
    """Return the tokenizer of this name; "auto" takes that of the model, or o200k_base where none is known.

    Raises:
        ConfigError: there is none of this name, or the extra `tokens` is not installed.
    """
    wanted = encoding_of(model) if name == AUTO else name
    if wanted not in NAMES:
        raise ConfigError(f"no tokenizer {name!r}; there are {AUTO}, {', '.join(NAMES)}")
    try:
        import quicktok  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        raise ConfigError("--tokenizer needs an extra: pip install 'llm-latency-lens[tokens]'") from None
    encoding = quicktok.get_encoding(wanted)
    return Tokenizer(wanted, lambda text: len(encoding.encode(text)))


def encoding_of(model: str) -> str:
    """Return the encoding of a model's name; the last part of a path counts."""
    plain = model.rpartition("/")[2].lower()
    return next((encoding for start, encoding in _ENCODINGS.items() if plain.startswith(start)), NAMES[0])


def counted(record: Record, tokenizer: Tokenizer, prompt: Prompt | None = None) -> Record:
    """Return the record with the tokens counted that nobody else has: of its prompt, and of its text where it was kept.

    Of the prompt the texts are counted; what a model's template wraps around them is not known here. What a server
    counted stays; the source then names both.
    """
    told = record.usage or Usage()
    calls = "".join([call.name + call.arguments for call in record.tool_calls])
    written = (record.text or "") + calls
    asked, made, thought = told.input_tokens, told.output_tokens, told.reasoning_tokens
    if made is None and (written or record.reasoning):
        thought = tokenizer.count(record.reasoning) if record.reasoning else None
        made = tokenizer.count(written) + (thought or 0)
    if asked is None and made is not None and prompt is not None:
        asked = tokenizer.count(_text_of(prompt))
    if (asked, made) == (told.input_tokens, told.output_tokens):
        return record
    total = asked + made if asked is not None and made is not None else None
    usage = msgspec.structs.replace(
        told, input_tokens=asked, output_tokens=made, total_tokens=total, reasoning_tokens=thought
    )
    source = f"estimated:{tokenizer.name}"
    said = f"{record.token_source}+" if record.token_source else ""
    return msgspec.structs.replace(record, usage=usage, token_source=said + source)


def _text_of(prompt: Prompt) -> str:
    return "\n".join([text_of(message.get("content")) for message in prompt.as_messages()])
