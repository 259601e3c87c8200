"""What every codec's Reading has in common: what the response's headers told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lens.model import Failure, Usage
from lens.providers.headers import kept_headers, rate_limits, request_id, server_timing_ms
from lens.wire import Exchange, Reading


def reading(
    exchange: Exchange,
    category: str,
    failure: Failure | None,
    *,
    usage: Usage | None = None,
    timings_ms: Mapping[str, float] | None = None,
    **more: Any,
) -> Reading:
    """A Reading of this outcome; `more` are its other fields."""
    named = dict(exchange.headers)
    return Reading(
        category=category,
        failure=failure,
        usage=usage,
        token_source="usage" if usage is not None else None,
        headers=kept_headers(exchange.headers),
        rate_limits=rate_limits(named),
        server_timing_ms={**server_timing_ms(named), **(timings_ms or {})},
        provider_request_id=request_id(named),
        **more,
    )
