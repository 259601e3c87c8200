"""The names of targets: what `--target` means, and what a target is called that nobody named.

A name that was given is the target's identity, wherever it is. Without one it is provider/model, and the host where
that alone would make two endpoints one; a number is the last resort, for one endpoint asked in two ways.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from lens.errors import ConfigError
from lens.model import Target
from lens.patterns import lazy_pattern

Tree = dict[str, Any]
FORM = "NAME=provider:model@URL"
# A name, and what is behind its "="; a URL has its own "=" only behind "://" or "?".
_NAMED = lazy_pattern(r"\s*(?P<name>[^=:/@?\s][^=:/@?]*?)\s*=\s*(?P<rest>.*)", re.DOTALL)
_ADDRESS = lazy_pattern(r"(?:^|@)(?P<url>https?://.*)", re.IGNORECASE | re.DOTALL)
# What looks like an address without its scheme: a port or a path behind the last "@".
_BARE_ADDRESS = lazy_pattern(r"@(\[[^\]]+\]|[\w.-]+)(:\d+|/)")


def is_address(text: str) -> bool:
    """Return whether an option holds a URL alone, as other tools take it under the same name."""
    return re.match(r"\s*https?://", text, re.IGNORECASE) is not None


def parse_target(text: str) -> Tree:
    """Return `NAME=provider:model@URL label=value ...` as settings of a target; what is left out is absent.

    "fast=vllm:llama-3@http://gpu1:8000/v1 region=eu", "openai:gpt-4o", "fast=http://gpu1:8000/v1", "fast" alone.

    Raises:
        ConfigError: it names nothing that could be asked.
    """
    head, *labels = text.split() or [""]
    named = _NAMED.fullmatch(head) if head else None
    name, rest = (named["name"], named["rest"]) if named else (None, head)
    address = _ADDRESS.search(rest)
    said, url = (rest[: address.start()], address["url"]) if address else (rest, None)
    provider, colon, model = said.partition(":")
    if _BARE_ADDRESS.search(said):
        raise ConfigError(
            f"--target {text!r}: write the address with its scheme, like @http://{said.rpartition('@')[2]}"
        )
    if said and not (url or named or colon or labels):
        return {"name": said}
    if (said and not (colon and provider and model)) or not (said or url):
        raise ConfigError(f"--target {text!r}: write {FORM}, like fast=vllm:llama-3@http://gpu1:8000/v1")
    found: Tree = {"name": name, "provider": provider or None, "model": model or None, "base_url": url}
    if labels:
        found["labels"] = dict(_label(one, text) for one in labels)
    return {key: value for key, value in found.items() if value is not None}


def _label(pair: str, text: str) -> tuple[str, str]:
    key, equals, value = pair.partition("=")
    if not key or not equals:
        raise ConfigError(f"--target {text!r}: {pair!r} is not a label; write NAME=VALUE behind the address")
    return key, value


def completed(targets: Sequence[Tree], shared: Tree) -> list[Tree]:
    """Return targets with the provider, model and address that flags name for all; what a target says itself stays.

    Raises:
        ConfigError: a flag for all would be ignored, because each target says it already.
    """
    common = {}
    for field, option in (("provider", "--provider"), ("model", "--model"), ("base_url", "--base-url")):
        if shared.get(field) is None:
            continue
        if targets and all(field in one for one in targets):
            raise ConfigError(f"{option} {shared[field]} would be ignored: every --target says its own; leave it out")
        common[field] = shared[field]
    return [{**common, **one} for one in targets]


def target_names(targets: Sequence[Target]) -> tuple[str, ...]:
    """Return what the targets of one run are called; no two names are equal.

    Raises:
        ConfigError: one name was given to two of them.
    """
    given = Counter(one.name for one in targets if one.named)
    twice = [name for name, count in given.items() if count > 1]
    if twice:
        raise ConfigError(f"two targets are called {twice[0]!r}; give each its own name: --target {FORM}")
    return tuple(_numbered(_told_apart(targets)))


def names_across_runs(runs: Sequence[Sequence[Target]]) -> list[tuple[str, ...]]:
    """Return what the targets of several runs are called: equal names are one target, measured several times.

    What one run calls provider/model gets its host where another run means another endpoint by that.
    """
    every = [one for run in runs for one in run]
    names = _told_apart(every)
    found, begin = [], 0
    for run in runs:
        found.append(tuple(_numbered(names[begin : begin + len(run)])))
        begin += len(run)
    return found


def _told_apart(targets: Sequence[Target]) -> list[str]:
    """Return names, with hosts or whole addresses where they are needed to tell endpoints apart."""
    plain = [one.name if one.named else f"{one.provider}/{one.model}" for one in targets]
    for where in (_host, _address):
        urls: dict[str, set[str]] = {}
        for one, name in zip(targets, plain, strict=True):
            urls.setdefault(name, set()).add("" if one.named else one.url)
        plain = [
            f"{one.provider}/{one.model}@{where(one.url)}" if not one.named and len(urls[name]) > 1 else name
            for one, name in zip(targets, plain, strict=True)
        ]
    return plain


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _address(url: str) -> str:
    return _host(url) + urlsplit(url).path


def _numbered(names: Iterable[str]) -> list[str]:
    """Return them with a number behind each that is not the first of its name."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return found


def with_names(targets: Sequence[Target]) -> tuple[Target, ...]:
    """Return the targets of one run under their names.

    Raises:
        ConfigError: one name was given to two of them.
    """
    names = target_names(targets)
    return tuple([msgspec.structs.replace(one, name=name) for one, name in zip(targets, names, strict=True)])


def find_named(names: Sequence[str], wanted: str, name_of: Callable[[int], tuple[str, str]]) -> list[int]:
    """Return the places of the targets that are meant by a name, or by provider:model or provider/model.

    name_of: place -> provider and model.
    """
    exact = [place for place, name in enumerate(names) if name == wanted]
    if exact:
        return exact
    pairs = [name_of(place) for place in range(len(names))]
    return [
        place
        for place, (provider, model) in enumerate(pairs)
        if wanted in (f"{provider}:{model}", f"{provider}/{model}")
    ]
