"""Join the settings of all sources: flags over environment variables over the config file over defaults.

Every source becomes the same plain tree of sections and fields, the trees are laid over each other, and
one conversion checks the result.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from lens.config.file import lay, read_tree
from lens.config.layers import lay_flags, pattern_named
from lens.config.settings import COMPATIBLE, RunConfig, Tree
from lens.config.spelling import python_errors
from lens.config.targets import FORM
from lens.errors import ConfigError
from lens.units import parse_count
from lens.wire import Secret

LOG = logging.getLogger(__name__)
# What MessagePack holds.
LEAST_INT, MOST_INT = -(1 << 63), (1 << 64) - 1
# The config file that is read where none is named.
FILES_OF_FOLDER = tuple([f"llm-latency-lens.{suffix}" for suffix in ("toml", "yaml", "yml", "json")])


def config_file(said: str | None, environ: Mapping[str, str] = os.environ, folder: Path = Path()) -> Path | None:
    """Return the config file: the one that was said, that of LLL_CONFIG_FILE, or llm-latency-lens.toml of the folder.

    An empty LLL_CONFIG_FILE turns the last one off.
    """
    named = said or environ.get("LLL_CONFIG_FILE")
    if named or "LLL_CONFIG_FILE" in environ:
        return Path(named) if named else None
    return next((path for name in FILES_OF_FOLDER if (path := folder / name).is_file()), None)


def make_config(
    flags: Mapping[str, Any],
    *,
    file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    keep_exports: bool = False,
    one_address: bool = False,
    obeyed: Mapping[str, Collection[str]] | None = None,
) -> RunConfig:
    """Return the settings: flags over environment over file over defaults.

    keep_exports: files and backends that the file names are written to beside the exports of flags and environment.

    one_address: the base URL of the flags is one target; of the file's, with their keys, the first of its host counts.

    obeyed: of these sections of the file only these fields count; it is shared with commands that use the others.

    `flags` is a tree of sections: {"target": {...} for every target, "targets": [...], "load": {...},
    "prompts": {...}, "output": {...}, "thresholds": [...], "labels": {...}}; None means not said.

    Raises:
        ConfigError: a value cannot be; FileError: the file cannot be read.
    """
    named = environ.get("LLL_CONFIG_FILE")
    path = file or (Path(named) if named else None)
    tree: Tree = {}
    if path:
        tree = read_tree(path, environ)
    if unused := _drop_others(tree, obeyed or {}):
        LOG.warning("not used of %s, which other commands may want: %s", path, ", ".join(unused))
    if one_address:
        tree["targets"] = _of_host(tree.get("targets", []), (flags.get("target") or {}).get("base_url") or "")
    of_file, exports_of_file = tree.get("targets", []), tree.get("output", {}).get("exports", [])
    of_environment = from_environment(environ)
    concurrency = of_environment["load"].pop("concurrency", None)
    lay(tree, of_environment)
    replaced = lay_flags(tree, _said(flags))
    if replaced and path and pattern_named(flags.get("load") or {}) != "single":  # one request needs no load
        names = ", ".join(f"load.{name}" for name in replaced)
        LOG.warning("the command line asks for another pattern than %s: %s of it is not used", path, names)
    load = tree.setdefault("load", {})
    if concurrency and (flags.get("load") or {}).get("concurrency") is None and (
        pattern_named(load) in (None, "iterations", "burst")
    ):  # fmt: skip
        load["concurrency"] = concurrency  # that of closed loops: it does not slow a rate down
    if keep_exports and exports_of_file:
        tree["output"]["exports"] = _with_places(tree["output"]["exports"], exports_of_file)
    if flags.get("targets"):
        tree["targets"] = [joined(one, of_file) for one in flags["targets"]]
    target = tree.pop("target", {})
    wanted = target.get("provider")
    if wanted is None and not tree.get("targets"):
        # An address alone is that of a server of OpenAI's protocol; a [custom] section is what it says.
        wanted = "custom" if "custom" in target else COMPATIBLE if target.get("base_url") else None
        target = {**target, "provider": wanted} if wanted else target
    targets = [t for t in tree.get("targets", []) if wanted in (None, t.get("provider"))]
    tree["targets"] = [{**t, **target} for t in targets] if targets else [target] if wanted else []
    return convert(tree, str(path) if path else "")


def _drop_others(tree: Tree, obeyed: Mapping[str, Collection[str]]) -> list[str]:
    """Take out of some sections what is not among these fields; return the names of what was."""
    dropped = []
    for section, fields in obeyed.items():
        found = tree.get(section)
        if isinstance(found, dict):
            dropped += [f"{section}.{field}" for field in found if field not in fields]
            tree[section] = {field: value for field, value in found.items() if field in fields}
        elif found:
            dropped.append(section)
            del tree[section]
    return dropped


def _of_host(targets: Sequence[Tree], url: str) -> list[Tree]:
    """Return the first target whose address is on the host and port of a URL, if there is one."""
    host = urlsplit(url).netloc
    return [one for one in targets if urlsplit(str(one.get("base_url") or "")).netloc == host][:1]


def _with_places(asked: Sequence[Tree], of_file: Sequence[Tree]) -> list[Tree]:
    """Return the exports that are asked for, each where the file writes its format to, and the file's other ones."""
    places = [one for one in of_file if one.get("file") or one.get("endpoint")]
    names = {str(one["format"]).lower() for one in asked}
    wanted = []
    for one in asked:
        same = [p for p in places if p.get("file") and str(p["format"]).lower() == str(one["format"]).lower()]
        wanted.append({**(same[0] if same else {}), **one})
    others = [p for p in places if p.get("endpoint") or str(p["format"]).lower() not in names]
    return [*wanted, *[p for p in others if p not in wanted]]


