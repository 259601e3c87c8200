"""A tool is asked for as each protocol writes it, and only where we know how."""

import json

import pytest

from lens.config.settings import TargetConfig
from lens.providers.base import merge
from lens.providers.registry import get_provider
from lens.run.tool_probe import NAME, TASK, tool_body
from lens.wire import Ask, Prompt, Secret


@pytest.mark.parametrize(
    ("provider", "api", "key"),
    [
        ("openai", None, "tools"), ("openai", "responses", "tools"), ("vllm", None, "tools"),
        ("anthropic", None, "tools"), ("google", None, "toolConfig"), ("bedrock", "converse", "toolConfig"),
        ("ollama", None, "tools"), ("cohere", None, "tool_choice"), ("simulator", None, "tools"),
    ],
)  # fmt: skip
def test_each_protocol_has_its_own_form(provider, api, key):
    body = tool_body(TargetConfig(provider=provider, model="m", api=api))
    assert key in body
    assert NAME in json.dumps(body)
    if provider != "bedrock":  # which signs with a key of two parts
        ask = Ask(model="m", api=api, extra_body=merge({}, body))
        sent = get_provider(provider).encode(Prompt(text=TASK), ask, "https://h.example", Secret("k"))
        assert NAME in sent.body.decode()


@pytest.mark.parametrize(
    ("provider", "api"), [("openai", "completions"), ("openai", "embeddings"), ("ollama", "generate")]
)
def test_where_there_are_no_tools_none_is_asked_for(provider, api):
    assert tool_body(TargetConfig(provider=provider, model="m", api=api)) is None
