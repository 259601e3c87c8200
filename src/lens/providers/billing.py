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
_TIER_HEADERS = ("x-amzn-bedrock-service-tier", "x-gemini-service-tier")
# What LiteLLM's proxy computed for the answer, in USD; 0 where it does not know the model.
_COST_HEADER = "x-litellm-response-cost"


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
        self.service_tier = next((name for value in names if (name := as_name(value))), self.service_tier)

    def take_fee(self, tool: str, count: Any) -> None:
        """Take how often a tool was called, or how many of its units were billed: a running total."""
        number = as_count(count)
        if number:
            self._fees[tool] = number

    def has_fee(self, tool: str) -> bool:
        """Return whether calls of this tool were counted."""
        return tool in self._fees

    def billing(self, headers: Mapping[str, str]) -> Billing | None:
        """Return what is known; None where the answer says nothing."""
        self.take_tier(self.service_tier, *[headers.get(name) for name in _TIER_HEADERS])
        found = Billing(
            service_tier=self.service_tier,
            speed=self.speed,
            region=self.region,
            fees=tuple([ToolFee(tool=tool, count=count) for tool, count in sorted(self._fees.items())]),
            items=self.items,
            itemized=self.itemized,
        )
        return found if found != Billing() else None


def reported_cost_usd(usage: dict[str, Any]) -> str | None:
    """Return what a usage object says was billed, as a decimal of USD.

    OpenRouter writes `cost`, Perplexity `cost.total_cost`, xAI `cost_in_usd_ticks`.
    """
    ticks = as_count(usage.get("cost_in_usd_ticks"))
    if ticks is not None:
        return format((ticks / TICKS_PER_USD).normalize(), "f")
    cost = usage.get("cost")
    if isinstance(cost, dict):
        cost = cost.get("total_cost")
    return repr(cost) if not isinstance(cost, str) and as_number(cost) is not None else None


def cost_in_headers_usd(headers: Mapping[str, str]) -> str | None:
    """Return what LiteLLM's proxy says the answer cost, in USD; its 0 means that it knows no price."""
    cost = headers.get(_COST_HEADER, "")
    return cost if as_number(cost) else None


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