def joined(one: Tree, among: Sequence[Tree]) -> Tree:
    """Return a target that a flag names, with what the file says of it: by its name, model, or provider.

    Raises:
        ConfigError: it is a name alone, and the file has no target of that name.
    """
    name, where = one.get("name"), one.get("base_url")
    called = [known.get("name", known.get("provider")) for known in among]
    if name is not None and name in called:
        return {**among[called.index(name)], **one}
    if not one.get("provider") and not where:
        known = ", ".join(map(str, called)) or "none"
        raise ConfigError(f"--target {name}: the config has no target of that name (there: {known}); write {FORM}")
    found = {"provider": COMPATIBLE, **one} if where else one
    same = [known for known in among if known.get("provider") == found.get("provider")]
    like: Tree = next((known for known in same if known.get("model") == found.get("model")), same[0] if same else {})
    if where not in (None, like.get("base_url")):
        like = {key: value for key, value in like.items() if key not in ("name", "labels")}
    return {**like, **found}


@python_errors()
def load_config(path: str | os.PathLike[str], environ: Mapping[str, str] = os.environ) -> RunConfig:
    """Return the settings of a config file (TOML, YAML or JSON), with those of environment variables over them.

    environ: where `${NAME}` and the variables of `lll` are looked up.

    Raises:
        ConfigError: a key is unknown, or a value does not fit. FileError: the file cannot be read.
    """
    return make_config({}, file=Path(path), environ=environ)


# Environment variables, and the setting that each one sets.
VARIABLES = {
    "LLL_CONCURRENCY": "load.concurrency",
    "LLL_EXPORT_FORMAT": "output.exports",
    "LLL_OUTPUT_DIR": "output.dir",
    "LLL_LOG_LEVEL": "output.log_level",
    "LENS_SHARDS": "load.shard",
}


