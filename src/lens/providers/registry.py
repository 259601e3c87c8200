"""Find the codec of a provider by its name: built-ins first, then those of installed plugins."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from urllib.parse import urlsplit

from lens import plugins
from lens.errors import ConfigError, did_you_mean
from lens.providers.base import Provider, is_this_machine
from lens.providers.presets import PRESETS

GROUP = "lens.providers"
CUSTOM = "custom"  # the provider that is described by its configuration
# Codecs with a protocol of their own: name -> where it is. A module is imported when its provider is asked for.
_OWN = {
    "azure": "lens.providers.azure:Azure",
    "anthropic": "lens.providers.anthropic:Anthropic",
    "google": "lens.providers.google:Google",
    "vertex": "lens.providers.vertex:Vertex",
    "bedrock": "lens.providers.bedrock:Bedrock",
    "ollama": "lens.providers.ollama:Ollama",
    "cohere": "lens.providers.cohere:Cohere",
    CUSTOM: "lens.providers.custom:Custom",
}
_PRESETS = {preset.name: preset for preset in PRESETS}
_BUILT_IN = (*_PRESETS, *_OWN)


@cache
def _built_in(name: str) -> Provider:
    if name in _PRESETS:
        from lens.providers.openai import OpenAI

        return OpenAI(_PRESETS[name])
    module, _, kind = _OWN[name].partition(":")
    provider: Provider = getattr(import_module(module), kind)()
    return provider


@cache
def _aliases() -> dict[str, str]:
    """Return the provider of each alias that a preset names."""
    presets = [getattr(_built_in(name), "preset", None) for name in _BUILT_IN]
    return {alias: preset.name for preset in presets if preset for alias in preset.aliases}


def provider_names() -> tuple[str, ...]:
    """Return every name that get_provider knows, aliases left out."""
    return (*_BUILT_IN, *[name for name in plugins.names(GROUP) if name not in _BUILT_IN])


def provider_at(url: str) -> str | None:
    """Return the provider whose own address is on the host of a URL; None for this machine and for other hosts."""
    host = urlsplit(url).hostname or ""
    if not host or is_this_machine(host):
        return None
    for name in _BUILT_IN:
        own = urlsplit(_built_in(name).base_url or "").hostname
        if own and (host == own or host.endswith(f".{own}")):
            return name
    return None


def provider_of_owner(owner: str) -> str | None:
    """Return the provider whose servers list their models with this `owned_by`, or None."""
    return next((preset.name for preset in PRESETS if preset.owner == owner), None)


def get_provider(name: str) -> Provider:
    """Return the codec of this name or alias, in any case.

    Raises:
        ConfigError: no provider of that name; the message names the nearest.
    """
    wanted = name.strip().lower()
    if wanted not in _BUILT_IN:
        wanted = _aliases().get(wanted, wanted)
    if wanted in _BUILT_IN:
        return _built_in(wanted)
    if name in plugins.names(GROUP):
        loaded = plugins.load(GROUP, name)
        provider: Provider = loaded() if isinstance(loaded, type) else loaded
        return provider
    names = provider_names()
    there_are = f"there are {', '.join(names)}; a plugin can add others"
    raise ConfigError(f"no provider {name!r}; {did_you_mean(wanted, [*names, *_aliases()], then=there_are)}")
