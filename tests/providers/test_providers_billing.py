"""What answers say about their bill: tiers, regions, steps, fees, kinds of tokens; and what they then cost.

Each amount was worked out by hand from the provider's price page.
"""

from decimal import Decimal

import pytest
from handmade import INFO, record
from made import streamed, whole

from lens.analysis.explore.groups import Groups
from lens.history.read import read_run
from lens.history.write import write_run
from lens.metrics.builder import read_table
from lens.model import Billing, CacheMiss, ToolFee, Usage, UsageItem
from lens.pricing import standard_book
from lens.providers.billing import BillingReader, cost_in_headers_usd, modality_tokens, reported_cost_usd, tool_tokens
from lens.providers.registry import get_provider
from lens.report.facts import outcome_facts
from lens.wire import Ask, Prompt, Secret

BOOK = standard_book()
TODAY = "2026-11-28T12:00:00.000000Z"


def read(provider, model, *events, api=None, document=None, headers=()):
    """Return what the provider reads in a stream of these events, or in a document."""
    codec = get_provider(provider)
    request = codec.encode(Prompt(text="hi"), Ask(model=model, api=api), "https://a.example", Secret("k"))
    made = whole(document, headers=headers) if document else streamed(request.signals, *events, headers=headers)
    return codec.decode(request, made)


def cost(provider, model, reading):
    made = record(
        provider=provider, model=model, served_model=reading.served_model, usage=reading.usage,
        billing=reading.billing, reported_cost_usd=reading.reported_cost_usd, timestamp=TODAY,
    )  # fmt: skip
    return BOOK.cost(made)


def response(model="gpt-6.1-sol", usage=None, **more):
    usage = {"input_tokens": 100, "output_tokens": 50, "total_tokens": 150, **(usage or {})}
    told = {"model": model, "status": "completed", "output": [], "usage": usage, **more}
    return read(
        "openai", model,
        {"type": "response.created", "response": {"model": model, "status": "in_progress", "service_tier": "auto"}},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hello"},
        {"type": "response.completed", "response": told}, api="responses",
    )  # fmt: skip


def chat(provider="openai", model="gpt-6.1-sol", headers=(), chunk=None, **usage):
    return read(
        provider, model,
        {"choices": [{"index": 0, "delta": {"content": "Hi"}}], "model": model, **(chunk or {})},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150, **usage}},
        b"[DONE]", headers=headers, api="chat" if provider == "openai" else None,
    )  # fmt: skip


def message(start=None, end=None, model="claude-opus-5-5"):
    start = {"input_tokens": 100, "output_tokens": 1, **(start or {})}
    return read(
        "anthropic", model,
        {"type": "message_start", "message": {"model": model, "usage": start}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 50, **(end or {})}},
        {"type": "message_stop"},
    )  # fmt: skip


def gemini(model, usage, **candidate):
    return read("google", model, {
        "candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP", **candidate}],
        "usageMetadata": usage, "modelVersion": model,
    })  # fmt: skip


def step(kind, given, made, **more):
    return {"type": kind, "input_tokens": given, "output_tokens": made, **more}


