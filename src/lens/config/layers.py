"""Lay the settings of one source over those of another, so that what is said above replaces what it contradicts below.

A flag that asks for a pattern replaces the file's pattern as a whole, a prompt its prompts, a key its key. Within what
is left, a number that the pattern makes no use of is an error: nothing that was said is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lens.config.file import lay
from lens.config.settings import LoadConfig, Tree
from lens.errors import ConfigError

# The settings of a load that decide its pattern, the first that is said; and the pattern.
_DECIDING = (
    ("trace", "replay"),
    ("sweep_concurrency", "sweep over concurrency"),
    ("sweep_max_per_s", "sweep"),
    ("sweep_min_per_s", "sweep"),
    ("idle_gaps_ns", "idle"),
    ("ramp_to_per_s", "ramp"),
    ("rate_per_s", "rate"),
)
# The settings that each pattern makes use of; others of this table contradict it.
_USED: dict[str, frozenset[str]] = {
    "single": frozenset({"iterations", "concurrency", "duration_ns"}),  # of other commands that share a file
    "iterations": frozenset({"iterations", "concurrency", "duration_ns"}),
    "burst": frozenset({"iterations", "concurrency"}),
    "rate": frozenset({"rate_per_s", "arrival", "burstiness", "iterations", "duration_ns", "concurrency"}),
    "ramp": frozenset({"rate_per_s", "ramp_to_per_s", "iterations", "duration_ns", "concurrency"}),
    "sweep": frozenset({"sweep_min_per_s", "sweep_max_per_s", "sweep_step_per_s", "step_duration_ns", "duration_ns",
                        "arrival", "burstiness", "iterations", "concurrency"}),
    "sweep over concurrency": frozenset({"sweep_concurrency", "step_duration_ns", "duration_ns", "iterations"}),
    "replay": frozenset({"trace", "speedup", "iterations", "duration_ns", "concurrency"}),
    "idle": frozenset({"idle_gaps_ns", "iterations"}),
}  # fmt: skip
_OF_A_PATTERN = frozenset().union(*_USED.values())
# A load of closed loops has these whatever the pattern: another pattern of the flags may keep them.
_BOUNDS = frozenset({"iterations", "duration_ns"})
_SOURCES = ("texts", "file", "input_tokens")
_OF_SOURCE = {"file": ("whole",), "input_tokens": ("shared_prefix_tokens",)}
KEYS = ("api_key", "api_key_env", "api_key_file", "api_key_command", "api_key_keyring")


def lay_flags(tree: Tree, flags: Mapping[str, Any]) -> tuple[str, ...]:
    """Lay flags over the settings of environment and file; return what a pattern of the flags replaced."""
    replaced = _replace_pattern(tree.get("load", {}), flags.get("load") or {})
    _replace_source(tree.get("prompts", {}), flags.get("prompts") or {}, flags.get("target") or {})
    _replace_sessions(tree, flags)
    said = flags.get("target") or {}
    if any(said.get(key) for key in KEYS):
        for target in (tree.get("target", {}), *tree.get("targets", [])):
            for key in KEYS:
                target.pop(key, None)
    lay(tree, flags)
    return replaced


def pattern_named(load: Mapping[str, Any]) -> str | None:
    """Return the pattern that the settings of a load name; None where any may be meant."""
    for field, pattern in _DECIDING:
        if load.get(field) and load.get("pattern") in (None, pattern.partition(" ")[0]):
            return pattern
    return load.get("pattern")


def _replace_pattern(under: Tree, over: Mapping[str, Any]) -> tuple[str, ...]:
    wanted, had = pattern_named(over), pattern_named(under)
    if wanted is None:
        if had == "single" and any(over.get(field) for field in _USED["iterations"]):
            del under["pattern"]
        return ()
    if wanted == had:
        return ()
    kept = _USED[wanted] & _USED[had] if had in ("rate", "ramp", "sweep") else _BOUNDS & _USED[wanted]
    dropped = [field for field in under if field == "pattern" or (field in _OF_A_PATTERN and field not in kept)]
    for field in dropped:
        del under[field]
    return tuple(dropped)


def _replace_source(under: Tree, over: Mapping[str, Any], target: Mapping[str, Any]) -> None:
    if any(over.get(field) for field in _SOURCES):
        for field in _SOURCES:
            if not over.get(field):
                for name in (field, *_OF_SOURCE.get(field, ())):
                    under.pop(name, None)
    if target.get("max_tokens") and not over.get("output_tokens"):
        under.pop("output_tokens", None)


def _replace_sessions(tree: Tree, flags: Mapping[str, Any]) -> None:
    """Take out of the settings below what sessions of the flags replace; prompts of the flags replace sessions."""
    over, under = flags.get("sessions") or {}, tree.get("sessions", {})
    if over.get("rate_per_s"):
        tree.get("load", {}).pop("rate_per_s", None)
    if over.get("file") or over.get("turns"):
        for name in ("turns", "turn_tokens", "tools") if over.get("file") else ("file", "format"):
            under.pop(name, None)
        for name in (*_SOURCES, "whole"):
            tree.get("prompts", {}).pop(name, None)
    elif any((flags.get("prompts") or {}).get(field) for field in _SOURCES):
        tree.pop("sessions", None)


def check_effective(load: LoadConfig) -> None:
    """Check that the pattern of a load makes use of every number that is said.

    Raises:
        ConfigError: it does not; the message names the option, and what it contradicts or needs.
    """
    said = {name: value for name in _OF_A_PATTERN if (value := getattr(load, name)) not in (None, ())}
    pattern = pattern_named({**said, "pattern": load.pattern}) or "iterations"
    if load.search_slo and "rate_per_s" not in said:  # a search over concurrency may become one over rates
        pattern = "rate" if pattern == "iterations" else pattern
    unused = [name for name, _ in _DECIDING if name in said] + sorted(said)
    unused = [name for name in unused if name not in _USED[pattern]]
    if unused and pattern == "iterations":
        raise ConfigError(_missing(unused[0]))
    if unused:
        raise ConfigError(f"{option_of(unused[0])} has no effect on {_described(said, pattern)}: leave one out")
    if load.burstiness is not None and load.arrival != "gamma":
        raise ConfigError("--burstiness (load.burstiness) has no effect without --arrival gamma: give both or neither")


_PARTNERS = {
    "arrival": "--rate R or --sweep-max R",
    "burstiness": "--rate R and --arrival gamma",
    "speedup": "--trace FILE",
    "ramp_to_per_s": "--rate R, from which it ramps",
    "sweep_step_per_s": "--sweep-max R",
    "step_duration_ns": "--sweep-max R or --sweep-concurrency N,N",
}


def _missing(field: str) -> str:
    return f"{option_of(field)} has no effect without {_PARTNERS.get(field, 'its pattern')}"


def _described(load: Mapping[str, Any], pattern: str) -> str:
    deciding = next((field for field, named in _DECIDING if named == pattern and load.get(field)), None)
    return f"a load of pattern {pattern!r}" + (f" ({option_of(deciding)})" if deciding else "")


def option_of(field: str, section: str = "load") -> str:
    """Return the option of a setting, as messages name it."""
    names = {"concurrency": "--concurrent", "texts": "--prompt", "file": "--prompt-file"}
    name = names.get(field) or "--" + field.removesuffix("_ns").removesuffix("_per_s").replace("_", "-")
    return f"{name} ({section}.{field})"
