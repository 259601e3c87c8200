"""One target asked in several ways: names, bodies, and schemas that no request had before."""

import json

import pytest
from msgspec.structs import replace

from lens.config.settings import CompareConfig, LoadConfig, RunConfig, SessionConfig, TargetConfig
from lens.errors import ConfigError, FileError
from lens.orchestrator.plan import make_plan
from lens.orchestrator.variants import PLACEHOLDER, as_novel, parse_variant, with_placeholder, with_ways

TARGET = TargetConfig(provider="openai", model="m", base_url="http://h/v1", api_key_env="KEY")
SCHEMA = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}}
TOOLS = {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]}


def ways(*targets, load=None, sessions=None, **compare):
    config = RunConfig(
        targets=targets or (TARGET,),
        load=load or LoadConfig(),
        sessions=sessions or SessionConfig(),
        compare=CompareConfig(**compare),
    )
    return with_ways(config)


def names(config):
    return [one.name for one in config.targets]


def test_a_configuration_that_names_no_ways_stays_as_it_is():
    config = RunConfig(targets=(TARGET,))
    assert with_ways(config) is config


def test_each_variant_is_a_target_with_its_body_and_a_label():
    config = ways(variants=("plain", 'json:{"top_p": 1, "stop": null}'), load=LoadConfig(iterations=3))
    assert names(config) == ["plain", "json"]
    assert [one.labels for one in config.targets] == [{"variant": "plain"}, {"variant": "json"}]
    assert config.targets[0] == replace(TARGET, name="plain", labels={"variant": "plain"})
    assert config.compare == CompareConfig()
    assert with_ways(config) == config


def test_a_body_is_laid_over_that_of_the_target():
    target = replace(TARGET, extra_body={"a": {"b": 1, "c": 2}, "d": 3})
    body = ways(target, variants=('x:{"a": {"b": 9}, "d": null}',)).targets[1].extra_body
    assert body == {"a": {"b": 9, "c": 2}}


def test_one_variant_alone_is_compared_with_the_plain_request():
    assert names(ways(variants=('json:{"a": 1}',))) == ["plain", "json"]


def test_a_variant_may_be_read_from_a_file(tmp_path):
    path = tmp_path / "low.json"
    path.write_text('{"effort": "low"}')
    assert parse_variant(f"low:@{path}") == ("low", {}, {"effort": "low"})


def test_factors_are_crossed_with_variants_and_targets():
    other = replace(TARGET, name="eu", labels={"region": "eu"})
    config = ways(TARGET, other, variants=("plain", "x:{}"), factors=("stream", "connection"))
    assert len(config.targets) == 2 * 2 * 2 * 2
    assert names(config)[:3] == ["openai/m/plain+streamed+reuse", "openai/m/plain+streamed+fresh",
                                 "openai/m/plain+whole+reuse"]  # fmt: skip
    last = config.targets[-1]
    assert (last.name, last.stream, last.connection) == ("eu/x+whole+fresh", False, "fresh")
    assert last.labels == {"region": "eu", "variant": "x", "stream": "whole", "connection": "fresh"}


@pytest.mark.parametrize(
    ("provider", "factor", "found"),
    [
        ("openai", "tier", [{"service_tier": "default"}, {"service_tier": "flex"}, {"service_tier": "priority"}]),
        ("openai", "tier=flex,auto", [{"service_tier": "flex"}, {"service_tier": "auto"}]),
        ("anthropic", "tier", [{"service_tier": "standard_only"}, {"service_tier": "auto"}]),
        ("bedrock", "tier=flex", [{"serviceTier": {"type": "flex"}}]),
    ],
)
def test_service_tiers_are_those_of_the_provider(provider, factor, found):
    config = ways(replace(TARGET, provider=provider), factors=(factor,))
    assert [one.extra_body for one in config.targets] == found