AUDIO = {
    "promptTokenCount": 10_000, "candidatesTokenCount": 0, "totalTokenCount": 10_000,
    "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 10_000}],
}  # fmt: skip
CASES = {
    # $2 and $10 a million: 100 in and 50 out are $0.0007.
    "tier default": ("openai", response(service_tier="default"), "0.0007"),
    "tier flex": ("openai", response(service_tier="flex"), "0.00035"),
    "tier priority": ("openai", response(service_tier="priority"), "0.0014"),
    "tier ultrafast": ("openai", response(service_tier="ultrafast"), "0.0042"),
    "tier of a chat": ("openai", chat(chunk={"service_tier": "flex"}), "0.00035"),
    "two searches at $10 a thousand": ("openai", response(tool_usage={"web_search": {"num_requests": 2}}), "0.0207"),
    "searches by the calls in the output": (
        "openai",
        response(output=[
            {"type": "web_search_call", "action": {"type": "search"}},
            {"type": "web_search_call", "action": {"type": "open_page"}},
            {"type": "file_search_call"},
        ]),
        "0.0132",
    ),
    "100,000 written for 12 h at $5": (
        "openai",
        response(usage={"input_tokens": 100_000, "input_tokens_details": {
            "cache_write_tokens": 100_000,
            "cache_write_tokens_details": {"ttl_12h_tokens": 100_000, "ttl_30m_tokens": 0},
        }}),
        "0.5005",
    ),
    # $4 and $20 a million: $0.0014.
    "speed fast": ("anthropic", message({"speed": "fast", "service_tier": "standard"}), "0.0028"),
    "region us": ("anthropic", message({"inference_geo": "us"}), "0.00154"),
    "region global": ("anthropic", message({"inference_geo": "global"}), "0.0014"),
    "three searches": (
        "anthropic", message(end={"server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 2}}), "0.0314",
    ),
    "a compaction beside the totals": (
        "anthropic", message(end={"iterations": [step("compaction", 5000, 800), step("message", 100, 50)]}), "0.0374",
    ),
    # 40 in of claude-opus-5-5 ($4), then 60 in ($2) and 50 out ($10) of claude-sonnet-5-5.
    "a fallback at its own price": (
        "anthropic",
        message(end={"iterations": [
            step("message", 40, 0), step("fallback_message", 60, 50, model="claude-sonnet-5-5"),
        ]}),
        "0.00078",
    ),
    "one hour's writes": (
        "anthropic",
        message({"cache_creation_input_tokens": 1000, "cache_creation": {"ephemeral_1h_input_tokens": 1000}}),
        "0.0094",
    ),
    "audio at $1": ("google", gemini("gemini-2.5-flash", AUDIO), "0.01"),
    # 10,000 of audio from a cache at $0.1.
    "audio from a cache": (
        "google",
        gemini("gemini-2.5-flash", {**AUDIO, "cachedContentTokenCount": 10_000, "cacheTokensDetails": [
            {"modality": "AUDIO", "tokenCount": 10_000}]}),
        "0.001",
    ),
    "an image of 1,290 tokens at $60": (
        "google",
        gemini("gemini-3.1-flash-image-preview", {"promptTokenCount": 0, "candidatesTokenCount": 1290,
            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}]}),
        "0.0774",
    ),
    # 10,000 in at $0.15 under flex.
    "Vertex's traffic type": (
        "google", gemini("gemini-2.5-flash", {"promptTokenCount": 10_000, "candidatesTokenCount": 0,
            "trafficType": "ON_DEMAND_FLEX"}), "0.0015",
    ),
    "a grounded prompt, once": (
        "google",
        gemini("gemini-2.5-flash", {"promptTokenCount": 0, "candidatesTokenCount": 0},
            groundingMetadata={"webSearchQueries": ["a", "b"]}),
        "0.035",
    ),
    "xAI's ticks": ("xai", chat("xai", "grok-4.3", cost_in_usd_ticks=37756000), "0.0037756"),
    "OpenRouter's cost": ("openrouter", chat("openrouter", "x/y", cost=0.00042), "0.00042"),
    "Perplexity's cost": ("openai-compatible", chat("openai-compatible", "sonar", cost={"total_cost": 0.006}), "0.006"),
    "LiteLLM's header": (
        "litellm", chat("litellm", "mine", headers=(("x-litellm-response-cost", "3.7e-05"),)), "0.000037",
    ),
    "LiteLLM's header of a model it does not know": (
        "openai", chat(headers=(("x-litellm-response-cost", "0.0"),)), "0.0007",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_an_answer_costs_what_it_says_it_is_billed_as(name):
    provider, reading, total = CASES[name]
    assert reading.category == "success"
    asked = "claude-opus-5-5" if provider == "anthropic" else reading.served_model or "m"
    found = cost(provider, asked, reading)
    assert found.total_cost == Decimal(total), found
    assert found.uncounted == ()
    if found.source != "reported":
        assert sum(line.usd for line in found.lines) == found.total_cost


def cohere(usage):
    return read(
        "cohere", "command-a-03-2025",
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hi"}}}},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": usage}},
    )  # fmt: skip


