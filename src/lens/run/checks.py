"""Refuse what cannot be obeyed: fields of the load that exclude each other, and fields that a caller decides itself."""

from __future__ import annotations

from collections.abc import Collection

from lens.config.layers import check_effective
from lens.config.settings import LoadConfig, OutputConfig, PromptConfig, RunConfig, SessionConfig
from lens.errors import ConfigError
from lens.orchestrator.schedule import AUTO, parse_cooldown, pattern_of
from lens.orchestrator.sessions.planning import check_sessions, session_load
from lens.orchestrator.shards import parse_shard, parse_start_at

# What means something only together with another field: the field, and that other.
_NEEDS = (
    ("ray_address", "engine", "processes"),
    ("search_max", "search_slo", ()),
)


def check_config(config: RunConfig) -> None:
    """Check what a plan cannot see.

    Raises:
        ConfigError: two fields exclude each other, a field has no effect, or a value cannot be read.
    """
    check_sessions(config)
    check_load(session_load(config))


def check_load(load: LoadConfig) -> None:
    """Check what a plan cannot see.

    Raises:
        ConfigError: two fields exclude each other, a field has no effect, or a value cannot be read.
    """
    if load.search_slo:
        from lens.run.slo_search import slos_of

        slos_of(load.search_slo)
    if load.search_slo and load.start_at:
        raise ConfigError(
            "--start-at cannot be combined with --search-slo: a search begins anew for each load it tries"
        )
    if load.search_slo and load.cooldown != "0":
        raise ConfigError("--cooldown cannot be combined with --search-slo: each load it tries is judged as a whole")
    parse_cooldown(load.cooldown)
    if is_shared(load):
        check_workers(load)
    if load.shard is not None:
        _check_shard(load)
    if load.start_at is not None:
        parse_start_at(load.start_at)
    if load.search_slo:
        _check_search(load)
    if load.connections and load.connection != "reuse":
        raise ConfigError(f"load.connections has no effect with load.connection {load.connection!r}: give one of them")
    check_effective(load)
    for name, other, without in _NEEDS:
        if getattr(load, name) is not None and getattr(load, other) == without:
            raise ConfigError(f"load.{name} has no effect without load.{other}: give both or neither")


def _check_search(load: LoadConfig) -> None:
    if load.until:
        raise ConfigError("--until cannot be combined with --search-slo: the search itself decides when it ends")
    if pattern_of(load) not in ("rate", "iterations"):
        raise ConfigError(
            f"--search-slo sets the load itself and cannot be combined with the pattern {pattern_of(load)!r}: "
            "give --rate or --concurrency to search from"
        )


def _check_shard(load: LoadConfig) -> None:
    of = parse_shard(load.shard or "").of
    others = "no shard knows what the others measured"
    for said, name in ((load.max_cost_usd, "--max-cost"), (load.search_slo, "--search-slo"), (load.until, "--until")):
        if said:
            raise ConfigError(f"{name} cannot be joined with --shard: {others}")
    if load.warmup.strip().lower() == AUTO or load.cooldown != "0":
        name = "--cooldown" if load.cooldown != "0" else "--warmup auto"
        raise ConfigError(f"{name} cannot be joined with --shard: {others}; give --warmup N or TIME")
    if pattern_of(load) in ("single", "sweep", "burst", "idle"):
        raise ConfigError(
            f"--shard cannot share a load of pattern {pattern_of(load)!r}, whose stages wait for the answers of all: "
            "give one rate or -c, or --engine ray"
        )
    if load.connection == "both":
        raise ConfigError("--connection both compares requests with their neighbours: leave out --shard")
    if load.workers > 1 and load.concurrency is not None and load.concurrency < load.workers * of:
        raise ConfigError(
            f"--concurrent {load.concurrency} cannot be shared by {of} shards of {load.workers} workers each"
        )


def check_workers(load: LoadConfig) -> None:
    """Check that several workers can share a load.

    Raises:
        ConfigError: they cannot.
    """
    for said, name in ((load.max_cost_usd, "--max-cost"), (load.search_slo, "--search-slo")):
        if said:
            raise ConfigError(f"{name} cannot be joined with --workers: no worker knows what the others measured")
    if load.concurrency is not None and pattern_of(load) != "iterations" and load.concurrency < load.workers:
        raise ConfigError(
            f"--concurrent {load.concurrency} requests at most cannot be shared by {load.workers} workers"
        )
    if load.idle_gaps_ns or load.connection == "both":
        raise ConfigError("--idle-gaps and --connection both compare requests with their neighbours: use one worker")


def is_shared(load: LoadConfig) -> bool:
    """Return whether other processes measure, not this one."""
    return load.workers > 1 or load.engine == "ray"


def refuse_others(
    who: str, section: LoadConfig | PromptConfig | OutputConfig, obeyed: Collection[str], why: str
) -> None:
    """Refuse fields of a section that were set and that a command does not obey.

    Raises:
        ConfigError: there is one; the message names it.
    """
    kind = type(section)
    name = {LoadConfig: "load", PromptConfig: "prompts", OutputConfig: "output"}[kind]
    for field in kind.__struct_fields__:
        if field not in obeyed and getattr(section, field) != getattr(kind(), field):
            raise ConfigError(f"{who}: {name}.{field} cannot be obeyed: {why}")


def refuse_sessions(who: str, config: RunConfig, why: str) -> None:
    """Refuse sessions.

    Raises:
        ConfigError: there are some.
    """
    if config.sessions != SessionConfig():
        raise ConfigError(f"{who}: [sessions] cannot be obeyed: {why}")


def refuse_thresholds(who: str, config: RunConfig, why: str) -> None:
    """Refuse thresholds.

    Raises:
        ConfigError: there are some.
    """
    if config.thresholds:
        raise ConfigError(f"{who}: thresholds cannot be obeyed: {why}")
