"""Complete a target of which little more than its address is known: the provider, the base URL, the model.

Only what was not said is filled in. Nothing here fails for what a server answers or does not answer: then the target
keeps what was said, a request to it fails, and `hints` says why and what would work.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple
from urllib.parse import urlsplit

from msgspec.structs import replace

from lens.analysis.diagnosis.failures import refusals
from lens.analysis.diagnosis.symptoms import Served
from lens.config.settings import COMPATIBLE, TargetConfig
from lens.model import Record
from lens.orchestrator.plan_target import SIMULATOR, make_target
from lens.providers.registry import provider_at, provider_of_owner
from lens.run.server_info import list_models, locate_api

# What is asked for where nobody named a model and the server lists none.
UNNAMED = "unnamed"
# Somebody waits for the first measurement: how long the address, and that of the other scheme, may take to answer.
ASK_S, OTHER_S = 5.0, 3.0
# So many failed requests tell how a run failed.
MOST_HINTED = 100


class Detected(NamedTuple):
    """A target that can be asked, and what its server told."""

    target: TargetConfig
    served: Served


def unasked(one: TargetConfig) -> Detected:
    """Return the target as it was given, of whose server nothing is known."""
    target = make_target(one if one.model else replace(one, model=UNNAMED))
    return Detected(replace(one, model=one.model or UNNAMED), Served(base_url=target.info.url, model=one.model))


async def with_model(one: TargetConfig) -> Detected:
    """Return the target with a model: the first that the server lists, where none was named.

    Raises:
        ConfigError: a part of the target cannot be.
    """
    if one.provider == SIMULATOR and not one.model:
        one = replace(one, model=SIMULATOR)
    target = make_target(one if one.model else replace(one, model=UNNAMED))
    served = Served(base_url=target.info.url, model=one.model)
    if one.model:
        return Detected(one, served)
    models = await list_models(target, target.info.url)
    named = models[0] if models else ""
    # Some servers have but one model and take any name; the others say what is wrong.
    return Detected(replace(one, model=named or UNNAMED), replace(served, model=named, models=models))


async def detect(one: TargetConfig) -> Detected:
    """Return the target with provider, base URL and model as its address and its server tell them.

    Raises:
        ConfigError: a part of the target cannot be.
    """
    guessed = one.provider == COMPATIBLE
    if guessed and (known := provider_at(one.base_url or "")) is not None:
        # At the root of a provider's host its own address is meant.
        bare = urlsplit(one.base_url or "").path in ("", "/")
        one, guessed = replace(one, provider=known, base_url=None if bare else one.base_url), False
    served = await _located(one, ASK_S)
    if served.silent and (other := _other_scheme(one)) is not None:
        found = await _located(other, OTHER_S)
        one, served = (one, served) if found.silent else (other, found)
    if guessed and served.owner is not None:
        one = replace(one, provider=provider_of_owner(served.owner) or one.provider)
    named = one.model or (served.models[0] if served.models else "")
    url = served.better_url or one.base_url
    served = replace(served, base_url=served.better_url or served.base_url, better_url=None, model=named)
    return Detected(replace(one, base_url=url, model=named or UNNAMED), served)


async def _located(one: TargetConfig, timeout_s: float) -> Served:
    target = make_target(one if one.model else replace(one, model=UNNAMED))
    return await locate_api(target, Served(base_url=target.info.url, model=one.model), timeout_s)


def _other_scheme(one: TargetConfig) -> TargetConfig | None:
    """Return the target under https instead of http, or the reverse; None where a key would leave unencrypted."""
    url = one.base_url or ""
    if url.startswith("http://"):
        return replace(one, base_url=f"https://{url.removeprefix('http://')}")
    keyless = make_target(replace(one, model=one.model or UNNAMED)).key is None
    return replace(one, base_url=f"http://{url.removeprefix('https://')}") if keyless and url else None


def with_scheme(address: str) -> str:
    """Return an address as a URL: without a scheme http for an address with a port or without a domain, else https."""
    if "://" in address:
        return address
    parts = urlsplit(f"//{address}")
    local = parts.netloc.rpartition(":")[2].isdigit() or "." not in (parts.hostname or "")
    return f"{'http' if local else 'https'}://{address}"


async def hints(target: TargetConfig, records: Sequence[Record]) -> list[str]:
    """Return what failed requests of a target mean and what to try, a sentence each; nothing where one succeeded."""
    failed = list(islice(records, MOST_HINTED))
    made = make_target(target)
    served = Served(base_url=made.info.url, model="" if target.model == UNNAMED else target.model)
    if any(record.category == "not_found" for record in failed):
        served = await locate_api(made, served)
    return [f"{one.says}; {one.try_next}" for one in refusals(failed, served)]