def test_cohere_bills_other_counts_than_it_used():
    units = {"input_tokens": 100, "output_tokens": 5, "search_units": 1}
    found = cohere({"billed_units": units, "tokens": {"input_tokens": 1000, "output_tokens": 8}, "cached_tokens": 900})
    assert (found.usage.input_tokens, found.usage.output_tokens, found.usage.cache_read_tokens) == (1000, 8, 900)
    assert (found.usage.billed_input_tokens, found.usage.billed_output_tokens) == (100, 5)
    bill = cost("cohere", "command-a-03-2025", found)
    assert bill.total_cost == Decimal("0.0003")
    assert [*map(str, bill.uncounted)] == ["1 search unit not counted"]


def test_bedrock_tells_how_long_a_cache_was_written_for_and_the_tier():
    found = read("bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0", document={
        "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}}, "stopReason": "end_turn",
        "serviceTier": {"type": "priority"}, "performanceConfig": {"latency": "optimized"},
        "usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 1515, "cacheWriteInputTokens": 1500,
                  "cacheDetails": [{"ttl": "1h", "inputTokens": 1000}, {"ttl": "5m", "inputTokens": 500}]},
    })  # fmt: skip
    assert (found.usage.input_tokens, found.usage.cache_write_tokens) == (1510, 1500)
    assert found.usage.cache_write_1h_tokens == 1000
    assert found.billing == Billing(service_tier="priority", speed="optimized")


def test_a_fallback_names_the_model_that_served():
    steps = [step("fallback_message", 100, 50, model="claude-sonnet-5-5")]
    found = message(end={"iterations": steps})
    assert found.served_model == "claude-sonnet-5-5"
    assert found.billing.itemized
    assert cost("anthropic", "claude-opus-5-5", found).lines[0].model == "claude-sonnet-5-5"


def test_what_has_no_price_is_named():
    calls = [{"type": "code_interpreter_call"}, {"type": "code_interpreter_call"}]
    images = {"image_gen": {"input_tokens": 10, "output_tokens": 1290}}
    found = cost("openai", "gpt-6.1-sol", response(output=calls, tool_usage=images))
    assert found.total_cost == Decimal("0.0007")
    assert {*map(str, found.uncounted)} == {
        "2 code interpreters not counted",
        "1,300 tokens of image generation not counted",
    }
    there = cost("anthropic", "claude-opus-5-5", message({"inference_geo": "eu"}))
    assert [*map(str, there.uncounted)] == ["1 surcharge of region 'eu' not counted"]


