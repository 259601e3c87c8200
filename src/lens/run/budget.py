"""What a run may cost: a quote before it begins, and a ceiling while it goes on. Joins plan and prices.

The worst case of a request is all the bytes of its body as input tokens (no tokenizer makes more of
them) and every output token it allows; what is not known is an error, never nothing.
"""

from __future__ import annotations

import logging
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from lens.errors import ConfigError
from lens.model import Billing, Record, Usage
from lens.orchestrator.limits import SpendCeiling, nusd_of
from lens.orchestrator.plan import Plan, Slot
from lens.orchestrator.sessions.blocks import most_bytes
from lens.orchestrator.sessions.session import Session
from lens.pricing import PriceBook, cost_of
from lens.pricing.book import PriceKey
from lens.providers.values import as_count, as_dict, as_name, first_at, parse_json
from lens.wire import Prompt, WireRequest

_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())  # told only where somebody set logging up; the run keeps the warning
# Where a request body bounds its answer, and where it asks for several.
_BOUNDS = (
    "max_tokens", "max_completion_tokens", "max_output_tokens", "max_gen_len", "generationConfig.maxOutputTokens",
    "inferenceConfig.maxTokens", "options.num_predict", "textGenerationConfig.maxTokenCount",
)  # fmt: skip
_CHOICES = ("n", "generationConfig.candidateCount")


def worst_usd(plan: Plan, target: int, prompt: int, book: PriceBook) -> Decimal:
    """Return the most that one request may cost, in USD: at the tier that its body asks for, or the standard one.

    Fees of tools that the provider runs are not in it.

    Raises:
        ConfigError: the price is not known, or nothing bounds the answer.
    """
    request = plan.requests[target][prompt]
    return worst_usd_of(plan, target, request, plan.prompts[prompt], book)


def worst_usd_of(
    plan: Plan, target: int, request: WireRequest, prompt: Prompt, book: PriceBook, *, input_tokens: int | None = None
) -> Decimal:
    """Return the most that a request may cost, in USD; its body has at most `input_tokens`, by default one a byte.

    Raises:
        ConfigError: the price is not known, or nothing bounds the answer.
    """
    info = plan.targets[target].info
    name = f"{info.provider}/{info.model}"
    body = as_dict(parse_json(request.body))
    asked = Billing(
        service_tier=as_name(body.get("service_tier")) or as_name(first_at(body, "serviceTier.type")),
        speed=as_name(body.get("speed")),
        region=as_name(body.get("inference_geo")),
    )
    found = Decimal(0)
    for billing in {None, asked if asked != Billing() else None}:
        key = PriceKey(info.provider, info.model, billing=billing)
        price = book.price_at(key)
        if price is None:
            raise ConfigError(book.missing(key))
        usage = Usage(
            input_tokens=len(request.body) if input_tokens is None else input_tokens,
            output_tokens=_most_output(plan, target, prompt, body) if price.output else 0,
        )
        cost = cost_of(usage, price, name)
        if cost.total_cost is None:
            raise ConfigError(cost.reason or "the cost cannot be bounded")
        found = max(found, cost.total_cost)
    return found


def _most_output(plan: Plan, target: int, prompt: Prompt, body: dict[str, Any]) -> int:
    """Return the most tokens that the answers to a request may have: by its body, as it is really sent.

    Raises:
        ConfigError: nothing bounds them.
    """
    config = plan.config.targets[target]
    if config.api == "embeddings":
        return 0
    bounds = [count for path in _BOUNDS if (count := as_count(first_at(body, path))) is not None]
    most = max(bounds, default=prompt.max_tokens or config.max_tokens)
    if most is None:
        raise ConfigError("nothing bounds what an answer may cost; give --max-tokens")
    return most * max([as_count(first_at(body, path)) or 1 for path in _CHOICES])


class Spending:
    """The ceiling of a run and what its requests may cost."""

    def __init__(self, plan: Plan, book: PriceBook, limit_usd: str) -> None:
        """
        Raises:
            ConfigError: the limit is no amount, a price is unknown, or answers are not bounded.
        """
        self._plan, self._book = plan, book
        limit_nusd = nusd_of(limit_usd)
        if plan.sessions is not None:
            session_costs(plan, book)  # refuses what cannot be bounded before anything is sent
        self._worst = {
            (target, prompt): self._with_retries(worst_usd(plan, target, prompt, book))
            for target in range(len(plan.targets))
            for prompt in range(len(plan.prompts))
        }
        self.ceiling = SpendCeiling(limit_nusd, self._cost_nusd)

    def worst_nusd(self, slot: Slot) -> int:
        """Return the most that a request may cost."""
        if slot.request is None:
            return self._worst[slot.target, slot.prompt]
        plan = self._plan
        return self._with_retries(worst_usd_of(plan, slot.target, slot.request, plan.asked_by(slot), self._book))

    def _with_retries(self, usd: Decimal) -> int:
        return nusd_of(usd * (1 + self._plan.retry.retries), "cost")

    def _cost_nusd(self, record: Record) -> int | None:
        cost = self._book.cost(record).total_cost
        return None if cost is None else nusd_of(cost, "cost")


