"""Adapters: one target behind the few methods that another program needs of it.

    adapter = OpenAIAdapter("gpt-6-luna")
    metrics = await adapter.send_request("Hello", RequestConfig(max_tokens=50))
    adapter.get_pricing(), adapter.get_rate_limits()

An adapter is a Profiler that remembers what the provider last said of its rate limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from lens.config.profile import RequestConfig
from lens.config.settings import TargetConfig
from lens.model import Limit
from lens.profiler import Profiler
from lens.providers.base import Provider
from lens.providers.registry import get_provider
from lens.results.request_metrics import RequestMetrics

# APIs that answer in one piece.
_NEVER_STREAMED = ("embeddings",)
# Providers whose limit without a name of its period is of a day: https://console.groq.com/docs/rate-limits
_REQUESTS_A_DAY = ("groq",)


class PricingModel(msgspec.Struct, frozen=True, kw_only=True):
    """Standard rates in USD per million tokens; None is not known."""

    input_cost_per_million: float | None
    output_cost_per_million: float | None
    thinking_cost_per_million: float | None = None  # None: as output
    source: str | None = None  # whose price it is, and of which day


class RateLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider allows, as its last answer said; None where it did not say."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    limits: dict[str, Limit] = {}  # every limit by what it counts, with what is left and when it is whole again


class ProviderAdapter:
    """One target: a TargetConfig, or a provider's name and a model, with the options of a Profiler."""

    def __init__(self, target: TargetConfig | str, model: str = "", **options: Any) -> None:
        """
        Raises:
            ConfigError: an option is unknown.
        """
        self.profiler = Profiler(target, model, **options)
        self._limits: dict[str, Limit] = {}

    @property
    def target(self) -> TargetConfig:
        """What is asked, and how it is reached."""
        return self.profiler.target

    @property
    def provider(self) -> Provider:
        """
        Raises:
            ConfigError: no provider of that name.
        """
        return get_provider(self.target.provider)

    async def send_request(self, prompt: str, config: RequestConfig | None = None) -> RequestMetrics:
        """Send one request, from trio or asyncio; return all that was measured of it."""
        return self._seen(await self.profiler.profile_request(prompt, config))

    def send_request_blocking(self, prompt: str, config: RequestConfig | None = None) -> RequestMetrics:
        """send_request for code that does not await."""
        return self._seen(self.profiler.profile(prompt, config))

    def supports_streaming(self) -> bool:
        """Return whether answers can come in pieces."""
        return (self.target.api or self.provider.apis[0]) not in _NEVER_STREAMED

    def get_pricing(self) -> PricingModel | None:
        """Return the price that holds now; None where none is known, as for servers of one's own."""
        price = self.profiler.book.find(self.target.provider, self.target.model)
        if price is None:
            return None
        rates = (price.input, price.output, price.thinking)
        given, made, thought = [None if one is None else float(one) for one in rates]
        return PricingModel(
            input_cost_per_million=given,
            output_cost_per_million=made,
            thinking_cost_per_million=thought,
            source=price.source,
        )

    def get_rate_limits(self) -> RateLimits:
        """Return the limits that the last answer named; before the first answer nothing is known."""
        return rate_limits_of(self._limits, self.target.provider)

    def _seen(self, metrics: RequestMetrics) -> RequestMetrics:
        self._limits = metrics.record.rate_limits or self._limits
        return metrics


def rate_limits_of(limits: Mapping[str, Limit], provider: str = "") -> RateLimits:
    """Return limits by the period that their names tell; without one a minute is meant."""
    plain = () if provider in _REQUESTS_A_DAY else ("requests",)
    names = {
        "requests_per_minute": ("requests_minute", "requests_per_minute", *plain),
        "tokens_per_minute": ("tokens_minute", "tokens_per_minute", "tokens"),
        "tokens_per_day": ("tokens_day", "tokens_per_day"),
    }
    told = {field: [limits[name].limit for name in known if name in limits] for field, known in names.items()}
    found = {field: values[0] for field, values in told.items() if values}
    return RateLimits(**found, limits=dict(limits))


class _Named(ProviderAdapter):
    """Base of the adapters that know their provider."""

    PROVIDER: ClassVar[str]

    def __init__(self, model: str, **options: Any) -> None:
        super().__init__(self.PROVIDER, model, **options)


class OpenAIAdapter(_Named):
    """OpenAI's own API."""

    PROVIDER = "openai"


class AnthropicAdapter(_Named):
    """Anthropic's own API."""

    PROVIDER = "anthropic"


class GenericOpenAIAdapter(_Named):
    """Any server of OpenAI's protocol: GenericOpenAIAdapter("llama", base_url="http://localhost:8000/v1")."""

    PROVIDER = "openai-compatible"