@pytest.mark.parametrize(
    ("usage", "says"),
    [
        ({"num_search_queries": 3}, "3 web searches not counted"),
        ({"num_sources_used": 12}, "12 search sources not counted"),
        ({"prompt_audio_seconds": 7}, "7 audio seconds not counted"),
        ({"server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 1}}, "1 web search not counted"),
    ],
)
def test_what_a_chat_is_billed_beside_its_tokens_is_named(usage, says):
    found = cost("groq", "openai/gpt-oss-20b", chat("groq", "openai/gpt-oss-20b", **usage))
    assert [*map(str, found.uncounted)] == [says]


@pytest.mark.parametrize("tier", ["scale", "reserved"])
def test_a_tier_without_known_rates_gives_no_cost_and_says_so(tier):
    found = cost("openai", "gpt-6.1-sol", response(service_tier=tier))
    assert found.total_cost is None
    assert f"no price for openai/gpt-6.1-sol at the tier {tier!r}" in found.reason


def test_groqs_flex_is_at_the_standard_price():
    found = chat("groq", "openai/gpt-oss-20b", chunk={"service_tier": "flex"})
    plain = chat("groq", "openai/gpt-oss-20b", chunk={"service_tier": "on_demand"})
    costs = [cost("groq", "openai/gpt-oss-20b", one).total_cost for one in (found, plain)]
    assert costs[0] == costs[1] is not None


def test_a_header_names_the_tier_where_the_body_does_not():
    found = chat(headers=(("x-amzn-bedrock-service-tier", "flex"),))
    assert found.billing == Billing(service_tier="flex")
    assert chat().billing is None


def test_a_record_keeps_its_bill_in_a_file(tmp_path):
    billing = Billing(
        service_tier="flex", speed="fast", region="us", fees=(ToolFee(tool="web_search", count=2),), itemized=True,
        items=(UsageItem(kind="compaction", usage=Usage(input_tokens=5, output_tokens=1), model="m"),),
    )  # fmt: skip
    from handmade import INFO

    written = record(billing=billing, usage=Usage(input_tokens=1, output_tokens=2, cache_write_12h_tokens=1))
    for name in ("run.jsonl", "run.msgpack"):
        write_run(tmp_path / name, INFO, [written])
        assert read_run(tmp_path / name).records[0].billing == billing
        assert read_run(tmp_path / name).records[0].usage == written.usage


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        ({"cost": 0.5}, "0.5"), ({"cost": "0.5"}, None), ({"cost": True}, None), ({}, None),
        ({"cost": {"total_cost": 1e-5}}, "1e-05"), ({"cost_in_usd_ticks": 1}, "0.0000000001"),
        ({"cost_in_usd_ticks": -1}, None), ({"estimated_cost": 4.2e-05}, "4.2e-05"),
        ({"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.19}}, "0.20"),
        ({"cost": 0.01, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.01}}, "0.01"),
    ],
)  # fmt: skip
def test_the_reported_cost_of_a_usage(usage, told):
    assert reported_cost_usd(usage) == told


@pytest.mark.parametrize(("header", "told"), [("0.1", "0.1"), ("0", None), ("None", None), ("", None), ("nan", None)])
def test_the_reported_cost_of_a_header(header, told):
    assert cost_in_headers_usd({"x-litellm-response-cost": header}) == told


def test_tokens_of_a_modality_are_added_up_and_nonsense_is_none():
    details = [{"modality": "AUDIO", "tokenCount": 3}, {"modality": "audio", "tokenCount": "4"}, None, {"modality": 5}]
    assert modality_tokens(details, "AUDIO") == 7
    assert modality_tokens(details, "VIDEO") is None
    assert modality_tokens("AUDIO", "AUDIO") is None
    assert tool_tokens("image_generation", {"input_tokens": 0, "output_tokens": 0}, None) == ()


def test_fees_are_running_totals():
    bill = BillingReader()
    bill.take_fee("web_search", 1)
    bill.take_fee("web_search", 3)
    bill.take_fee("web_search", 0)
    bill.take_fee("web_search", "many")
    assert bill.billing({}) == Billing(fees=(ToolFee(tool="web_search", count=3),))


TOOLS_CHANGED = {"type": "tools_changed", "cache_missed_input_tokens": 900}


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"type": "cache_miss", "reason": "tools_changed", "cache_missed_tokens": 900}, ("tools_changed", 900)),
        ({"type": "comparison_response_not_found"}, ("comparison_response_not_found", None)),
        ({"type": "cache_hit"}, None),
        (None, None),
    ],
)
def test_why_openai_read_no_prompt_from_its_cache(told, says):
    missed = response(prompt_cache_diagnostics=told).cache_miss
    assert (missed and (missed.reason, missed.tokens)) == says


@pytest.mark.parametrize(
    ("diagnostics", "says"),
    [
        ({"cache_miss_reason": TOOLS_CHANGED}, ("tools_changed", 900)),
        ({"cache_miss_reason": {"type": "previous_message_not_found"}}, ("previous_message_not_found", None)),
        ({"cache_miss_reason": None}, None),
        (None, None),
    ],
)
def test_why_anthropic_read_no_prompt_from_its_cache(diagnostics, says):
    usage = {"input_tokens": 100, "output_tokens": 1}
    found = read(
        "anthropic", "claude-opus-5-5",
        {"type": "message_start", "message": {"model": "claude-opus-5-5", "usage": usage, "diagnostics": diagnostics}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    )  # fmt: skip
    assert (found.cache_miss and (found.cache_miss.reason, found.cache_miss.tokens)) == says


def test_a_cache_miss_is_kept_shown_and_grouped_by(tmp_path):
    missed = record(cache_miss=CacheMiss(reason="tools_changed", tokens=900))
    assert ("cache miss", "tools_changed, 900 tokens") in list(outcome_facts(missed, None))
    write_run(tmp_path / "run.jsonl", INFO, [missed, record()])
    assert read_run(tmp_path / "run.jsonl").records[0].cache_miss == missed.cache_miss
    groups = Groups(read_table(tmp_path / "run.jsonl")[0], ("cache_miss",))
    assert [group.key for group in groups.groups] == [("tools_changed",), (None,)]
