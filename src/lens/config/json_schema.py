"""The JSON Schema of a config file, made from the structs that read it: nothing here repeats a field.

The structs say what a value is; here stand only the spellings that a file may use besides:
"60s" in place of nanoseconds, the names of the short sections, a list or a table of providers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from lens.config.file import FILE_SECTIONS, LOAD_NAMES, PATTERN_NAMES, PROMPT_NAMES, SECTIONS
from lens.config.settings import CustomConfig, ExportConfig, LoadConfig, MonitorConfig, Section, TargetConfig
from lens.wire import Secret

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
TEXTS: Schema = {"type": "array", "items": TEXT}
DURATION: Schema = {
    "description": 'Seconds, or with a unit: 60, "60s", "1m30s", "500ms".', "type": ["string", "number"],
}  # fmt: skip
RATE: Schema = {"description": 'A second, or with a unit: 10, "10/s", "600/m".', "type": ["string", "number"]}


def schema_text() -> str:
    """Return the schema as it is printed and published."""
    return msgspec.json.format(msgspec.json.encode(schema())).decode() + "\n"


def schema() -> Schema:
    """Return the whole schema."""
    made = {name: _section(name) for name in FILE_SECTIONS}
    return {
        "$schema": DIALECT,
        "title": "Settings of llm-latency-lens",
        "description": "TOML, YAML or JSON. ${NAME} and ${NAME:-default} in a string stand for environment variables.",
        "type": "object",
        "properties": made,
        "additionalProperties": False,
    }


def _section(name: str) -> Schema:
    """Return one section of a file. What is read by a struct of its own needs nothing here."""
    if name in SECTIONS:
        return of_struct(SECTIONS[name])
    made: dict[str, Callable[[], Schema]] = {
        "profile": _profile,
        "providers": _providers,
        "targets": _providers,
        "test_pattern": _test_pattern,
        "export": _export,
        "thresholds": _thresholds,
        "monitoring": _monitoring,
        "custom": lambda: of_struct(CustomConfig),
        "labels": lambda: {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
    }
    return made[name]() if name in made else {"type": ["object", "array"]}


def of_struct(kind: type[Section], **also: Schema) -> Schema:
    """Return a struct as a table of a file, under the names that a file may use for its fields."""
    (found,), parts = msgspec.json.schema_components([kind], schema_hook=_hook, ref_template="{name}")
    body = _resolved(parts[found["$ref"]] if "$ref" in found else found, parts)
    says = (kind.__doc__ or "").split("\n\n", 1)[0].strip()
    made: Schema = {}
    for name, value in body["properties"].items():
        if name.endswith("_ns"):
            many = "array" in str(value.get("type")) or any(
                one.get("type") == "array" for one in value.get("anyOf", [])
            )
            duration = {"type": "array", "items": DURATION} if many else DURATION
            made[name.removesuffix("_ns")] = duration
            if not many:
                made[f"{name.removesuffix('_ns')}_seconds"] = DURATION
            made[name] = (
                value if many else {"description": "Nanoseconds, or with a unit.", "type": ["string", "integer"]}
            )
        elif name.endswith("_per_s"):
            made[name.removesuffix("_per_s")] = made[name] = RATE
        else:
            made[name] = value
    return {"description": says, "type": "object", "properties": {**made, **also}, "additionalProperties": False}


def _resolved(value: Any, parts: dict[str, Any]) -> Any:
    """Without references and without null, which no TOML file can say."""
    if isinstance(value, list):
        return [_resolved(one, parts) for one in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return _resolved(parts[value["$ref"]], parts)
    kept = {k: v for k, v in value.items() if k not in ("title", "default")}
    made = {k: _resolved(v, parts) for k, v in kept.items()}
    choices = [one for one in made.get("anyOf", []) if one != {"type": "null"}]
    if len(choices) == 1:
        return {**{k: v for k, v in made.items() if k != "anyOf"}, **choices[0]}
    return made


def _hook(kind: type) -> Schema:
    if kind is Secret:
        return {"description": "Better in the environment: api_key_env, or ${NAME}.", "type": "string"}
    raise TypeError(f"no schema for {kind.__name__}")


def _profile() -> Schema:
    return {
        "description": "What this file is for.",
        "type": "object",
        "properties": {"name": TEXT, "description": TEXT},
        "additionalProperties": False,
    }


def _providers() -> Schema:
    table = of_struct(
        TargetConfig,
        name=TEXT,
        region=TEXT,
        headers={"anyOf": [{"type": "object", "additionalProperties": TEXT}, {"type": "array", "items": TEXTS}]},
        custom=of_struct(CustomConfig),
    )
    return {
        "description": "What is measured: a table by name, or a list of tables with `name`.",
        "anyOf": [{"type": "object", "additionalProperties": table}, {"type": "array", "items": table}],
    }


def _test_pattern() -> Schema:
    load = of_struct(LoadConfig)["properties"]
    named = {"type": {"enum": sorted({*PATTERN_NAMES, *load["pattern"]["enum"]})}}
    asked = {name: TEXTS if name == "prompts" else TEXT for name in PROMPT_NAMES}
    planned = {name: load[field] for name, field in LOAD_NAMES.items()}
    return {
        "description": "The load pattern in short names; the names of [load] are accepted too.",
        "type": "object",
        "properties": {**named, **planned, **asked, **load},
        "additionalProperties": False,
    }


def _export() -> Schema:
    table = of_struct(ExportConfig, type=TEXT, real_time={"type": "boolean"})
    return {"description": "What to write or to push to.", "anyOf": [table, {"type": "array", "items": table}]}


def _thresholds() -> Schema:
    return {
        "description": "NAME_max, NAME_min, or NAME alone for what is better; or a list as --threshold takes them.",
        "anyOf": [{"type": "object", "additionalProperties": NUMBER}, TEXTS],
    }


def _monitoring() -> Schema:
    return of_struct(MonitorConfig, test_prompts=TEXTS)
