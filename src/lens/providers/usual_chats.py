"""Read the stream of a chat that holds text alone and ended as it should, in a quarter of the time of any other.

Nearly every answer of a run is one: chunks as every server writes them, one choice, counts of tokens, `[DONE]`. What is
not exactly so is left to the protocol's reader from its beginning, which finds the same in these.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from lens._core.chats import read_chat
from lens.model import Billing, Usage
from lens.providers.answers import make_reading
from lens.providers.billing import TIER_HEADERS, cost_in_headers_usd
from lens.providers.headers import merge_headers
from lens.providers.values import MAX_TOKENS, merge_counts
from lens.wire import Exchange, Reading

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


def read_usual_chat(exchange: Exchange) -> Reading | None:
    """Return what the answer means; None where it is anything else than usual."""
    if exchange.status != 200 or exchange.framing != "sse" or exchange.document or exchange.error_field:
        return None
    chat = read_chat(exchange.frames, exchange.events.signals)
    if chat is None:
        return None
    events, text, counted, finish, model, tier = chat
    headers = merge_headers(exchange.headers)
    if finish not in _FINISHED or not headers.keys().isdisjoint(TIER_HEADERS):
        return None
    usage = raw = None
    if counted is not None:
        try:
            raw = msgspec.json.decode(counted)
            usage = _usage_of(msgspec.convert(raw, _Counts))
        except msgspec.DecodeError:
            return None
        if usage is None:
            return None
    return make_reading(
        headers,
        "success",
        None,
        usage=usage,
        usage_raw=merge_counts({}, raw) if raw else None,
        finish_reason=finish,
        served_model=model,
        text=text,
        reported_cost_usd=cost_in_headers_usd(headers),
        billing=Billing(service_tier=tier) if tier else None,
        events_read=events if events < len(exchange.events) else None,
        warnings=exchange.warnings,
    )


def _usage_of(counts: _Counts) -> Usage | None:
    """Return what parse_usage() would; None where reasoning comes on top, or the answer counts no token of its own."""
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