class CostWarning:
    """Adds up what a run has cost, and warns once it is more than an amount."""

    def __init__(self, book: PriceBook, limit_usd: str) -> None:
        """
        Raises:
            ConfigError: the limit is no amount.
        """
        self._book, self.limit_usd = book, Decimal(nusd_of(limit_usd, "--warn-cost")).scaleb(-9).normalize()
        self._spent = Decimal(0)
        self._requests = 0
        self.warning: str | None = None

    def add(self, record: Record) -> None:
        """Take the cost of a request, where it is known."""
        if self.warning is not None:
            return
        self._requests += 1
        self._spent += self._book.cost(record).total_cost or 0
        if self._spent > self.limit_usd:
            spent = f"${self._spent.normalize():f} after {self._requests} request{'s' if self._requests > 1 else ''}"
            self.warning = f"--warn-cost ${self.limit_usd:f}: the run had cost {spent}, and went on"
            _log.warning("%s", self.warning)


def cost_warning(total_usd: Decimal | None, limit_usd: str | None) -> str | None:
    """Return the warning of a run whose cost was known at its end only, its tokens counted by a tokenizer."""
    if limit_usd is None or total_usd is None or total_usd <= Decimal(limit_usd):
        return None
    return f"--warn-cost ${Decimal(limit_usd).normalize():f}: the run cost ${total_usd.normalize():f}"


def quote(plan: Plan, book: PriceBook) -> dict[str, Any]:
    """Return what the run may cost at most, or why that cannot be said; for --dry-run."""
    worst_of, unit, what = (
        (_worst_of_requests, "request", "the request")
        if plan.sessions is None
        else (_worst_of_sessions, "session", "each turn")
    )
    try:
        most, whole = worst_of(plan, book)
    except ConfigError as error:
        return {"known": False, "why": str(error)}
    price = book.find(plan.targets[0].info.provider, plan.targets[0].info.model)
    tries = 1 + plan.retry.retries
    found: dict[str, Any] = {
        "known": True,
        "price": price.source if price else None,
        f"worst_usd_a_{unit}": str(most * tries),
        "note": f"input counted as one token a byte, output as all that {what} allows; fees of tools are not in it",
    }
    if whole is None:
        return {**found, "worst_usd": None, "why": "only time ends this run; --max-cost bounds it"}
    return {**found, "worst_usd": str(whole * tries)}


def _worst_of_requests(plan: Plan, book: PriceBook) -> tuple[Decimal, Decimal | None]:
    """Return the most that a request may cost and the most of all together, in USD; None where only time ends them."""
    each = [
        worst_usd(plan, target, prompt, book)
        for target in range(len(plan.targets))
        for prompt in range(len(plan.prompts))
    ]
    return max(each), None if plan.total is None else sum(each, Decimal(0)) / len(each) * plan.total


def _worst_of_sessions(plan: Plan, book: PriceBook) -> tuple[Decimal, Decimal | None]:
    """Return the same of sessions."""
    costs = session_costs(plan, book)
    most = max(max(one) for one in costs)
    if plan.units_total is None:
        return most, None
    slots = [plan.slot(number, plan.stages[0]) for number in range(plan.units_total)]
    return most, sum([costs[slot.target][slot.prompt] for slot in slots], Decimal(0))


def session_costs(plan: Plan, book: PriceBook) -> list[list[Decimal]]:
    """Return the most that each session may cost, in USD, by target and then by session.

    Raises:
        ConfigError: the price is not known, or nothing bounds the answer of a turn.
    """
    assert plan.sessions is not None
    sessions = plan.sessions.sessions
    return [[_session_usd(plan, target, one, book) for one in sessions] for target in range(len(plan.targets))]


def _session_usd(plan: Plan, target: int, session: Session, book: PriceBook) -> Decimal:
    """Return the most that a session may cost: the input of a turn is its history, answers and own messages."""
    live = plan.is_live
    asked: list[int] = []  # tokens of each turn's own messages at most
    answered: list[int] = []
    total = Decimal(0)
    for turn in session.turns:
        own = Prompt(messages=turn.messages, text="x", max_tokens=turn.max_tokens, extra_body=turn.extra_body)
        request = plan.targets[target].encode(own)
        asked.append(len(request.body) + (most_bytes(turn.blocks) if turn.blocks is not None else 0))
        bound = _most_output(plan, target, own, as_dict(parse_json(request.body)))
        recorded = len(msgspec.json.encode(turn.answer)) if turn.answer is not None else 0
        answered.append(max(bound, recorded) if live else recorded)
        given = sum(asked[one] + answered[one] for one in turn.history) + asked[-1]
        total += worst_usd_of(plan, target, request, own, book, input_tokens=given)
    return total


def gpu_cost(window_s: float | None, output_tokens: int | None, usd_per_hour: Decimal) -> dict[str, Decimal]:
    """Return what a server of one's own cost while it was measured, by the price of its hour."""
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
