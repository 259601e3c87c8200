"""One target asked in several ways (`lll compare --variant`, `--factor`): each way becomes a target with a name.

The targets of a run take turns, so whatever drifts meets all ways alike. A novel way has a schema in each request
that no request had before, so that what a server does once for a schema is seen in each of its requests.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from msgspec.structs import replace

from lens.config.settings import CompareConfig, RunConfig, TargetConfig
from lens.errors import ConfigError, FileError
from lens.parsing import parse_json, read_small
from lens.providers.base import merge
from lens.wire import WireRequest

VARIANT_FORMS = "NAME, NAME:JSON or NAME:@FILE"
FACTOR_FORMS = "stream, connection, tier, tier=A,B, gateway=URL or lora=NAME"
# Stands in a schema until the request is sent; as long as what takes its place.
PLACEHOLDER = "lens-novel-0000000000000000"
# The service tiers of a request by provider, and where its body holds them; others have "service_tier".
_TIERS: dict[str, tuple[str, ...]] = {"anthropic": ("standard_only", "auto"), "groq": ("on_demand", "flex")}
_USUAL_TIERS = ("default", "flex", "priority")
_WITHOUT_TIERS = ("google", "vertex", "cohere", "ollama", "custom")
# Where bodies hold a schema of the answer, and the schemas of tools; "[]" stands for each element.
_SCHEMAS = (
    "response_format.json_schema.schema", "text.format.schema", "format", "output_config.format.schema",
    "output_format.schema", "generationConfig.responseSchema", "generationConfig.responseJsonSchema",
    "response_format.schema", "guided_json", "structured_outputs.json",
)  # fmt: skip
_TOOLS = (
    "tools[].function.parameters", "tools[].input_schema", "tools[].parameters",
    "tools[].functionDeclarations[].parameters", "toolConfig.tools[].toolSpec.inputSchema.json",
)  # fmt: skip
PLACES = {"schema": _SCHEMAS, "tool": _TOOLS}


class Way(NamedTuple):
    """One way to ask a target."""

    name: str
    changes: dict[str, Any] = {}  # fields of the target  # noqa: RUF012 - never changed
    body: dict[str, Any] = {}  # over its extra body  # noqa: RUF012


def with_ways(config: RunConfig) -> RunConfig:
    """Return the configuration with a target for each way that `compare` names; as it is where that names none.

    Raises:
        ConfigError: a variant or a factor is none, or another setting contradicts it. FileError: a body cannot be read.
    """
    said = config.compare
    if said == CompareConfig():
        return config
    variants = [parse_variant(text) for text in said.variants]
    if len({one.name for one in variants}) < len(variants):
        raise ConfigError(f"--variant {', '.join(said.variants)}: give each its own name")
    if len(variants) == 1:
        variants.insert(0, Way("plain"))
    _check(config)
    several = len(config.targets) > 1
    targets = tuple([one for target in config.targets for one in _ways_of(target, variants, said.factors, several)])
    if said.novel:
        targets = tuple(_with_novel(targets, said.novel))
    load = config.load
    if said.novel and load.warmup == "0":  # what is repeated is new to the server once
        load = replace(load, warmup=str(len(targets)))
    return replace(config, targets=targets, load=load, compare=CompareConfig())


def _check(config: RunConfig) -> None:
    """
    Raises:
        ConfigError: a setting contradicts a factor or --novel.
    """
    said = config.compare
    if any(text.partition("=")[0] == "connection" for text in said.factors) and config.load.connection != "reuse":
        raise ConfigError(f"--connection {config.load.connection} contradicts --factor connection: leave one out")
    if said.novel and config.sessions.wanted:
        raise ConfigError("--novel has no effect on sessions, whose requests are made turn by turn: leave one out")


def parse_variant(text: str) -> Way:
    """Return the way that `NAME`, `NAME:JSON` or `NAME:@FILE` means; the JSON is laid over the request body.

    Raises:
        ConfigError: it means none. FileError: the file cannot be read.
    """
    name, colon, body = text.partition(":")
    if not name.strip() or (colon and not body.strip()):
        raise ConfigError(f"--variant {text!r}: write {VARIANT_FORMS}, like json:'{{\"response_format\": ...}}'")
    if not colon:
        return Way(name.strip())
    if body.startswith("@"):
        try:
            body = read_small(Path(body[1:])).decode()
        except (OSError, ValueError) as error:
            raise FileError(f"--variant {text}: cannot read its body: {error}") from None
    try:
        value = parse_json(body)
    except ValueError as error:
        raise ConfigError(f"--variant {name}: its body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ConfigError(f"--variant {name}: its body is not a JSON object; write fields of the request")
    return Way(name.strip(), body=value)


def _ways_of(
    target: TargetConfig, variants: Sequence[Way], factors: Sequence[str], several: bool
) -> Iterator[TargetConfig]:
    """Yield a target for each combination of a variant and a level of each factor; the first is as it was."""
    levels = [_levels(target, text) for text in factors]
    for ways in product(*([variants] if variants else []), *levels):
        name = "+".join(way.name for way in ways)
        body, changes = target.extra_body, dict[str, Any]()
        for way in ways:
            body, changes = merge(body, way.body), {**changes, **way.changes}
        called = f"{target.name or f'{target.provider}/{target.model}'}/{name}" if several or target.name else name
        labels = dict(zip([*(["variant"] if variants else []), *[_factor(text) for text in factors]],
                          [way.name for way in ways], strict=True))  # fmt: skip
        yield replace(target, name=called, extra_body=body, labels={**target.labels, **labels}, **changes)


def _factor(text: str) -> str:
    return text.partition("=")[0]


def _levels(target: TargetConfig, text: str) -> list[Way]:
    """Return the levels of a factor.

    Raises:
        ConfigError: there is no factor of that name, or this target does not have it.
    """
    name, _, value = text.partition("=")
    if name == "stream" and not value:
        return [Way("streamed", {"stream": True}), Way("whole", {"stream": False})]
    if name == "connection" and not value:
        return [Way("reuse", {"connection": "reuse"}), Way("fresh", {"connection": "fresh"})]
    if name == "tier":
        return _tiers(target, value)
    if name == "gateway" and value:
        if not value.lower().startswith(("http://", "https://")):
            raise ConfigError(f"--factor {text}: write the address of the gateway with its scheme: gateway=https://...")
        host = urlsplit(value).netloc.rpartition("@")[2]
        return [Way("direct"), Way(f"via {host}", {"base_url": value})]
    if name == "lora" and value:
        return [Way("base"), *[Way(one.strip(), {"model": one.strip()}) for one in value.split(",") if one.strip()]]
    raise ConfigError(f"--factor {text!r}: write {FACTOR_FORMS}")


def _tiers(target: TargetConfig, value: str) -> list[Way]:
    """Return the service tiers that are named, else those of the provider."""
    if target.provider in _WITHOUT_TIERS:
        raise ConfigError(
            f"--factor tier: requests of provider {target.provider} name no service tier; "
            "write what they should hold as --variant NAME:JSON"
        )
    named = [one.strip() for one in value.split(",") if one.strip()] or _TIERS.get(target.provider, _USUAL_TIERS)
    if target.provider == "bedrock":
        return [Way(one, body={"serviceTier": {"type": one}}) for one in named]
    return [Way(one, body={"service_tier": one}) for one in named]


def _with_novel(targets: Sequence[TargetConfig], kind: str) -> Iterator[TargetConfig]:
    """Yield the targets, and behind each whose body has a schema the same with a new one in each request.

    Raises:
        ConfigError: no body has one.
    """
    found = False
    for target in targets:
        yield target
        if with_placeholder(target.extra_body, kind) != target.extra_body:
            found = True
            name = f"{target.name or f'{target.provider}/{target.model}'}, novel"
            yield replace(target, name=name, novel=kind, labels={**target.labels, "novel": kind})
    if not found:
        what = "a schema" if kind == "schema" else "tools with a schema"
        raise ConfigError(f"--novel {kind}: no body has {what}; give it by --variant NAME:JSON or --extra-body")


def with_placeholder(body: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return a body whose first schema of this kind has a description that `as_novel` makes new."""
    for path in PLACES[kind]:
        changed = _described(body, path.replace("[]", ".[]").split("."))
        if changed != body:
            return changed  # type: ignore[no-any-return]
    return dict(body)


def _described(value: Any, steps: Sequence[str]) -> Any:
    """Return a JSON value whose schema at the path has the placeholder in its description."""
    if not steps:
        if not isinstance(value, dict):
            return value
        return {**value, "description": f"{value.get('description', '')} ({PLACEHOLDER})".strip()}
    step, rest = steps[0], steps[1:]
    if step == "[]":
        return [_described(value[0], rest), *value[1:]] if isinstance(value, list) and value else value
    if isinstance(value, dict) and step in value:
        return {**value, step: _described(value[step], rest)}
    return value


def as_novel(request: WireRequest) -> WireRequest:
    """Return a request with a schema that no request had before; its length is the same."""
    new = f"lens-novel-{secrets.token_hex(8)}"
    return replace(request, body=request.body.replace(PLACEHOLDER.encode(), new.encode()))
