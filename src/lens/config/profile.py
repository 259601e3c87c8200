"""One provider, one pattern, one output: the short configuration of the library, which becomes a RunConfig.

    ProfileConfig(provider=ProviderConfig.openai("gpt-6-luna"),
                  test_pattern=TestPattern.ConstantRate(prompt="Hi", requests_per_second=5, duration_seconds=60))

It holds no rules of its own: patterns have the names of a config file's [test_pattern], and are read as that is.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import msgspec

from lens.config.file import READERS
from lens.config.load import convert
from lens.config.settings import (
    AtLeastOne,
    LoadConfig,
    OutputConfig,
    Positive,
    RunConfig,
    Section,
    TargetConfig,
)
from lens.units import NS_PER_S


class OutputFormat(enum.StrEnum):
    """Formats that every installation writes; `lll benchmark --help` names all."""

    Json = "json"
    JsonLines = "jsonl"
    Prometheus = "prometheus"
    InfluxDB = "influxdb"
    Csv = "csv"


class RequestConfig(Section, frozen=True):
    """What one request is asked with, beyond its prompt; None is as the target says."""

    max_tokens: AtLeastOne | None = None
    temperature: float | None = None
    seed: int | None = None
    stream: bool | None = None
    system: str | None = None
    extra_body: dict[str, Any] = msgspec.field(default_factory=dict)  # over that of the target, key by key
    headers: tuple[tuple[str, str], ...] | dict[str, str] = ()  # besides those of the target
    timeout_s: Positive | None = None

    def target(self, target: TargetConfig) -> TargetConfig:
        """Return the target as this request asks it."""
        names = ("max_tokens", "temperature", "seed", "stream")
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        headers = self.headers.items() if isinstance(self.headers, Mapping) else self.headers
        return msgspec.structs.replace(
            target,
            **given,
            headers=(*target.headers, *headers),
            extra_body={**target.extra_body, **self.extra_body},
        )

    def load(self, load: LoadConfig) -> LoadConfig:
        """Return the load with this request's time limit."""
        if self.timeout_s is None:
            return load
        return msgspec.structs.replace(load, timeout_ns=round(self.timeout_s * NS_PER_S))


class Pattern(Section, frozen=True):
    """Base of the patterns: a prompt, and when it is sent."""

    prompt: str


class Single(Pattern, frozen=True, tag_field="type", tag="Single"):
    """One request."""


class ConstantRate(Pattern, frozen=True, tag_field="type", tag="ConstantRate"):
    """Requests at a constant arrival rate."""

    requests_per_second: Positive
    duration_seconds: Positive


class Burst(Pattern, frozen=True, tag_field="type", tag="Burst"):
    """Waves of requests that start together."""

    concurrent_requests: AtLeastOne
    iterations: AtLeastOne


class Sweep(Pattern, frozen=True, tag_field="type", tag="Sweep"):
    """One arrival rate after the other."""

    min_rps: Positive
    max_rps: Positive
    step: Positive
    duration_per_step: Positive


class TestPattern:
    """The patterns by name: TestPattern.Burst(prompt="Hi", concurrent_requests=8, iterations=3)."""

    __test__ = False  # no tests of pytest's

    Single, ConstantRate, Burst, Sweep = Single, ConstantRate, Burst, Sweep


class ProfileConfig(Section, frozen=True):
    """A target, a pattern and an output."""

    provider: TargetConfig
    test_pattern: Single | ConstantRate | Burst | Sweep
    output: OutputConfig = OutputConfig()

    def run_config(self) -> RunConfig:
        """Return the same as the settings of a run.

        Raises:
            ConfigError: the pattern cannot be.
        """
        tree = READERS["test_pattern"](msgspec.to_builtins(self.test_pattern), "test_pattern")
        return msgspec.structs.replace(convert(tree), targets=(self.provider,), output=self.output)
