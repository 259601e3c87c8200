"""What a run may cost: a quote before it begins, and a ceiling while it goes on. Joins plan and prices.

The worst case of a request is all the bytes of its body as input tokens (no tokenizer makes more of
them) and every output token it allows; what is not known is an error, never nothing.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from lens.errors import ConfigError
from lens.model import Record, Usage
from lens.orchestrator.limits import SpendCeiling, nusd_of
from lens.orchestrator.plan import Plan, Slot
from lens.pricing import PriceBook, cost_of


def worst_usd(plan: Plan, target: int, prompt: int, book: PriceBook) -> Decimal:
    """The most that one request may cost, in USD.

    Raises:
        ConfigError: the price is not known, or nothing bounds the answer.
    """
    info, config = plan.targets[target].info, plan.config.targets[target]
    price = book.find(info.provider, info.model)
    if price is None:
        raise ConfigError(f"no price for {info.provider}/{info.model}; give --price in=USD,out=USD")
    most = plan.prompts[prompt].max_tokens or config.max_tokens
    if most is None and price.output:
        raise ConfigError("nothing bounds what an answer may cost; give --max-tokens")
    usage = Usage(input_tokens=len(plan.requests[target][prompt].body), output_tokens=most or 0)
    cost = cost_of(usage, price, f"{info.provider}/{info.model}")
    if cost.total_cost is None:
        raise ConfigError(cost.reason or "the cost cannot be bounded")
    return cost.total_cost


class Spending:
    """The ceiling of a run and what its requests may cost."""

    def __init__(self, plan: Plan, book: PriceBook, limit_usd: str) -> None:
        """
        Raises:
            ConfigError: the limit is no amount, a price is unknown, or answers are not bounded.
        """
        self._book = book
        self._worst = {
            (target, prompt): nusd_of(worst_usd(plan, target, prompt, book) * (1 + plan.retry.retries), "cost")
            for target in range(len(plan.targets))
            for prompt in range(len(plan.prompts))
        }
        self.ceiling = SpendCeiling(nusd_of(limit_usd), self._cost_nusd)

    def worst_nusd(self, slot: Slot) -> int:
        return self._worst[slot.target, slot.prompt]

    def _cost_nusd(self, record: Record) -> int | None:
        cost = self._book.cost(record).total_cost
        return None if cost is None else nusd_of(cost, "cost")


def quote(plan: Plan, book: PriceBook) -> dict[str, Any]:
    """What the run may cost at most, or why that cannot be said; for --dry-run."""
    try:
        each = [
            worst_usd(plan, target, prompt, book)
            for target in range(len(plan.targets))
            for prompt in range(len(plan.prompts))
        ]
    except ConfigError as error:
        return {"known": False, "why": str(error)}
    price = book.find(plan.targets[0].info.provider, plan.targets[0].info.model)
    tries = 1 + plan.retry.retries
    found: dict[str, Any] = {
        "known": True,
        "price": price.source if price else None,
        "worst_usd_a_request": str(max(each) * tries),
        "note": "input counted as one token a byte, output as all that --max-tokens allows",
    }
    if plan.total is None:
        return {**found, "worst_usd": None, "why": "only time ends this run; --max-cost bounds it"}
    return {**found, "worst_usd": str(sum(each, Decimal(0)) / len(each) * plan.total * tries)}


def gpu_cost(window_s: float | None, output_tokens: int | None, usd_per_hour: Decimal) -> dict[str, Decimal]:
    """What a server of one's own cost while it was measured, by the price of its hour."""
    if not window_s:
        return {}
    found = {"usd": usd_per_hour * Decimal(str(window_s)) / 3600}
    if output_tokens:
        found["usd_per_million_output_tokens"] = found["usd"] / output_tokens * 1_000_000
    return found


def parse_gpu_hour(text: str) -> Decimal:
    """USD an hour of all the GPUs: "2.5", or "2.5x8" for eight.

    Raises:
        ConfigError: it is no amount.
    """
    price, _, number = text.lower().partition("x")
    try:
        found = Decimal(price.strip().lstrip("$")) * (int(number) if number else 1)
    except (InvalidOperation, ValueError):
        found = Decimal(-1)
    if not found.is_finite() or found < 0:
        raise ConfigError(f"--gpu-hour {text!r}: write USD an hour, like 2.5, or 2.5x8 for eight GPUs")
    return found