def from_environment(environ: Mapping[str, str]) -> Tree:
    """Return what VARIABLES say; keys stay where they are until a target asks for one.

    Raises:
        ConfigError: a number is none.
    """
    tree: Tree = {"load": {}, "output": {}}
    concurrency = environ.get("LLL_CONCURRENCY")
    if concurrency:
        if not (count := parse_count(concurrency)):
            raise ConfigError(f"LLL_CONCURRENCY={concurrency!r}: write a number of 1 or more")
        tree["load"]["concurrency"] = count
    if (shard := shard_of_environment(environ)) is not None:
        tree["load"]["shard"] = shard
    if environ.get("LLL_EXPORT_FORMAT"):
        tree["output"]["exports"] = [{"format": f.strip()} for f in environ["LLL_EXPORT_FORMAT"].split(",")]
    for variable, field in (("LLL_OUTPUT_DIR", "dir"), ("LLL_LOG_LEVEL", "log_level")):
        if environ.get(variable):
            tree["output"][field] = environ[variable]
    return tree


def settings_of_program(config: RunConfig, environ: Mapping[str, str] = os.environ) -> RunConfig:
    """Return the settings of a run that a program gives, with the shard of its environment.

    Raises:
        ConfigError: LENS_SHARDS is set, and JOB_COMPLETION_INDEX is not.
    """
    if config.load.shard is not None or (shard := shard_of_environment(environ)) is None:
        return config
    return msgspec.structs.replace(config, load=msgspec.structs.replace(config.load, shard=shard))


def shard_of_environment(environ: Mapping[str, str]) -> str | None:
    """Return the shard of a pod of an indexed Job (Kubernetes, completionMode: Indexed); None where this is none.

    Raises:
        ConfigError: LENS_SHARDS is set, and JOB_COMPLETION_INDEX is not.
    """
    if not environ.get("LENS_SHARDS"):
        return None
    index = environ.get("JOB_COMPLETION_INDEX")
    if not index:
        raise ConfigError(
            f"LENS_SHARDS={environ['LENS_SHARDS']}: which of them is this? JOB_COMPLETION_INDEX is not set; "
            "give --shard I/N, or unset LENS_SHARDS"
        )
    return f"{index}/{environ['LENS_SHARDS']}"


def _said(flags: Mapping[str, Any]) -> Tree:
    """Return the flags without those that were not given."""
    sections = {
        k: {f: v for f, v in s.items() if v is not None} if isinstance(s, dict) else s for k, s in flags.items()
    }
    return {k: s for k, s in sections.items() if s is not None}


def _unwritable(value: object, place: str = "") -> str | None:
    """Return where a number stands that neither a request nor a run file can hold, and what would do; None: nowhere.

    JSON has no inf and nan: a request would be sent with null in their place.
    """
    if isinstance(value, float):
        return None if isfinite(value) else f"{place}: expected a finite number, not inf or nan"
    if isinstance(value, int):
        return None if LEAST_INT <= value <= MOST_INT else f"{place}: expected a number of at most 64 bits"
    inside: Iterable[tuple[str, object]] = ()
    if isinstance(value, Mapping):
        inside = ((f"{place}.{name}".lstrip("."), one) for name, one in value.items())
    elif isinstance(value, list | tuple):
        inside = ((f"{place}[{number}]", one) for number, one in enumerate(value))
    return next((found for name, one in inside if (found := _unwritable(one, name)) is not None), None)


def convert(tree: Tree, source: str = "") -> RunConfig:
    """Return the typed settings of a tree in our own names.

    Raises:
        ConfigError: a value does not fit; the message begins with the source and its place.
    """

    def hook(wanted: type, value: object) -> object:
        return Secret(value) if wanted is Secret and isinstance(value, str) else value

    if (wrong := _unwritable(tree)) is not None:
        raise ConfigError(f"{source}: {wrong}" if source else wrong)
    try:
        return msgspec.convert(tree, RunConfig, dec_hook=hook)
    except msgspec.ValidationError as error:
        said, _, at = str(error).partition(" - at `$.")
        where = ": ".join(part for part in (source, at.rstrip("`")) if part)
        raise ConfigError(f"{where}: {said[:1].lower()}{said[1:].replace('`', '')}") from None
