"""Read a config file (TOML, YAML or JSON) as a tree of settings.

The short sections (`test_pattern`, `export`, ...) and the full ones (`load`, `output`, ...) spell the same settings.
`${NAME}` stands for an environment variable; an unknown key is an error that names the nearest one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lens.config.settings import (
    CompareConfig,
    CustomConfig,
    ExportConfig,
    LoadConfig,
    MonitorConfig,
    OutputConfig,
    PromptConfig,
    Section,
    SessionConfig,
    TargetConfig,
    Tree,
)
from lens.errors import ConfigError, FileError, did_you_mean
from lens.parsing import decode_text, parse_json_table, parse_toml, parse_yaml, read_small
from lens.patterns import lazy_pattern
from lens.units import parse_duration_ns, parse_rate_per_s

# Names of the short sections, and the settings that they stand for.
PATTERN_NAMES = {
    "single": {"pattern": "single"},
    "constant_rate": {"pattern": "rate"},
    "constant": {"pattern": "rate"},
    "poisson": {"pattern": "rate", "arrival": "poisson"},
    "gamma": {"pattern": "rate", "arrival": "gamma"},
}
LOAD_NAMES = {
    "requests_per_second": "rate_per_s",
    "duration_seconds": "duration",
    "concurrent_requests": "concurrency",
    "min_rps": "sweep_min_per_s",
    "max_rps": "sweep_max_per_s",
    "step": "sweep_step_per_s",
    "duration_per_step": "step_duration",
}
PROMPT_NAMES = {"prompt": "texts", "prompts": "texts", "prompts_file": "file", "system": "system"}
SECTIONS: dict[str, type[Section]] = {
    "load": LoadConfig, "prompts": PromptConfig, "sessions": SessionConfig, "compare": CompareConfig,
    "output": OutputConfig,
}  # fmt: skip
FILE_SECTIONS = (*SECTIONS, "profile", "providers", "targets", "test_pattern", "export", "thresholds", "monitoring",
                  "labels", "custom")  # fmt: skip
# ConstantRate is constant_rate.
_WORD_END = lazy_pattern(r"(?<=[a-z])(?=[A-Z])")
_VARIABLE = lazy_pattern(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def read_tree(path: Path, environ: Mapping[str, str]) -> Tree:
    """Return a TOML, YAML or JSON file as a tree in our own names.

    Raises:
        FileError: it cannot be read or is not well-formed.
        ConfigError: it has an unknown key or names a variable that is not set.
    """
    return tree_of(parsed(path), environ, path)


def tree_of(raw: Any, environ: Mapping[str, str], path: Path) -> Tree:
    """Return what a file held, in our own names.

    Raises:
        FileError: it is no table of sections.
        ConfigError: it has an unknown key or names a variable that is not set.
    """
    raw = _substituted(raw, environ, path)
    if not isinstance(raw, dict):
        raise FileError(f"config file {path}: the top must be a table of sections: {', '.join(FILE_SECTIONS)}")
    tree: Tree = {}
    for section, value in raw.items():
        where = f"config file {path}: [{section}]"
        if section in SECTIONS:
            lay(tree, {section: _fields(value, SECTIONS[section], where)})
        elif section in READERS:
            lay(tree, READERS[section](value, where))
        else:
            raise ConfigError(_unknown(where.replace("[", "").replace("]", ""), section, FILE_SECTIONS))
    return tree


def parsed(path: Path) -> Any:
    """Return a file as plain values, with its own names.

    Raises:
        FileError: it cannot be read, is not well-formed, or nested more than MAX_DEPTH levels.
    """
    try:
        data = read_small(path)
    except OSError as error:
        raise FileError(f"config file {path}: cannot read: {error.strerror}") from error
    try:
        text = decode_text(data)
        if path.suffix in (".yaml", ".yml"):
            return _text_keys(parse_yaml(text) or {})
        return parse_json_table(text) if path.suffix == ".json" else parse_toml(text)
    except ValueError as error:
        raise FileError(f"config file {path}: {error}") from error


def _text_keys(value: Any) -> Any:
    """Return what YAML held, where each key is text; YAML alone has keys of other kinds (1, on, null).

    Raises:
        ValueError: a key is none; it says how to write it.
    """
    if isinstance(value, list):
        return [_text_keys(one) for one in value]
    if not isinstance(value, dict):
        return value
    odd = next((key for key in value if not isinstance(key, str)), None)
    if odd is not None or None in value:
        raise ValueError(f"{odd!r} as a key is not text in YAML; write it in quotes")
    return {key: _text_keys(one) for key, one in value.items()}


def _substituted(value: Any, environ: Mapping[str, str], path: Path) -> Any:
    """${NAME} and ${NAME:-default} in every string."""
    if isinstance(value, dict):
        return {k: _substituted(v, environ, path) for k, v in value.items()}
    if isinstance(value, list):
        return [_substituted(v, environ, path) for v in value]
    if not isinstance(value, str):
        return value

    def of(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        found = environ.get(name, default)
        if found is None:
            raise ConfigError(f"config file {path}: ${{{name}}} is not set in the environment; export it first")
        return found

    return _VARIABLE.sub(of, value)


def _profile(value: Any, where: str) -> Tree:
    for key in _table(value, where):
        if key not in ("name", "description"):
            raise ConfigError(_unknown(where, key, ("name", "description")))
    return dict(value)


def _providers(value: Any, where: str) -> Tree:
    """Return a table by name (TOML) or a list with `name` (YAML); the name is the provider where none is given."""
    items = [({"name": k, **_table(v, f"{where} {k}")}) for k, v in value.items()] if isinstance(value, dict) else value
    if not isinstance(items, list):
        raise ConfigError(f"{where}: write a table a provider")
    targets = []
    for item in items:
        one = dict(_table(item, where))
        name = one.pop("name", None)
        one.setdefault("provider", name)
        if name != one["provider"]:
            one["name"] = name
        region = one.pop("region", None)
        if region is not None or "labels" in one:
            labels = {} if region is None else {"region": region}
            labels |= _table(one.get("labels", {}), f"{where} {one['provider']} labels")
            one["labels"] = {key: str(value) for key, value in labels.items()}
        if isinstance(one.get("headers"), dict):
            one["headers"] = list(one["headers"].items())
        if "custom" in one:
            one["custom"] = _fields(one["custom"], CustomConfig, f"{where} {one['provider']} custom")
        targets.append(_fields(one, TargetConfig, f"{where} {one['provider']}"))
    return {"targets": targets}


def _test_pattern(value: Any, where: str) -> Tree:
    tree: Tree = {"load": {}, "prompts": {}}
    rest: Tree = {}
    table = _table(value, where)
    if len(table) == 1 and (name := next(iter(table)))[:1].isupper():  # {ConstantRate = {...}}
        table = {"type": name, **_table(table[name], f"{where} {name}")}
    for key, said in table.items():
        if key == "type":
            name = _WORD_END.sub("_", str(said)).lower().replace("-", "_")
            tree["load"].update(PATTERN_NAMES.get(name, {"pattern": name}))
        elif key in PROMPT_NAMES:
            tree["prompts"][PROMPT_NAMES[key]] = [said] if key == "prompt" else said
        else:
            rest[LOAD_NAMES.get(key, key)] = said
    known = (*LOAD_NAMES, *PROMPT_NAMES, "type")
    tree["load"].update(_fields(rest, LoadConfig, where, also=known))
    return tree


def _export(value: Any, where: str) -> Tree:
    """Return one table, or a list of tables with `type`."""
    exports, real_time = [], None
    for item in value if isinstance(value, list) else [value]:
        one = dict(_table(item, where))
        real_time = one.pop("real_time", real_time)
        one["format"] = one.pop("type", one.get("format", "json"))
        exports.append(_fields(one, ExportConfig, where, also=("type", "real_time")))
    return {"output": {"exports": exports, **({} if real_time is None else {"real_time": real_time})}}


def _thresholds(value: Any, where: str) -> Tree:
    """Return a table of limits: NAME_min wants at least, NAME_max at most, NAME what is better; or a list as typed."""
    if isinstance(value, list):
        return {"thresholds": value}
    limits = []
    for name, limit in _table(value, where).items():
        base, _, end = name.rpartition("_")
        operator = {"min": ">=", "max": "<="}.get(end, ":")
        limits.append(f"{base if end in ('min', 'max') else name}{operator}{limit}")
    return {"thresholds": limits}


def _monitoring(value: Any, where: str) -> Tree:
    table = dict(_table(value, where))
    prompts = table.pop("test_prompts", None)
    tree: Tree = {"monitor": _fields(table, MonitorConfig, where, also=("test_prompts",))}
    return tree if prompts is None else {**tree, "prompts": {"texts": prompts}}


READERS: dict[str, Callable[[Any, str], Tree]] = {
    "profile": _profile,
    "providers": _providers,
    "targets": _providers,
    "test_pattern": _test_pattern,
    "export": _export,
    "thresholds": _thresholds,
    "monitoring": _monitoring,
    "custom": lambda value, where: {"target": {"custom": _fields(value, CustomConfig, where)}},
    "labels": lambda value, where: {"labels": {k: str(v) for k, v in _table(value, where).items()}},
}


def _fields(value: Any, kind: type[Section], where: str, also: tuple[str, ...] = ()) -> Tree:
    """Return a section in our names: "60s" for a _ns field, "600/m" for a _per_s field, also without a unit."""
    known = kind.__struct_fields__
    found: Tree = {}
    for key, said in _table(value, where).items():
        names = (key, f"{key}_ns", f"{key.removesuffix('_seconds')}_ns", f"{key}_per_s")
        name = next((n for n in names if n in known), None)
        if name is None:
            raise ConfigError(_unknown(where, key, (*known, *also)))
        try:
            if name.endswith("_ns") and isinstance(said, list):
                said = [parse_duration_ns(str(one)) if name != key or isinstance(one, str) else one for one in said]
            elif name.endswith("_ns") and (name != key or isinstance(said, str)):
                said = parse_duration_ns(str(said))
            elif name.endswith("_per_s") and isinstance(said, str):
                said = parse_rate_per_s(said)
        except ValueError as error:
            raise ConfigError(f"{where} {key}: {error}") from None
        found[name] = said
    return found


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected a table, not {type(value).__name__}")
    return value


def _unknown(where: str, key: str, known: tuple[str, ...]) -> str:
    hint = did_you_mean(key, known, otherwise=f"there are {', '.join(known)}")
    return f"{where}: unknown key {key!r}; {hint}"


def lay(under: Tree, over: Mapping[str, Any]) -> None:
    """Sections of `over` over those of `under`, field by field; lists and values as a whole."""
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(under.get(key), dict):
            under[key].update(value)
        else:
            under[key] = dict(value) if isinstance(value, dict) else value
