"""The built-in simulator behind targets that name the provider "simulator" and no address."""

from __future__ import annotations

import select
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Self

from msgspec.structs import replace

from lens.config.settings import RunConfig, TargetConfig
from lens.config.targets import target_names
from lens.errors import LensError
from lens.model import Target
from lens.orchestrator.plan_target import SIMULATOR

# Stands for the address of a simulator in a plan that is only shown.
PLACEHOLDER = "http://127.0.0.1:1/v1"


class Simulators:
    """The simulators of a program; a context manager that ends them. Each is started once and taken again."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._urls: list[str] = []

    def host(self, config: RunConfig) -> RunConfig:
        """Return the config with the address of a simulator for each target that needs one.

        Raises:
            LensError: a simulator did not start.
        """
        if not any(map(needs_simulator, config.targets)):
            return config
        targets, hosted = [], 0
        for target in _named(config.targets):
            if needs_simulator(target):
                target = replace(target, base_url=f"{self._url(hosted)}/v1", proxy="")
                hosted += 1
            targets.append(target)
        return replace(config, targets=tuple(targets))

    def _url(self, number: int) -> str:
        if number == len(self._urls):
            if not hasattr(select, "epoll"):
                raise LensError(
                    f"provider {SIMULATOR}: it needs Linux; measure an endpoint, or use the container image"
                )
            from lens.simulator import start

            try:
                self._urls.append(self._stack.enter_context(start()).url)
            except RuntimeError as error:
                raise LensError(f"provider {SIMULATOR}: {error}") from error
        return self._urls[number]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


@contextmanager
def with_simulators(config: RunConfig) -> Iterator[RunConfig]:
    """Start a simulator for each target that needs one; yield the config with their addresses.

    Raises:
        LensError: a simulator did not start.
    """
    with Simulators() as simulators:
        yield simulators.host(config)


def with_placeholders(config: RunConfig) -> RunConfig:
    """Return the config with an address for each simulator, without starting any."""
    targets = [replace(one, base_url=PLACEHOLDER) if needs_simulator(one) else one for one in _named(config.targets)]
    return replace(config, targets=tuple(targets))


def _named(targets: Sequence[TargetConfig]) -> list[TargetConfig]:
    """Return the targets with a name for each simulator: its address is of the moment and says nothing."""
    hosted = [one for one in targets if needs_simulator(one)]
    known = [
        Target(provider=SIMULATOR, model=one.model or SIMULATOR, url="", name=one.name or "", named=bool(one.name))
        for one in hosted
    ]
    names = iter(target_names(known))
    return [replace(one, name=next(names)) if needs_simulator(one) else one for one in targets]


def needs_simulator(target: TargetConfig) -> bool:
    """Return whether a simulator has to be started for this target."""
    return target.provider == SIMULATOR and target.base_url is None
