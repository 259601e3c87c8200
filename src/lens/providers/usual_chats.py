"""Read the stream of a chat that holds text alone and ended as it should, in a third of the time of any other.

Nearly every answer of a run is one: chunks as every server writes them, one choice, counts of tokens, `[DONE]`. What is
not exactly so is left to the protocol's reader from its beginning, which finds the same in these.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from lens.model import Billing, Signal, Usage
from lens.providers.answers import DONE_MARKER, make_reading
from lens.providers.billing import TIER_HEADERS, cost_in_headers_usd
from lens.providers.headers import merge_headers
from lens.providers.usual_chunks import read_usual_chunk
from lens.providers.values import MAX_TOKENS, without_none
from lens.wire import Exchange, Reading

_TEXT_BIT = int(Signal.TEXT)
# What no event of such a stream signals.
_UNUSUAL_BITS = ~int(Signal.TEXT | Signal.USAGE | Signal.FINISH)
# Stands in no chunk.
_NOT_KNOWN = (b"\0", b"")
_FINISHED = frozenset({"stop", "length"})
_Count = Annotated[int, msgspec.Meta(ge=0, lt=MAX_TOKENS)] | None


class _PromptDetails(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    cached_tokens: _Count = None
    cache_write_tokens: _Count = None
    audio_tokens: _Count = None
    image_tokens: _Count = None
    text_tokens: _Count = None


class _CompletionDetails(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    reasoning_tokens: _Count = None
    audio_tokens: _Count = None
    image_tokens: _Count = None
    text_tokens: _Count = None
    accepted_prediction_tokens: _Count = None
    rejected_prediction_tokens: _Count = None


class _Counts(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """The counts of a chat that only count tokens; any other name may be a price, a fee or a duration."""

    prompt_tokens: _Count
    completion_tokens: _Count
    total_tokens: _Count = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    reasoning_tokens: _Count = None  # SGLang
    prompt_cache_hit_tokens: _Count = None  # DeepSeek
    prompt_cache_miss_tokens: _Count = None


# The same where a server counts nothing in detail.
_NO_PROMPT_DETAILS, _NO_COMPLETION_DETAILS = _PromptDetails(), _CompletionDetails()


class _Chat(msgspec.Struct, gc=False):
    """What the chunks of an answer hold."""

    events: int  # that were read
    text: str
    counts: dict[str, Any] | None
    finish: str | None
    model: str | None
    tier: str | None


def read_usual_chat(exchange: Exchange) -> Reading | None:
    """Return what the answer means; None where it is anything else than usual."""
    if exchange.status != 200 or exchange.framing != "sse" or exchange.document or exchange.error_field:
        return None
    chat = _read_frames(exchange)
    if chat is None or chat.finish not in _FINISHED:
        return None
    usage = _read_usage(chat.counts) if chat.counts else None
    headers = merge_headers(exchange.headers)
    if (chat.counts and usage is None) or not headers.keys().isdisjoint(TIER_HEADERS):
        return None
    return make_reading(
        headers,
        "success",
        None,
        usage=usage,
        usage_raw=without_none(**chat.counts) if chat.counts else None,
        finish_reason=chat.finish,
        served_model=chat.model or None,
        text=chat.text,
        reported_cost_usd=cost_in_headers_usd(headers),
        billing=Billing(service_tier=chat.tier) if chat.tier else None,
        events_read=chat.events if chat.events < len(exchange.events) else None,
        warnings=exchange.warnings,
    )


def _read_frames(exchange: Exchange) -> _Chat | None:
    signals = exchange.events.signals
    texts: list[str] = []
    counts = finish = model = tier = fingerprint = None
    around = _NOT_KNOWN
    for frame in exchange.frames:
        data, at = frame.data, frame.index
        if data == DONE_MARKER:
            return _Chat(at + 1, "".join(texts), counts, finish, model, tier)
        bits = signals[at] if at < len(signals) and not frame.name else _UNUSUAL_BITS
        if bits == _TEXT_BIT and (text := _text_within(data, around)):
            texts.append(text)
            continue
        chunk = None if bits & _UNUSUAL_BITS else read_usual_chunk(data)
        if chunk is None or len(chunk.choices) > 1:
            return None
        model, tier, fingerprint = (
            model or chunk.model,
            tier or chunk.service_tier,
            fingerprint or chunk.system_fingerprint,
        )
        if chunk.service_tier not in (None, "", tier) or chunk.system_fingerprint not in (None, "", fingerprint):
            return None
        if chunk.usage:
            if counts or bits & _TEXT_BIT:
                return None
            counts = chunk.usage
        for choice in chunk.choices:
            text = choice.delta.content or ""
            if choice.index or bool(text) is not bool(bits & _TEXT_BIT):
                return None
            texts.append(text)
            finish = choice.finish_reason or finish
            if text and not choice.finish_reason:
                around = _bytes_around(data)
    return None


def _read_usage(raw: dict[str, Any]) -> Usage | None:
    """Return what parse_usage() would; None where it is not usual, or the answer counts no token of its own."""
    try:
        counts = msgspec.convert(raw, _Counts)
    except msgspec.ValidationError:
        return None
    of_prompt = counts.prompt_tokens_details or _NO_PROMPT_DETAILS
    of_completion = counts.completion_tokens_details or _NO_COMPLETION_DETAILS
    given, made, total = counts.prompt_tokens, counts.completion_tokens, counts.total_tokens
    cached, reasoning = of_prompt.cached_tokens, of_completion.reasoning_tokens
    if cached is None:
        cached = counts.prompt_cache_hit_tokens
    if reasoning is None:
        reasoning = counts.reasoning_tokens
    if not made or (reasoning and total == (given or 0) + made + reasoning):
        return None
    return Usage(
        input_tokens=given,
        output_tokens=made,
        total_tokens=total,
        cache_read_tokens=cached,
        cache_write_tokens=of_prompt.cache_write_tokens,
        reasoning_tokens=reasoning,
        audio_input_tokens=of_prompt.audio_tokens,
        audio_output_tokens=of_completion.audio_tokens,
        image_input_tokens=of_prompt.image_tokens,
        image_output_tokens=of_completion.image_tokens,
    )


def _bytes_around(data: bytes) -> tuple[bytes, bytes]:
    """Return what stands before and after the text of a chunk; every chunk that has the same there differs in it alone.

    data: a usual chunk that has a text. Where it holds an escape or two texts, what is returned stands in no chunk.
    """
    if b"\\" in data or data.count(b'"content"') != 1:
        return _NOT_KNOWN
    start = data.index(b'"', data.index(b'"content"') + len(b'"content"')) + 1
    return data[:start], data[data.index(b'"', start) :]


def _text_within(data: bytes, around: tuple[bytes, bytes]) -> str:
    """Return the text of a chunk that is the one `around` is of, but for its text; an empty one where it may not be."""
    before, after = around
    if not (data.startswith(before) and data.endswith(after)):
        return ""
    try:
        text = data[len(before) : len(data) - len(after)].decode()
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() and '"' not in text and "\\" not in text else ""
