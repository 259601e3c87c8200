"""How settings are spelled where they are given: as options of the command line, or as arguments in Python.

A field in ns or per second has a short name for a value with its unit: `duration="60s"` is `duration_ns`. Messages
speak of options; `in_python` says the same to a program.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from lens.config.settings import (
    CompareConfig,
    LoadConfig,
    MonitorConfig,
    OutputConfig,
    PromptConfig,
    RunConfig,
    Section,
    SessionConfig,
    TargetConfig,
)
from lens.errors import ConfigError, LensError, did_you_mean
from lens.patterns import lazy_pattern
from lens.units import parse_duration_ns, parse_rate_per_s

SectionT = TypeVar("SectionT", bound=Section)
# An option in a message, with the value that it is shown with (a quoted text, a number, or a place for one) and the
# setting that it names in brackets.
_OPTION = lazy_pattern(
    r"(?<![\w-])(-[nc]\b|--[a-z][a-z0-9-]*)"
    r"(?: ('[^']*'|in=[^\s;)]+|(?:constant|poisson|gamma|reuse|fresh|both|ray)\b|[A-Z0-9][^\s,;:)]*))?"
    r"(?: \([a-z]+\.[a-z_]+\))?"
)
# Fields whose values are not repeated in messages.
_MAY_BE_SECRET = ("api_key", "base_url", "proxy", "headers", "extra_body")
_SECTIONS: dict[type[Section], str] = {
    TargetConfig: "", LoadConfig: "", PromptConfig: "prompts.", OutputConfig: "output.", SessionConfig: "sessions.",
    CompareConfig: "compare.", MonitorConfig: "", RunConfig: "",
}  # fmt: skip
# Options that are not called like a field, and the argument that does the same.
ARGUMENTS = {
    "-c": "concurrency",
    "-n": "iterations",
    "adaptive": "adaptive=True",
    "answer-limit": "answer_limits",
    "concurrent": "concurrency",
    "disable-keepalive": "connection='fresh'",
    "export": "output.exports",
    "factor": "compare.factors",
    "force": "force=True",
    "header": "headers",
    "insecure": "insecure=True",
    "ipv4": "family='ipv4'",
    "ipv6": "family='ipv6'",
    "label": "labels",
    "lines": "prompts.whole",
    "max-cost": "max_cost_usd",
    "no-stream": "stream=False",
    "output": "output.file",
    "output-dir": "output.dir",
    "price": "price",
    "price-tier": "book",
    "prices": "book",
    "prompt": "prompts.texts",
    "prompt-file": "prompts.file",
    "sessions": "sessions.file",
    "slo": "slos",
    "target": "targets",
    "threshold": "thresholds",
    "variant": "compare.variants",
    "warn-cost": "warn_cost_usd",
}


def short_name(field: str) -> str:
    """Return the name of a field under which its value may be given with a unit: duration for duration_ns."""
    return field.removesuffix("_ns").removesuffix("_per_s")


def section_of(kind: type[SectionT], given: Mapping[str, Any], call: str, over: SectionT | None = None) -> SectionT:
    """Return a section of the configuration from keyword arguments.

    call: what they were given to, for messages; over: the section whose fields they replace.

    Raises:
        ConfigError: an argument is unknown, given twice, or has a value that does not fit.
    """
    fields = {} if over is None else {name: getattr(over, name) for name in kind.__struct_fields__}
    fields |= _long_names(kind, given, call)
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        said, _, place = str(error).partition(" - at `$.")
        name = re.split(r"[.\[`]", place)[0]
        shown = f"{name}{_shown(name, fields.get(name))}: " if name else ""
        said = said.replace("`", "").replace("| null", "| None")
        raise ConfigError(f"{call}: {shown}{said[:1].lower()}{said[1:]}") from None


def prompt_texts(prompts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the prompts of a run as they are, once each is known to be a text.

    Raises:
        ConfigError: one is none, like a list of prompts in place of several arguments.
    """
    for prompt in prompts:
        if not isinstance(prompt, str):
            kind = type(prompt).__name__
            raise ConfigError(f"run(): a prompt is a str, not {kind}; prompts are separate arguments: run('a', 'b')")
    return prompts


def _shown(name: str, value: Any) -> str:
    """Return a value for a message, "" where it may hold a secret or is long."""
    plain = isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= 40)
    return f"={value!r}" if plain and not name.startswith(_MAY_BE_SECRET) else ""


def _long_names(kind: type[Section], given: Mapping[str, Any], call: str) -> dict[str, Any]:
    """Return arguments by the fields that they set, their values in the fields' own units."""
    known = kind.__struct_fields__
    by_short = {short_name(name): name for name in known}
    found: dict[str, Any] = {}
    for said, value in given.items():
        name = said if said in known else by_short.get(said)
        if name is None:
            names = [*known, *[short for short in by_short if short not in known]]
            hint = did_you_mean(said, names, otherwise=f"there are {', '.join(names)}")
            raise ConfigError(f"{call}: no argument {said!r}; {hint}")
        if name in found:
            raise ConfigError(f"{call}: {short_name(name)} and {name} are the same setting; give one")
        try:
            found[name] = _in_units(name, value) if name != said or isinstance(value, str) else value
        except ValueError as error:
            raise ConfigError(f"{call}: {said}: {error}") from None
    return found


def _in_units(name: str, value: Any) -> Any:
    """Return a value with its unit as the number that the field holds; numbers are seconds, or per second."""
    if not name.endswith(("_ns", "_per_s")) or value is None:
        return value
    if isinstance(value, tuple | list):
        return tuple([_in_units(name, one) for one in value])
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{value!r} is not a {'duration' if name.endswith('_ns') else 'rate'}")  # noqa: TRY004
    return parse_duration_ns(str(value)) if name.endswith("_ns") else parse_rate_per_s(str(value))


def in_python(message: str, **own: str) -> str:
    """Return a message with Python arguments in place of the options that it names: `rate=10` for `--rate 10`.

    own: arguments of the call itself, by the option that does the same. An option that the library does not have stays
    as it is.
    """
    return _OPTION.sub(lambda found: _argument(found, own), message)


def _argument(found: re.Match[str], own: Mapping[str, str]) -> str:
    option, value = found.group(1).removeprefix("--"), found.group(2)
    name = own.get(option) or ARGUMENTS.get(option) or _field_named(option.replace("-", "_"))
    if name is None:
        return found.group(0)
    if value is None or "=" in name:
        return name if value is None else f"{name} {value}"
    quoted = value if value[0] in "'" or value.isupper() or _is_number(value) else repr(value)
    return f"{name}={quoted}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _field_named(name: str) -> str | None:
    """Return the argument of this name, None where no section has it."""
    for section, place in _SECTIONS.items():
        alone = name.removeprefix("session_") if section is SessionConfig else name
        if any(alone in (field, short_name(field)) for field in section.__struct_fields__):
            return f"{place}{alone}"
    return None


@contextmanager
def python_errors(**own: str) -> Iterator[None]:
    """Let errors of the block, or of the decorated function, name Python arguments; see `in_python`."""
    try:
        yield
    except LensError as error:
        error.args = tuple([in_python(one, **own) if isinstance(one, str) else one for one in error.args])
        raise
