"""Each setting as it would be used, and where it came from: flag, environment, file or default.

The rule: what may be a secret is three asterisks, whoever gave it; a default is marked as one, and what
is not set is not shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from lens.cli.command import Option
from lens.config.load import VARIABLES
from lens.config.secret_settings import without_secrets
from lens.config.settings import RunConfig, Section, TargetConfig, Tree
from lens.config.spelling import short_name
from lens.providers.registry import get_provider
from lens.secrets import MASK, is_sensitive, mask_given_headers
from lens.units import human_duration
from lens.wire import Secret


class Setting(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of what would be used."""

    name: str  # load.rate, targets.0.model
    value: str
    source: Literal["flag", "environment", "file", "default"]
    by: str | None = None  # the option or the variable
    line: int | None = None  # of the file


class Sources:
    """What each source said."""

    def __init__(
        self, flags: Tree, environment: Tree, file: Tree, lines: Mapping[str, int], options: Mapping[str, str]
    ) -> None:
        """options: setting -> the option that sets it."""
        self._flags, self._environment, self._file = flags, environment, file
        self._lines, self._options = lines, options
        self._variables = {setting: name for name, setting in VARIABLES.items()}

    def of(self, section: str, field: str) -> dict[str, Any]:
        """Return who said section.field."""
        name = f"{section}.{field}"
        if field in _table(self._flags.get(section)):
            return {"source": "flag", "by": self._options.get(name)}
        if field in _table(self._environment.get(section)):
            return {"source": "environment", "by": self._variables.get(name)}
        if field in _table(self._file.get(section)):
            return {"source": "file", "line": self._lines.get(name)}
        return {"source": "default"}

    def of_target(self, target: TargetConfig, field: str) -> dict[str, Any]:
        """Return who said a field of a target; a flag counts for all of them."""
        if field in _table(self._flags.get("target")):
            return {"source": "flag", "by": self._options.get(f"target.{field}")}
        mine = (target.provider, target.model)
        for number, one in enumerate(self._file.get("targets", ())):
            if mine == (one.get("provider"), one.get("model", target.model)) and field in one:
                return {"source": "file", "line": self._lines.get(f"targets.{number}.{field}")}
        if field in _table(self._file.get("target")):
            return {"source": "file", "line": self._lines.get(f"target.{field}")}
        return {"source": "default"}

    def of_whole(self, field: str) -> dict[str, Any]:
        """Return who said something that is no table of fields."""
        if field in self._flags:
            return {"source": "flag", "by": self._options.get(field)}
        return {"source": "file", "line": self._lines.get(field)}


def settings(config: RunConfig, sources: Sources, environ: Mapping[str, str]) -> Iterator[Setting]:
    """Yield everything that is set, the targets first."""
    for number, target in enumerate(config.targets):
        for field in target.__struct_fields__:
            value = shown(field, getattr(target, field))
            if value is not None:
                yield Setting(
                    name=f"targets.{number}.{short_name(field)}", value=value, **sources.of_target(target, field)
                )
        yield from _key(number, target, environ)
    for section in config.__struct_fields__:
        part = getattr(config, section)
        if section == "targets" or part is None:
            continue
        if not isinstance(part, Section):
            value = shown(section, part)
            if value is not None:
                yield Setting(name=section, value=value, **sources.of_whole(section))
            continue
        for field in part.__struct_fields__:
            value = shown(field, getattr(part, field))
            if value is not None:
                yield Setting(name=f"{section}.{short_name(field)}", value=value, **sources.of(section, field))


def _has_key(target: TargetConfig) -> bool:
    """Return whether the settings say themselves where the key is, in other ways than by a variable."""
    places = (target.api_key, target.api_key_file, target.api_key_command, target.api_key_keyring)
    return any(place is not None for place in places)


def missing_keys(config: RunConfig, environ: Mapping[str, str]) -> list[str]:
    """Return what a run would want besides: no mistake of the file, since keys live elsewhere."""
    wanted = []
    for target in config.targets:
        if _has_key(target):
            continue
        provider = get_provider(target.provider)
        names = (target.api_key_env,) if target.api_key_env else provider.key_variables
        if any(environ.get(name) for name in names) or (not target.api_key_env and target.base_url is not None):
            continue
        if names:
            wanted.append(f"{target.provider}: no key yet; set {' or '.join(names)} before a run")
    return wanted


def _key(number: int, target: TargetConfig, environ: Mapping[str, str]) -> Iterator[Setting]:
    """Yield the key that a variable gives, where the settings hold none."""
    if _has_key(target):
        return
    names = (target.api_key_env,) if target.api_key_env else get_provider(target.provider).key_variables
    name = next((name for name in names if environ.get(name)), None)
    if name is not None:
        yield Setting(name=f"targets.{number}.api_key", value=MASK, source="environment", by=name)


def shown(field: str, value: Any) -> str | None:
    """Return a value as people write it; None where nothing is set."""
    if value is None or value in ((), {}, ""):
        return None
    if isinstance(value, Secret):
        return MASK
    if field.endswith("_ns"):
        return ", ".join(map(_duration, value)) if isinstance(value, tuple) else _duration(value)
    if field.endswith("_per_s"):
        return f"{value:g}/s"
    if isinstance(value, bool):
        return "true" if value else "false"
    if field == "webhook":
        # Who knows the whole of such an address may post there.
        parts = urlsplit(str(value))
        return f"{parts.scheme}://{parts.hostname}/{MASK}"
    if isinstance(value, str | int | float):
        return str(without_secrets(value))
    if field == "headers":
        return ", ".join(f"{name}: {text}" for name, text in mask_given_headers(dict(value).items()))
    if isinstance(value, tuple) and all(isinstance(one, str | int | float) for one in value):
        return ", ".join(str(one) for one in value)
    return msgspec.json.encode(_bare(msgspec.json.decode(msgspec.json.encode(value)))).decode()


def _bare(value: Any) -> Any:
    """Without what is not set, and without what may be a secret."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if v not in (None, "", [], {})}
        return {k: MASK if is_sensitive(k) and isinstance(v, str) else _bare(v) for k, v in kept.items()}
    return [_bare(one) for one in value] if isinstance(value, list) else value


def _duration(value: int) -> str:
    return "0" if not value else human_duration(value).replace(".00 ", " ")


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def option_names(options: Any) -> dict[str, str]:
    """Setting -> the option that sets it, of a command's options."""
    return {
        one.to: next((name for name in one.opts if name.startswith("--")), one.opts[0])
        for one in reversed([one for one in options if isinstance(one, Option)])
        if one.to
    }
