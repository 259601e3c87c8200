"""Find the codec of a provider by its name: built-ins first, then those of installed plugins."""

from __future__ import annotations

from functools import cache

from lens import plugins
from lens.errors import ConfigError, did_you_mean
from lens.providers.anthropic import Anthropic
from lens.providers.azure import Azure
from lens.providers.base import Provider
from lens.providers.bedrock import Bedrock
from lens.providers.cohere import Cohere
from lens.providers.custom import Custom
from lens.providers.google import Google
from lens.providers.ollama import Ollama
from lens.providers.openai import OpenAI
from lens.providers.presets import PRESETS
from lens.providers.vertex import Vertex

GROUP = "lens.providers"


@cache
def _built_in() -> dict[str, Provider]:
    providers: tuple[Provider, ...] = (
        *[OpenAI(preset) for preset in PRESETS],
        Azure(),
        Anthropic(),
        Google(),
        Vertex(),
        Bedrock(),
        Ollama(),
        Cohere(),
        Custom(),
    )
    return {provider.name: provider for provider in providers}


@cache
def _aliases() -> dict[str, str]:
    """Return the provider of each alias that a preset names."""
    presets = [getattr(provider, "preset", None) for provider in _built_in().values()]
    return {alias: preset.name for preset in presets if preset for alias in preset.aliases}


def provider_names() -> tuple[str, ...]:
    """Return every name that get_provider knows, aliases left out."""
    return (*_built_in(), *[name for name in plugins.names(GROUP) if name not in _built_in()])


def get_provider(name: str) -> Provider:
    """Return the codec of this name or alias, in any case.

    Raises:
        ConfigError: no provider of that name; the message names the nearest.
    """
    wanted = name.strip().lower()
    wanted = _aliases().get(wanted, wanted)
    built_in = _built_in()
    if wanted in built_in:
        return built_in[wanted]
    if name in plugins.names(GROUP):
        loaded = plugins.load(GROUP, name)
        provider: Provider = loaded() if isinstance(loaded, type) else loaded
        return provider
    names = provider_names()
    there_are = f"there are {', '.join(names)}; a plugin can add others"
    raise ConfigError(f"no provider {name!r}; {did_you_mean(wanted, [*names, *_aliases()], then=there_are)}")
