"""No answer breaks its reading: each value of each recorded answer is replaced by every other kind of value."""

import base64
import json

import pytest
from msgspec.structs import replace
from recorded import CODECS
from recorded_mutants import read_all, read_each, smallest_first

from lens.config.settings import CustomConfig
from lens.model import Events, Stamps
from lens.providers.registry import get_provider
from lens.wire import Ask, Exchange, Frame, Prompt, Secret

PROJECT = "https://v/v1beta1/projects/p/locations/global"
METRICS = {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 3, "outputTokenCount": 1, "firstByteLatency": 9}}
# What each maker's model sends in a chunk, and what it answers in one piece.
MAKERS = {
    "amazon.nova": (
        {"contentBlockDelta": {"delta": {"text": "a"}}},
        {"output": {"message": {"content": [{"text": "a"}]}}, "stopReason": "end_turn"},
    ),
    "amazon.titan": (
        {"outputText": "a", "completionReason": "FINISH"},
        {"results": [{"outputText": "a", "completionReason": "FINISH"}]},
    ),
    "meta.llama": ({"generation": "a", "stop_reason": "stop"}, {"generation": "a", "stop_reason": "stop"}),
    "mistral.large": ({"outputs": [{"text": "a", "stop_reason": "stop"}]}, {"outputs": [{"text": "a"}]}),
    "openai.gpt": (
        {"choices": [{"delta": {"content": "a", "reasoning": "b"}, "finish_reason": "stop"}]},
        {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]},
    ),
}
CUSTOM = CustomConfig(
    text=("choices[].delta.content",),
    whole_text=("choices[].message.content",),
    reasoning=("choices[].delta.reasoning_content",),
    tool=("choices[].delta.tool_calls[].function.arguments",),
    finish="choices[].finish_reason",
    error="error",
    served_model="model",
    done="[DONE]",
    input_tokens="usage.prompt_tokens",
    output_tokens="usage.completion_tokens",
    cached_tokens="usage.prompt_tokens_details.cached_tokens",
    reasoning_tokens="usage.completion_tokens_details.reasoning_tokens",
)


def asked(codec, base_url, **ask):
    return codec.encode(Prompt(text="x"), Ask(**ask), base_url, Secret("k"))


@pytest.mark.parametrize("protocol", CODECS)
def test_no_value_anywhere_in_an_answer_breaks_the_reading(protocol):
    seen = set()
    assert sum(read_all(name, seen) for name in smallest_first(protocol)) > 200


@pytest.mark.parametrize(("protocol", "model"), [("gemini_sse", "gemini"), ("anthropic_messages", "claude-x")])
def test_nor_that_of_the_same_from_vertex(protocol, model):
    seen, codec = set(), get_provider("vertex")
    request = asked(codec, PROJECT, model=model)
    assert sum(read_all(name, seen, codec, request) for name in smallest_first(protocol)) > 1000


def test_nor_that_of_azure():
    seen, codec = set(), get_provider("azure")
    request = asked(codec, "https://r.openai.azure.com", model="gpt")
    names = [name for name in smallest_first("openai_chat") if "azure" in name]
    assert sum(read_all(name, seen, codec, request) for name in names) > 500


def test_nor_that_of_a_protocol_told_in_a_config_file():
    seen, codec = set(), get_provider("custom").with_settings(CUSTOM)
    request = asked(codec, "https://x", model="m")
    assert sum(read_all(name, seen, codec, request) for name in smallest_first("openai_chat")) > 1000


@pytest.mark.parametrize("model", MAKERS)
def test_nor_that_of_any_maker_behind_bedrock(model):
    chunk, whole = MAKERS[model]
    base = Exchange(stamps=Stamps(start=0), status=200, framing="aws", events=Events(), ended=True)
    inside = [json.dumps({"bytes": base64.b64encode(json.dumps(part).encode()).decode()}) for part in (chunk, METRICS)]
    frames = tuple(Frame(place, "event:chunk", text.encode()) for place, text in enumerate(inside))
    codec = get_provider("bedrock")
    streamed = asked(codec, "https://bedrock-runtime.us-east-1.amazonaws.com", model=model, api="invoke")
    assert read_each(replace(base, frames=frames), set(), codec, streamed) > 80
    in_one = replace(base, frames=(), framing="document", document=json.dumps(whole).encode())
    assert read_each(in_one, set(), codec, streamed) > 40
