"""The library: a configuration in, records and their figures out.

Here the measuring leg and the reading leg meet, and nowhere below. A request that fails is a result
with a status, not an exception; only what cannot be asked at all raises. Everything can be awaited
under trio and asyncio, and called blocking from anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self, TypeVar

import msgspec

from lens.config.settings import LoadConfig, OutputConfig, PromptConfig, RunConfig, Section, TargetConfig
from lens.errors import ConfigError, LensError
from lens.metrics.request_metrics import RequestMetrics
from lens.model import Record, RunInfo
from lens.orchestrator.engine import OnRecord, RunState, run_plan
from lens.orchestrator.plan import SIMULATOR, make_plan
from lens.orchestrator.run_info import ended, run_info
from lens.orchestrator.stop import Stop
from lens.pricing import PriceBook, parse_price, standard_book
from lens.run.async_bridge import Work, anywhere, blocking
from lens.run.streamed import Streamed
from lens.wire import Secret

SectionT = TypeVar("SectionT", bound=Section)


async def measure(
    config: RunConfig,
    *,
    on_record: OnRecord,
    on_start: Callable[[RunInfo], None] | None = None,
    on_warmup: OnRecord | None = None,
    on_progress: Callable[[RunState], None] | None = None,
    stop: Stop | None = None,
    command: str = "",
) -> RunInfo:
    """Plan and run under trio; the header as it is once the run has ended. A run that was stopped says so there.

    Raises:
        ConfigError: it cannot be asked. Whatever on_record raised.
    """
    with with_simulators(config) as config:
        plan = make_plan(config)
        info = run_info(plan, command=command)
        if on_start is not None:
            on_start(info)
        outcome = await run_plan(plan, on_record=on_record, on_warmup=on_warmup, on_progress=on_progress, stop=stop)
    warnings = outcome.warnings
    if outcome.stopped_by is not None:
        warnings = (f"stopped early ({outcome.stopped_by}); what had been measured is kept", *warnings)
    return ended(info, started_ns=outcome.started_ns, ended_ns=outcome.ended_ns, warnings=warnings)


@contextmanager
def with_simulators(config: RunConfig) -> Iterator[RunConfig]:
    """The config with a running simulator behind each target that names it and no address."""
    if not any(t.provider == SIMULATOR and t.base_url is None for t in config.targets):
        yield config
        return
    from lens.simulator import start

    with ExitStack() as stack:
        targets = []
        for target in config.targets:
            if target.provider == SIMULATOR and target.base_url is None:
                handle = stack.enter_context(start())
                url = f"{handle.url}/v1"
                target = msgspec.structs.replace(target, base_url=url, proxy="")
            targets.append(target)
        yield msgspec.structs.replace(config, targets=tuple(targets))


class Profiler:
    """Measures one target. Made from a TargetConfig, or from its fields."""

    def __init__(
        self,
        target: TargetConfig | str,
        model: str = "",
        *,
        price: str | None = None,
        book: PriceBook | None = None,
        load: LoadConfig | None = None,
        **options: Any,
    ) -> None:
        """
        target: a TargetConfig, or a provider's name; then `options` are fields of TargetConfig.
        price: "in=3,out=15", USD per million tokens; or a whole `book`.
        load: time limits, retries and seed for every request.

        Raises:
            ConfigError: there is no such option, or the price is none.
        """
        if isinstance(target, str):
            target = target_of(target, model, **options)
        elif model or options:
            target = msgspec.structs.replace(target, **_checked({**({"model": model} if model else {}), **options}))
        self.target = target
        self.book = book or standard_book([parse_price(price)] if price else [])
        self.load = load or LoadConfig()

    @staticmethod
    def builder() -> ProfilerBuilder:
        """Step by step, as PLAN 6.1.2 writes it."""
        return ProfilerBuilder()

    async def profile_request(self, prompt: str, *, save_text: bool = True, **prompt_options: Any) -> RequestMetrics:
        """Ask once, over a new connection, and tell everything about it."""
        return await anywhere(self._single(prompt, save_text, prompt_options))

    def profile(self, prompt: str, *, save_text: bool = True, **prompt_options: Any) -> RequestMetrics:
        """profile_request for code that does not await."""
        return blocking(self._single(prompt, save_text, prompt_options))

    async def run(
        self, *prompts: str, on_record: OnRecord | None = None, stop: Stop | None = None, **load: Any
    ) -> tuple[RunInfo, list[Record]]:
        """A run under load; `load` are fields of LoadConfig, like iterations=50, concurrency=4."""
        return await anywhere(self._many(prompts, on_record, load), stop)

    def run_blocking(
        self, *prompts: str, on_record: OnRecord | None = None, **load: Any
    ) -> tuple[RunInfo, list[Record]]:
        """run for code that does not await."""
        return blocking(self._many(prompts, on_record, load))

    def stream_metrics(self, *prompts: str, **load: Any) -> Streamed[RequestMetrics]:
        """Each request of a run as it ends, for `for` and `async for`; `load` as for run."""

        async def source(hand_out: Callable[[RequestMetrics], None], stop: Stop) -> None:
            config = self._config(prompts, load)
            await measure(config, on_record=lambda record: hand_out(self.metrics(record)), stop=stop)

        return Streamed(source)

    def metrics(self, record: Record) -> RequestMetrics:
        """The figures of a record, at this profiler's prices."""
        return RequestMetrics(record, self.book)

    def _single(self, prompt: str, save_text: bool, options: dict[str, Any]) -> Work[RequestMetrics]:
        load = msgspec.structs.replace(self.load, pattern="single", connection="fresh")
        config = RunConfig(
            targets=(self.target,),
            load=load,
            prompts=_section(PromptConfig, {"texts": (prompt,), **options}),
            output=OutputConfig(save_text=save_text),
        )

        async def work(stop: Stop) -> RequestMetrics:
            records: list[Record] = []
            await measure(config, on_record=records.append, stop=stop)
            if not records:
                raise LensError("stopped before anything was sent")
            return RequestMetrics(records[0], self.book)

        return work

    def _many(
        self, prompts: tuple[str, ...], on_record: OnRecord | None, load: dict[str, Any]
    ) -> Work[tuple[RunInfo, list[Record]]]:
        config = self._config(prompts, load)

        async def work(stop: Stop) -> tuple[RunInfo, list[Record]]:
            records: list[Record] = []

            def take(record: Record) -> None:
                records.append(record)
                if on_record is not None:
                    on_record(record)

            info = await measure(config, on_record=take, stop=stop)
            return info, records

        return work

    def _config(self, prompts: tuple[str, ...], load: dict[str, Any]) -> RunConfig:
        said = {**{f: getattr(self.load, f) for f in LoadConfig.__struct_fields__}, **load}
        return RunConfig(targets=(self.target,), load=_section(LoadConfig, said), prompts=PromptConfig(texts=prompts))


