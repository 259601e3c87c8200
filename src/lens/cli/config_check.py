"""What is wrong with a config file, all of it at once; and of what goes together, what cannot.

The rule: each key is read alone, by the code that reads it in earnest, so that one mistake hides no
other; then what is left is read together. No message holds a value that may be a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from lens.cli.config_lines import Lines, Place
from lens.cli.settings import LOG_LEVELS
from lens.config.file import parsed, tree_of
from lens.config.load import VARIABLES, convert, from_environment
from lens.config.settings import RunConfig, TargetConfig, Tree
from lens.errors import ConfigError
from lens.wire import Secret

# Keys that say which table this is; they go with every key of it that is read alone.
_IDENTITY = ("name", "provider", "type", "format")
_BY_NAME = ("providers", "targets")
_NAMED = (*_BY_NAME, "export")


class Problem(NamedTuple):
    """One mistake, and on which line of the file it stands where that is known."""

    says: str
    line: int | None = None


class Checked(NamedTuple):
    """The result of the check of one file."""

    problems: tuple[Problem, ...]
    tree: Tree  # of the keys that can be read, in our own names
    lines: dict[str, int]  # setting ("load.rate_per_s", "targets.0.model") -> line


def check_file(path: Path, environ: Mapping[str, str]) -> Checked:
    """Read every key of a file, and collect what is wrong."""
    try:
        raw = parsed(path)
        if not isinstance(raw, dict):
            tree_of(raw, environ, path)
    except ConfigError as error:
        return Checked((Problem(str(error)),), {}, {})
    lines, good = Lines(path), raw
    problems: list[Problem] = []
    origins: dict[str, int] = {}
    for place, alone in _each(raw):
        line = lines.of(place)
        try:
            tree = tree_of(alone, environ, path)
            check_values(convert(tree))
        except ConfigError as error:
            found = Problem(_bare(str(error), path, place), line)
            if found.says not in [known.says for known in problems]:
                problems.append(found)
            good = _without(good, place[:2] if place[-1] in _IDENTITY and place[0] in _NAMED else place)
            continue
        if line is not None:
            for setting in _settings(tree, _number(raw, place)):
                origins.setdefault(setting, line)
    try:
        together = tree_of(good, environ, path)
        convert(together)
    except ConfigError as error:
        says = _bare(str(error), path, ())
        more = [] if says in [known.says for known in problems] else [Problem(says)]
        return Checked((*problems, *more), {}, origins)
    return Checked(tuple(problems), together, origins)


def check_environment(environ: Mapping[str, str]) -> list[Problem]:
    """Return the variables of ours, each for itself."""
    problems = []
    for name, setting in VARIABLES.items():
        if environ.get(name):
            try:
                check_values(convert(from_environment({name: environ[name]})))
            except ConfigError as error:
                says = str(error)
                problems.append(Problem(says if name in says else f"{name} ({setting}): {says}"))
    return problems


def check_values(config: RunConfig) -> None:
    """Check each value alone: names, formats and amounts.

    Raises:
        ConfigError: the first that cannot be.
    """
    from lens.analysis.gates.thresholds import parse_threshold
    from lens.export.formats import format_named
    from lens.orchestrator.limits import nusd_of
    from lens.orchestrator.schedule import AUTO, parse_warmup
    from lens.orchestrator.sessions.synthetic import turn_counts
    from lens.orchestrator.shards import parse_start_at
    from lens.orchestrator.synthetic import lengths
    from lens.providers.registry import get_provider

    for target in config.targets:
        get_provider(target.provider)
    for export in config.output.exports:
        format_named(export.format)
    for threshold in (*config.thresholds, *config.load.search_slo):
        parse_threshold(threshold)
    for span in (config.load.warmup, config.load.cooldown):
        if span.strip().lower() != AUTO:
            parse_warmup(span)
    said = {
        "--input-tokens": config.prompts.input_tokens,
        "--output-tokens": config.prompts.output_tokens,
        "--turn-tokens": config.sessions.turn_tokens,
    }
    if config.load.start_at is not None:
        parse_start_at(config.load.start_at)
    for option, length in said.items():
        if length is not None:
            lengths(length, 1, option=option)
    if config.sessions.turns is not None:
        turn_counts(config.sessions.turns, 1)
    if config.monitor is not None and config.monitor.slos:
        from lens.monitor.burn import parse_objective

        for text in config.monitor.slos:
            parse_objective(text)
    if config.load.max_cost_usd is not None:
        nusd_of(config.load.max_cost_usd, "max_cost_usd")
    if config.load.warn_cost_usd is not None:
        nusd_of(config.load.warn_cost_usd, "warn_cost_usd")
    level = config.output.log_level
    if level is not None and level.lower() not in LOG_LEVELS:
        raise ConfigError(f"log level {level!r}; there are {', '.join(LOG_LEVELS)}")


def check_whole(config: RunConfig, environ: Mapping[str, str]) -> list[Problem]:
    """Return what only shows together: addresses, models, patterns with their numbers, files that are named."""
    from lens.orchestrator.plan_target import SIMULATOR, make_target
    from lens.orchestrator.prompts import load_prompts
    from lens.orchestrator.schedule import stages
    from lens.orchestrator.sessions.planning import check_sessions, session_load, trace_of
    from lens.orchestrator.sessions.sources import read_sessions
    from lens.orchestrator.traces import read_trace_ns
    from lens.run.recorded_sessions import recorded_sessions

    def of_target(target: TargetConfig) -> Callable[[], object]:
        # A key that is absent is no mistake of the file, and what is there is not to be read for this.
        whole = msgspec.structs.replace(target, api_key=Secret("-"))
        if target.provider == SIMULATOR and target.base_url is None:
            whole = msgspec.structs.replace(whole, base_url="http://127.0.0.1:1/v1")
        return lambda: make_target(whole, environ)

    def of_load() -> object:
        check_sessions(config)
        warnings: list[str] = []
        file = config.sessions.file
        found = recorded_sessions(config) or (
            read_sessions(Path(file), config.sessions.format, warnings)[0] if file else ()
        )
        path = Path(config.load.trace) if config.load.trace else None
        trace = () if path is None else trace_of(found, path) if found else read_trace_ns(path)
        return stages(session_load(config, len(found)), trace_ns=trace)

    checks: list[Callable[[], object]] = [
        *map(of_target, config.targets),
        of_load,
        lambda: load_prompts(config.prompts, count=1),
    ]
    problems = []
    for check in checks:
        try:
            check()
        except ConfigError as error:
            problems.append(Problem(str(error)))
    return problems


def _each(raw: dict[str, Any]) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Every key of the file alone in a file of its own, with its place."""
    for section, value in raw.items():
        named = section in _NAMED
        if section in _BY_NAME and isinstance(value, dict):
            for name, table in value.items():
                for place, alone in _keys(table, named):
                    yield (section, name, *place), {section: {name: alone}}
        elif isinstance(value, list) and named:
            for i, table in enumerate(value):
                for place, alone in _keys(table, named):
                    yield (section, i, *place), {section: [alone]}
        else:
            for place, alone in _keys(value, named):
                yield (section, *place), {section: alone}


