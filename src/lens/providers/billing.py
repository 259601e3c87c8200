"""Collect what an answer says about its bill beside its token counts: tier, region, fees, steps billed apart.

Nothing is priced here, and nothing that was asked for is taken for what was served: only the answer counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from lens.model import Billing, ToolFee, Usage, UsageItem
from lens.providers.values import as_count, as_dict, as_list, as_name, as_number

# xAI counts money in these (https://docs.x.ai/docs/api-reference, usage.cost_in_usd_ticks).
TICKS_PER_USD = Decimal(10) ** 10
# Headers that name the tier that served.
TIER_HEADERS = ("x-amzn-bedrock-service-tier", "x-gemini-service-tier")
# What LiteLLM's proxy computed for the answer, in USD; 0 where it does not know the model.
_COST_HEADER = "x-litellm-response-cost"


# Counts in a usage object that are billed beside the tokens, and what a price list calls their tools.
_FEES_IN_USAGE = {
    "num_search_queries": "web_search",  # Perplexity
    "num_sources_used": "search_source",  # xAI
    "prompt_audio_seconds": "audio_second",  # Mistral
    "search_units": "search_unit",
}
_NO_BILLING = Billing()
_FREE_TOOLS = ("web_fetch",)  # costs the tokens that it brings, and nothing else


class BillingReader:
    """The billing facts of one answer, as far as they came."""

    def __init__(self) -> None:
        self.service_tier: str | None = None
        self.speed: str | None = None
        self.region: str | None = None
        self.items: tuple[UsageItem, ...] = ()
        self.itemized = False
        self._fees: dict[str, int] = {}

    def take_tier(self, *names: Any) -> None:
        """Take the first of the names that is one; a later tier replaces an earlier one, as "auto" by what served."""
        for value in names:
            if (name := as_name(value)) is not None:
                self.service_tier = name
                return

    def take_fee(self, tool: str, count: Any) -> None:
        """Take how often a tool was called, or how many of its units were billed: a running total."""
        if count is not None and (number := as_count(count)):
            self._fees[tool] = number

    def take_usage_fees(self, usage: dict[str, Any]) -> None:
        """Take the calls of tools that a usage object counts."""
        for name, tool in _FEES_IN_USAGE.items():
            self.take_fee(tool, usage.get(name))
        for name, count in as_dict(usage.get("server_tool_use")).items():
            if (tool := name.removesuffix("_requests")) not in _FREE_TOOLS:
                self.take_fee(tool, count)

    def billing(self, headers: Mapping[str, str]) -> Billing | None:
        """Return what is known; None where the answer says nothing."""
        if self.service_tier is None:
            self.take_tier(*[headers.get(name) for name in TIER_HEADERS])
        found = Billing(
            service_tier=self.service_tier,
            speed=self.speed,
            region=self.region,
            fees=tuple([ToolFee(tool=tool, count=count) for tool, count in sorted(self._fees.items())]),
            items=self.items,
            itemized=self.itemized,
        )
        return found if found != _NO_BILLING else None


def reported_cost_usd(usage: dict[str, Any]) -> str | None:
    """Return what a usage object says was billed, as a decimal of USD.

    OpenRouter writes `cost`, to which the upstream's bill comes where the key is one's own; Perplexity
    `cost.total_cost`, xAI `cost_in_usd_ticks`, DeepInfra `estimated_cost`.
    """
    ticks = as_count(usage.get("cost_in_usd_ticks"))
    if ticks is not None:
        return format((ticks / TICKS_PER_USD).normalize(), "f")
    cost = usage.get("cost", usage.get("estimated_cost"))
    if isinstance(cost, dict):
        cost = cost.get("total_cost")
    upstream = as_dict(usage.get("cost_details")).get("upstream_inference_cost")
    if usage.get("is_byok") is True and as_number(cost) is not None and as_number(upstream) is not None:
        return format(Decimal(repr(cost)) + Decimal(repr(upstream)), "f")
    return repr(cost) if not isinstance(cost, str) and as_number(cost) is not None else None


def cost_in_headers_usd(headers: Mapping[str, str]) -> str | None:
    """Return what LiteLLM's proxy says the answer cost, in USD; its 0 means that it knows no price."""
    cost = headers.get(_COST_HEADER)
    return cost if cost and as_number(cost) else None


def modality_tokens(details: Any, modality: str) -> int | None:
    """Return the tokens of a modality ("AUDIO") in Google's list of them; None where it is not named."""
    counts = [
        count
        for one in as_list(details)
        if str(as_dict(one).get("modality")).upper() == modality
        and (count := as_count(as_dict(one).get("tokenCount"))) is not None
    ]
    return sum(counts) if counts else None


def tool_tokens(kind: str, usage: Any, model: str | None) -> tuple[UsageItem, ...]:
    """Return the tokens that a hosted tool used, as OpenAI counts them; none where there are none."""
    counts = as_dict(usage)
    given, made = as_count(counts.get("input_tokens")), as_count(counts.get("output_tokens"))
    if not given and not made:
        return ()
    of_input, of_output = as_dict(counts.get("input_tokens_details")), as_dict(counts.get("output_tokens_details"))
    used = Usage(
        input_tokens=given or 0,
        output_tokens=made or 0,
        image_input_tokens=as_count(of_input.get("image_tokens")),
        image_output_tokens=as_count(of_output.get("image_tokens")),
    )
    return (UsageItem(kind=kind, usage=used, model=model),)