def test_a_gateway_and_an_adapter_are_other_addresses_and_models():
    assert [(one.name, one.base_url) for one in ways(factors=("gateway=https://user@gw.example/v1",)).targets] == [
        ("direct", "http://h/v1"), ("via gw.example", "https://user@gw.example/v1")
    ]  # fmt: skip
    assert [(one.name, one.model) for one in ways(factors=("lora=law,med",)).targets] == [
        ("base", "m"), ("law", "law"), ("med", "med")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"variants": ("a", "a:{}")}, "give each its own name"),
        ({"variants": (":{}",)}, "write NAME"),
        ({"variants": ("a:",)}, "write NAME"),
        ({"variants": ("a:{",)}, "not JSON"),
        ({"variants": ("a:[1]",)}, "not a JSON object"),
        ({"factors": ("speed",)}, "write stream, connection"),
        ({"factors": ("stream=1",)}, "write stream, connection"),
        ({"factors": ("gateway",)}, "write stream, connection"),
        ({"factors": ("gateway=gw.example",)}, "with its scheme"),
        ({"factors": ("connection",), "load": LoadConfig(connection="fresh")}, "--connection fresh contradicts"),
        ({"novel": "schema"}, "no body has a schema"),
        ({"novel": "tool", "variants": (f"a:{json.dumps(SCHEMA)}",)}, "no body has tools"),
        ({"novel": "schema", "sessions": SessionConfig(turns="2")}, "no effect on sessions"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(said, why):
    with pytest.raises(ConfigError, match=why):
        ways(**said)


def test_a_provider_without_service_tiers_is_named():
    with pytest.raises(ConfigError, match="provider ollama name no service tier"):
        ways(replace(TARGET, provider="ollama"), factors=("tier",))


def test_a_file_that_cannot_be_read_is_reported(tmp_path):
    with pytest.raises(FileError, match="absent"):
        parse_variant(f"a:@{tmp_path}/absent")


@pytest.mark.parametrize(("kind", "body"), [("schema", SCHEMA), ("tool", TOOLS)])
def test_each_request_of_a_novel_target_has_a_schema_of_its_own(kind, body):
    config = ways(novel=kind, variants=("plain", f"x:{json.dumps(body)}"), load=LoadConfig(iterations=4))
    assert names(config) == ["plain", "x", "x, novel"]
    assert config.load.warmup == "3"  # a round: what is repeated is new to the server once
    plan = make_plan(config, {"KEY": "k"})
    sent = {}
    for index in range(12):
        slot = plan.slot(index, plan.stages[0])
        sent.setdefault(slot.target, []).append(plan.request_of(slot).body)
    assert [len(set(sent[target])) for target in range(3)] == [1, 1, 4]
    assert {len(one) for one in sent[2]} == {len(sent[2][0])}
    assert not any(PLACEHOLDER.encode() in one for one in sent[2])
    described = json.loads(sent[2][0])
    at = described["tools"][0]["function"]["parameters"] if kind == "tool" else (
        described["response_format"]["json_schema"]["schema"])  # fmt: skip
    assert at["description"].startswith("(lens-novel-")
    assert at["type"] == "object"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("schema", {"text": {"format": {"type": "json_schema", "schema": {}}}}),
        ("schema", {"format": {"type": "object"}}),
        ("schema", {"generationConfig": {"responseSchema": {"type": "OBJECT", "description": "a thing"}}}),
        ("schema", {"guided_json": {}}),
        ("tool", {"tools": [{"name": "f", "input_schema": {}}]}),
        ("tool", {"tools": [{"functionDeclarations": [{"name": "f", "parameters": {}}]}]}),
        ("tool", {"toolConfig": {"tools": [{"toolSpec": {"inputSchema": {"json": {}}}}]}}),
    ],
)
def test_schemas_are_found_where_each_protocol_has_them(kind, body):
    assert PLACEHOLDER in json.dumps(with_placeholder(body, kind))


@pytest.mark.parametrize("body", [{}, {"format": "json"}, {"tools": []}, {"tools": "x"}, {"text": None}])
def test_a_body_without_a_schema_stays_as_it_is(body):
    assert with_placeholder(body, "schema") == body
    assert with_placeholder(body, "tool") == body


def test_a_target_may_have_a_connection_policy_of_its_own():
    plan = make_plan(ways(factors=("connection",), load=LoadConfig(iterations=4)), {"KEY": "k"})
    slots = [plan.slot(index, plan.stages[0]) for index in range(8)]
    assert {(slot.target, slot.fresh) for slot in slots} == {(0, False), (1, True)}


def test_a_request_without_a_placeholder_is_the_same_when_made_novel():
    plan = make_plan(RunConfig(targets=(TARGET,)), {"KEY": "k"})
    request = plan.requests[0][0]
    assert as_novel(request) == request
