"""Token counts under one set of names (WIRE 4); what a server did not report stays None."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lens.model import Usage
from lens.providers.base import as_dict

# No answer holds a million million tokens; sums of a run's counts stay within 64 bits.
MOST_TOKENS = 2**40


def count(value: Any) -> int | None:
    """A token count; anything that is none is None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST_TOKENS else None


def first_count(*values: Any) -> int | None:
    """The first of the values that is a count."""
    return next((found for value in values if (found := count(value)) is not None), None)


def total(*parts: int | None) -> int | None:
    """The sum of the parts that are known; None where none is."""
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def openai_usage(raw: Any) -> Usage | None:
    """Usage of the chat and completions APIs and of whoever speaks them.

    Reasoning is a part of completion_tokens, except where the total says otherwise (xAI): then it
    is added, because it is billed.
    """
    usage = as_dict(raw)
    prompt, completion = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
    if prompt is None and completion is None:
        return None
    asked, given = as_dict(usage.get("prompt_tokens_details")), as_dict(usage.get("completion_tokens_details"))
    reasoning = first_count(given.get("reasoning_tokens"), usage.get("reasoning_tokens"))
    whole = count(usage.get("total_tokens"))
    if reasoning and whole is not None and completion is not None and whole == (prompt or 0) + completion + reasoning:
        completion += reasoning
    return Usage(
        input_tokens=prompt,
        output_tokens=completion,
        total_tokens=whole,
        cache_read_tokens=first_count(asked.get("cached_tokens"), usage.get("prompt_cache_hit_tokens")),
        cache_write_tokens=count(asked.get("cache_write_tokens")),
        reasoning_tokens=reasoning,
        audio_input_tokens=count(asked.get("audio_tokens")),
        audio_output_tokens=count(given.get("audio_tokens")),
    )


def responses_usage(raw: Any) -> Usage | None:
    """Usage of the Responses API: input and output are both whole."""
    usage = as_dict(raw)
    given, made = count(usage.get("input_tokens")), count(usage.get("output_tokens"))
    if given is None and made is None:
        return None
    asked, told = as_dict(usage.get("input_tokens_details")), as_dict(usage.get("output_tokens_details"))
    return Usage(
        input_tokens=given,
        output_tokens=made,
        total_tokens=count(usage.get("total_tokens")),
        cache_read_tokens=count(asked.get("cached_tokens")),
        cache_write_tokens=count(asked.get("cache_write_tokens")),
        reasoning_tokens=count(told.get("reasoning_tokens")),
        audio_input_tokens=count(asked.get("audio_tokens")),
        audio_output_tokens=count(told.get("audio_tokens")),
    )


def growth(totals: Sequence[int]) -> tuple[int, ...] | None:
    """Tokens of each event from a running total after each; None where it ever falls."""
    steps = tuple([after - before for before, after in zip((0, *totals), totals, strict=False)])
    return steps if all(step >= 0 for step in steps) else None
