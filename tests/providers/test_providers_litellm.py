"""What LiteLLM's proxy says about an answer, held to its own figures: counts, cost, and the times in its headers."""

from decimal import Decimal

import pytest
from failure_table import exchange_of
from handmade import record
from made import whole
from recorded import raw, request_of

from lens.pricing import standard_book
from lens.providers.registry import get_provider
from lens.wire import Ask, Prompt, Secret

HEADERS = (
    ("content-type", "application/json"),
    ("x-litellm-call-id", "5a6f3c1e-07b2-4d0e-9c55-2f1b8f6f1a77"),
    ("x-litellm-response-cost", "1.35e-05"),
    ("x-litellm-response-cost-input", "1.5e-06"),
    ("x-litellm-response-duration-ms", "113.226"),
)
DOCUMENT = {
    "model": "mock",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30},
}


def streamed():
    request = request_of("litellm_proxy_01")
    return get_provider("litellm").decode(request, exchange_of(request, raw("litellm_proxy_01")))


def total_cost(reading):
    made = record(
        provider="litellm", model="mock", served_model=reading.served_model, usage=reading.usage,
        billing=reading.billing, reported_cost_usd=reading.reported_cost_usd,
    )  # fmt: skip
    return standard_book().cost(made)


def test_a_stream_has_the_proxys_counts_cost_and_times():
    found = streamed()
    assert (found.category, found.text, found.warnings) == ("success", "Three sheep sleep.", ())
    assert (found.usage.input_tokens, found.usage.output_tokens, found.token_source) == (12, 5, "usage")
    bill = total_cost(found)
    assert (bill.total_cost, bill.source) == (Decimal("0.0000048"), "reported")
    assert found.server_timing_ms == {
        "litellm_response": 299.026, "litellm_callback": 0.125, "litellm_overhead": 4.5,
    }  # fmt: skip


def test_its_call_id_and_version_are_kept_and_what_a_key_has_spent_is_not():
    kept = streamed().headers
    assert kept["x-litellm-call-id"] == "5a6f3c1e-07b2-4d0e-9c55-2f1b8f6f1a77"
    assert kept["x-litellm-version"] == "1.109.1"
    assert "x-litellm-key-spend" not in kept


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_came_whole_has_the_cost_of_its_header(stream):
    codec = get_provider("litellm")
    request = codec.encode(Prompt(text="hi"), Ask(model="mock", stream=stream), "http://x/v1", Secret("k"))
    found = codec.decode(request, whole(DOCUMENT, headers=HEADERS))
    assert (found.usage.input_tokens, found.usage.output_tokens) == (10, 20)
    assert total_cost(found).total_cost == Decimal("0.0000135")
    assert found.server_timing_ms == {"litellm_response": 113.226}
