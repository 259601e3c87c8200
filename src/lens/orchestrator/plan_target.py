"""One target, ready to be asked: where its requests go, by which way, with which key, and how they are encoded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import msgspec

from lens.config.settings import TargetConfig
from lens.config.targets import with_names
from lens.errors import ConfigError
from lens.model import Target
from lens.orchestrator.variants import with_placeholder
from lens.providers.auth.keys import (
    find_key,
    key_file_warning,
    refuse_plain_http,
    resolve_base_url,
    withheld_warning,
)
from lens.providers.base import Provider
from lens.providers.registry import CUSTOM, get_provider
from lens.secrets import bare_url
from lens.transport.endpoint import Endpoint, parse_endpoint, usable_proxy
from lens.wire import Ask, Prompt, Secret, WireRequest

# The provider that needs neither a model nor a server.
SIMULATOR = "simulator"


class PlanTarget(msgspec.Struct, frozen=True, kw_only=True):
    """One target, ready to be asked."""

    info: Target  # as it may be shown
    provider: Provider
    endpoint: Endpoint
    base_url: str
    key: Secret | None = None
    ask: Ask
    labels: dict[str, str] = {}  # of its requests

    def encode(self, prompt: Prompt) -> WireRequest:
        """Return the request that asks this target.

        Raises:
            ConfigError: the protocol cannot express the prompt.
        """
        return self.provider.encode(prompt, self.ask, self.base_url, self.key)


def make_target(config: TargetConfig, environ: Mapping[str, str] = os.environ) -> PlanTarget:
    """Return where requests of this target go, by which way and with which key.

    Raises:
        ConfigError: a part cannot be.
    """
    provider, base_url = _provider_and_address(config, environ)
    if not base_url:
        variables = getattr(getattr(provider, "preset", None), "address_variables", ())
        named = "".join([f"set {name}, or " for name in variables])
        raise ConfigError(f"provider {config.provider}: it has no address of its own; {named}give --base-url")
    if not config.model and config.provider != SIMULATOR:
        raise ConfigError(f"provider {config.provider}: which model? give --model")
    endpoint = parse_endpoint(
        base_url,
        unix_socket=config.unix_socket,
        connect_to=config.connect_to,
        resolve=config.resolve,
        family=config.family,
        proxy=_proxy_of(config, base_url, environ),
        cafile=config.cacert,
        cert=config.cert,
        client_key=config.client_key,
        insecure=config.insecure,
        server_name=config.server_name,
    )
    key = find_key(config, provider, environ)
    if key is not None:
        refuse_plain_http(config, provider, base_url)
    info = _info(config, base_url)
    ask = Ask(
        model=info.model,
        api=config.api,
        stream=config.stream,
        max_tokens=config.max_tokens,
        temperature=config.temperature,
        seed=config.seed,
        extra_body=with_placeholder(config.extra_body, config.novel) if config.novel else config.extra_body,
        headers=config.headers,
    )
    return PlanTarget(
        info=info, provider=provider, endpoint=endpoint, base_url=base_url, key=key, ask=ask, labels=config.labels
    )


def key_warnings(targets: Sequence[TargetConfig], environ: Mapping[str, str]) -> list[str]:
    """Return a warning for each key that others can read, and for each that is not sent."""
    found = [key_file_warning(one.api_key_file) for one in targets]
    found += [withheld_warning(one, get_provider(one.provider), environ) for one in targets]
    return [says for says in dict.fromkeys(found) if says]


def planned_targets(targets: Sequence[TargetConfig], environ: Mapping[str, str] = os.environ) -> tuple[Target, ...]:
    """Return the targets of a run as its header will have them; no key is looked for.

    Raises:
        ConfigError: no provider of that name, or two targets of one name.
    """
    return with_names([_info(one, _provider_and_address(one, environ)[1] or "") for one in targets])


def _provider_and_address(config: TargetConfig, environ: Mapping[str, str]) -> tuple[Provider, str | None]:
    provider = get_provider(config.provider)
    if provider.name == CUSTOM:
        from lens.providers.custom import Custom

        if isinstance(provider, Custom):
            provider = provider.with_settings(config.custom)
    return provider, resolve_base_url(config, provider, environ)


def _info(config: TargetConfig, base_url: str) -> Target:
    model = config.model or SIMULATOR
    return Target(
        provider=config.provider,
        model=model,
        url=bare_url(base_url).rstrip("/"),
        api=config.api,
        temperature=config.temperature,
        max_tokens=config.max_tokens,
        name=config.name or f"{config.provider}/{model}",
        named=config.name is not None,
    )


def _proxy_of(config: TargetConfig, base_url: str, environ: Mapping[str, str]) -> str | None:
    """Return the proxy that is configured, else the one the environment names.

    Raises:
        ConfigError: the environment names one that cannot be used; the message has the variable.
    """
    if config.proxy is not None or config.unix_socket is not None:
        return config.proxy or None
    return usable_proxy(base_url, environ)
