"""Adapters: what another program needs of a target, by its few methods."""

from __future__ import annotations

import asyncio

import pytest

from lens import AnthropicAdapter, GenericOpenAIAdapter, OpenAIAdapter, ProviderAdapter, RateLimits, RequestConfig
from lens.adapters import rate_limits_of
from lens.errors import ConfigError
from lens.model import Limit
from lens.simulator import make_script, start_thread


@pytest.fixture(scope="module")
def simulator():
    script = make_script(ttft="5ms", itl="1ms", tokens=5, usage="always")
    with start_thread(script) as handle:
        yield handle


def test_a_request_is_sent_and_measured(simulator):
    adapter = OpenAIAdapter("gpt-4o-mini", base_url=f"{simulator.url}/v1", api_key="sk-none", proxy="")
    metrics = asyncio.run(adapter.send_request("hi", RequestConfig(max_tokens=3)))
    assert metrics.ok
    assert adapter.send_request_blocking("hi").ok
    assert adapter.target.provider == "openai"


def test_embeddings_are_never_streamed():
    assert OpenAIAdapter("gpt-4o-mini").supports_streaming()
    assert not ProviderAdapter("openai", "text-embedding-3-small", api="embeddings").supports_streaming()


def test_a_price_is_named_with_its_source_and_a_server_of_ones_own_has_none():
    price = AnthropicAdapter("claude-sonnet-4-5").get_pricing()
    assert (price.input_cost_per_million, price.output_cost_per_million) == (3, 15)
    assert price.source
    assert GenericOpenAIAdapter("llama", base_url="http://localhost:1/v1").get_pricing() is None
    own = GenericOpenAIAdapter("llama", base_url="http://localhost:1/v1", price="in=1,out=2,thinking=3").get_pricing()
    assert own.thinking_cost_per_million == 3


def test_rate_limits_are_unknown_before_the_first_answer():
    assert OpenAIAdapter("gpt-4o-mini").get_rate_limits() == RateLimits()


def test_rate_limits_are_those_of_the_last_answer():
    script = make_script(tokens=2, rate_limit="100/m")
    with start_thread(script) as handle:
        adapter = OpenAIAdapter("m", base_url=f"{handle.url}/v1", proxy="")
        adapter.send_request_blocking("hi")
    assert adapter.get_rate_limits().requests_per_minute == 100


def test_limits_are_told_apart_by_their_period():
    limits = {"requests": Limit(limit=500), "tokens": Limit(limit=30_000), "tokens_day": Limit(limit=10**6)}
    found = rate_limits_of(limits)
    assert (found.requests_per_minute, found.tokens_per_minute, found.tokens_per_day) == (500, 30_000, 10**6)
    assert rate_limits_of(limits, "groq").requests_per_minute is None
    assert rate_limits_of(limits).limits == limits


def test_a_wrong_option_is_refused_when_the_adapter_is_made():
    with pytest.raises(ConfigError, match="no argument 'temprature'; did you mean temperature"):
        OpenAIAdapter("m", temprature=1)
