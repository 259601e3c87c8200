"""Tests of a chat endpoint that fail when it is slow.

pytest --latency-lens-provider openai --latency-lens-model gpt-6-sol
"""

import pytest


@pytest.mark.latency_lens(ttft_ms=500, tokens_per_second=20)
def test_chat_endpoint_performance(latency_lens):
    metrics = latency_lens.profile("Test prompt")
    assert metrics.ok
    assert metrics.output_tokens > 0


@pytest.mark.latency_lens("itl_p50<100", "total_latency_ms<30s")
def test_that_it_answers_steadily(latency_lens):
    assert latency_lens.profile("Count to ten").ok