def _keys(table: Any, named: bool) -> Iterator[tuple[Place, Any]]:
    if not isinstance(table, dict) or not table:
        yield (), table
        return
    identity = {key: table[key] for key in _IDENTITY if named and key in table}
    for key in sorted(table, key=lambda one: one not in identity):
        if key == "custom" and isinstance(table[key], dict):
            for place, alone in _keys(table[key], named=False):
                yield (key, *place), {**identity, key: alone}
        else:
            yield (key,), {**identity, key: table[key]}


def _without(tree: Any, place: Place) -> Any:
    """Return a copy without what stands at the place."""
    if not place:
        return tree
    first, rest = place[0], place[1:]
    if isinstance(tree, list):
        # An emptied table keeps its number, so that the places behind it stay true.
        return [(_without(v, rest) if rest else {}) if i == first else v for i, v in enumerate(tree)]
    if not isinstance(tree, dict):
        return tree
    return {k: _without(v, rest) if k == first else v for k, v in tree.items() if k != first or rest}


def _number(raw: dict[str, Any], place: Place) -> int:
    """Which of the file's targets a place belongs to."""
    if place[0] not in _BY_NAME or len(place) < 2:
        return 0
    return place[1] if isinstance(place[1], int) else list(raw[place[0]]).index(place[1])


def _settings(tree: Tree, number: int) -> Iterator[str]:
    """Yield the settings that a tree of one key sets."""
    for section, value in tree.items():
        if section == "targets":
            yield from (f"targets.{number}.{field}" for target in value for field in target)
        elif isinstance(value, dict) and section != "labels":
            yield from (f"{section}.{field}" for field in value)
        else:
            yield section


def _bare(message: str, path: Path, place: Place) -> str:
    """Return the message without the file's name, which stands in front of all of them."""
    bare = message.removeprefix(f"config file {path}: ").removeprefix(f"config file {path}")
    if len(place) > 2:
        bare = bare.replace("targets[0].", f"[{place[0]}] {place[1]}: ")
    return bare.removeprefix(": ").strip()