class ProfilerBuilder:
    """Collects what a Profiler needs; build() checks it."""

    def __init__(self) -> None:
        self._target: TargetConfig | None = None
        self._options: dict[str, Any] = {}
        self._price: str | None = None
        self._load: dict[str, Any] = {}

    def provider(self, target: TargetConfig | str) -> Self:
        self._target = target if isinstance(target, TargetConfig) else TargetConfig(provider=target)
        return self

    def model(self, name: str) -> Self:
        return self.option(model=name)

    def api_key(self, key: str) -> Self:
        return self.option(api_key=key)

    def base_url(self, url: str) -> Self:
        return self.option(base_url=url)

    def option(self, **fields: Any) -> Self:
        """Any other field of TargetConfig."""
        self._options.update(fields)
        return self

    def load(self, **fields: Any) -> Self:
        """Fields of LoadConfig: time limits, retries, seed."""
        self._load.update(fields)
        return self

    def price(self, text: str) -> Self:
        self._price = text
        return self

    def build(self) -> Profiler:
        """
        Raises:
            ConfigError: no provider was named, or an option is unknown.
        """
        if self._target is None:
            raise ConfigError("Profiler.builder(): name a provider: .provider(ProviderConfig.openai('gpt-4'))")
        return Profiler(self._target, price=self._price, load=_section(LoadConfig, self._load), **self._options)


class ProviderConfig:
    """Targets by the plan's names: ProviderConfig.openai("gpt-4")."""

    @staticmethod
    def of(provider: str, model: str = "", **options: Any) -> TargetConfig:
        """A target of any provider."""
        return target_of(provider, model, **options)

    @staticmethod
    def openai(model: str, **options: Any) -> TargetConfig:
        return target_of("openai", model, **options)

    @staticmethod
    def anthropic(model: str, **options: Any) -> TargetConfig:
        return target_of("anthropic", model, **options)

    @staticmethod
    def google(model: str, **options: Any) -> TargetConfig:
        return target_of("google", model, **options)


def target_of(provider: str, model: str = "", **options: Any) -> TargetConfig:
    """A TargetConfig from plain values; a key may be a str.

    Raises:
        ConfigError: there is no such option.
    """
    return _section(TargetConfig, {"provider": provider, "model": model, **_checked(options)})


async def profile_request(prompt: str, *, provider: str, model: str = "", **options: Any) -> RequestMetrics:
    """Ask once and tell everything about it; `options` are fields of TargetConfig, and `price`."""
    return await Profiler(provider, model, **options).profile_request(prompt)


def profile(prompt: str, *, provider: str, model: str = "", **options: Any) -> RequestMetrics:
    """profile_request for code that does not await."""
    return Profiler(provider, model, **options).profile(prompt)


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    """TargetConfig fields; a key as text becomes a Secret."""
    unknown = [name for name in options if name not in TargetConfig.__struct_fields__]
    if unknown:
        known = ", ".join(TargetConfig.__struct_fields__)
        raise ConfigError(f"no target option {unknown[0]!r}; there are {known}")
    key = options.get("api_key")
    return {**options, "api_key": Secret(key)} if isinstance(key, str) else options


def _section(kind: type[SectionT], fields: dict[str, Any]) -> SectionT:
    """A section of the configuration from plain values.

    Raises:
        ConfigError: a field is unknown, or a value does not fit.
    """
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{kind.__name__}: {error}") from None
