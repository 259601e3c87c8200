"""The library: a configuration in, records and their figures out.

A request that fails is a result with a status, not an exception; only what cannot be measured at all raises.
Everything can be awaited under trio and asyncio, and called blocking from anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, TypeVar

import msgspec

from lens.config.profile import ProfileConfig, RequestConfig
from lens.config.settings import LoadConfig, OutputConfig, PromptConfig, RunConfig, Section, TargetConfig
from lens.errors import BudgetError, ConfigError, LensError
from lens.metrics.request_metrics import RequestMetrics
from lens.model import Record, RunInfo
from lens.orchestrator.run_state import OnRecord, RunState
from lens.orchestrator.schedule import AUTO
from lens.orchestrator.stop import Stop
from lens.pricing import PriceBook, parse_price, standard_book
from lens.run.async_bridge import Work, anywhere, blocking
from lens.run.driver import RunOptions, run
from lens.run.result import RunResult
from lens.run.sink import FunctionSink, Sink
from lens.run.streamed import Streamed
from lens.wire import Secret

SectionT = TypeVar("SectionT", bound=Section)


async def measure(
    config: RunConfig,
    *,
    on_record: OnRecord | None = None,
    on_start: Callable[[RunInfo], None] | None = None,
    on_warmup: OnRecord | None = None,
    on_progress: Callable[[RunState], None] | None = None,
    stop: Stop | None = None,
    command: str = "",
) -> RunInfo:
    """Carry out a run under trio; return its header as it is once the run has ended.

    A run that was stopped, or ended by its spend ceiling, says so in the header's warnings. run_config() returns more.

    Raises:
        ConfigError: a field of the configuration cannot be obeyed. Whatever a callback raised.
    """
    sink = FunctionSink(on_record, on_start=on_start, on_warmup=on_warmup, on_progress=on_progress)
    return (await run(config, sink, options=RunOptions(command=command), stop=stop)).info


async def run_config(
    config: RunConfig | ProfileConfig, *sinks: Sink, book: PriceBook | None = None, stop: Stop | None = None
) -> RunResult:
    """Carry out a run as `lll benchmark --config` does, from trio or asyncio: files, pushes and thresholds included.

    Raises:
        ConfigError: a field of the configuration cannot be obeyed; nothing was sent. Whatever a sink raised.
    """
    return await anywhere(_work(config, sinks, book), stop)


def run_config_blocking(config: RunConfig | ProfileConfig, *sinks: Sink, book: PriceBook | None = None) -> RunResult:
    """run_config for code that does not await."""
    return blocking(_work(config, sinks, book))


def _work(config: RunConfig | ProfileConfig, sinks: Sequence[Sink], book: PriceBook | None) -> Work[RunResult]:
    async def work(stop: Stop) -> RunResult:
        whole = config.run_config() if isinstance(config, ProfileConfig) else config
        return await run(whole, *sinks, options=RunOptions(book=book), stop=stop)

    return work


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
        """Return a builder that collects target, key, load and price step by step."""
        return ProfilerBuilder()

    async def profile_request(
        self, prompt: str, config: RequestConfig | None = None, *, save_text: bool = True, **prompt_options: Any
    ) -> RequestMetrics:
        """Send one request over a new connection; return all that was measured of it."""
        return await anywhere(self._single(prompt, config, save_text, prompt_options))

    def profile(
        self, prompt: str, config: RequestConfig | None = None, *, save_text: bool = True, **prompt_options: Any
    ) -> RequestMetrics:
        """profile_request for code that does not await."""
        return blocking(self._single(prompt, config, save_text, prompt_options))

    async def run(
        self, *prompts: str, on_record: OnRecord | None = None, stop: Stop | None = None, **load: Any
    ) -> RunResult:
        """Run under load; return a result that unpacks as (info, records).

        load: fields of LoadConfig, like iterations=50, concurrency=4. A run that was ended early, by its spend ceiling
        or a stop, says so in the result's outcome and warnings.

        Raises:
            ConfigError: a field is unknown, or cannot be obeyed.
        """
        return await anywhere(self._many(prompts, on_record, load), stop)

    def run_blocking(self, *prompts: str, on_record: OnRecord | None = None, **load: Any) -> RunResult:
        """run for code that does not await."""
        return blocking(self._many(prompts, on_record, load))

    def stream_metrics(self, *prompts: str, **load: Any) -> Streamed[RequestMetrics, RunResult]:
        """Return the requests of a run one by one as they end, for `for` and `async for`; `load` as for run.

        Once it has ended, its `result` is that of run.

        Raises:
            ConfigError: a field is unknown, or what it marks is known only when the run is over.
        """
        config = self._config(prompts, load)
        marks = {"warmup": config.load.warmup.strip().lower() == AUTO, "cooldown": config.load.cooldown != "0"}
        for name, later in marks.items():
            if later:
                value = getattr(config.load, name)
                raise ConfigError(f"stream_metrics: {name}={value!r} is known only when the run is over; use run()")

        async def source(hand_out: Callable[[RequestMetrics], None], stop: Stop) -> RunResult:
            sink = FunctionSink(lambda record: hand_out(self.metrics(record)))
            return await run(config, sink, options=RunOptions(book=self.book), stop=stop)

        return Streamed(source)

    def metrics(self, record: Record) -> RequestMetrics:
        """Return the figures of a record at this profiler's prices."""
        return RequestMetrics(record, self.book)

    def _single(
        self, prompt: str, asked: RequestConfig | None, save_text: bool, options: dict[str, Any]
    ) -> Work[RequestMetrics]:
        load = msgspec.structs.replace(self.load, pattern="single", connection="fresh")
        asked = asked or RequestConfig()
        config = RunConfig(
            targets=(asked.target(self.target),),
            load=asked.load(load),
            prompts=_section(PromptConfig, {"texts": (prompt,), "system": asked.system, **options}),
            output=OutputConfig(save_text=save_text),
        )

        async def work(stop: Stop) -> RequestMetrics:
            result = await run(config, options=RunOptions(book=self.book), stop=stop)
            if result.records:
                return RequestMetrics(result.records[0], self.book)
            if result.outcome.over_budget is not None:
                raise BudgetError(result.outcome.over_budget)
            raise LensError("stopped before anything was sent")

        return work

    def _many(self, prompts: tuple[str, ...], on_record: OnRecord | None, load: dict[str, Any]) -> Work[RunResult]:
        return _work(self._config(prompts, load), (FunctionSink(on_record),), self.book)

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
            raise ConfigError("Profiler.builder(): name a provider: .provider(ProviderConfig.openai('gpt-6-luna'))")
        return Profiler(self._target, price=self._price, load=_section(LoadConfig, self._load), **self._options)


class ProviderConfig:
    """Makes targets by provider: ProviderConfig.openai("gpt-6-luna"), ProviderConfig("groq", "llama-3.3-70b")."""

    def __new__(cls, name: str, model: str = "", **options: Any) -> TargetConfig:  # type: ignore[misc]
        """Return a target of any provider; `options` are fields of TargetConfig."""
        return target_of(name, model, **options)

    @staticmethod
    def of(provider: str, model: str = "", **options: Any) -> TargetConfig:
        """Return a target of any provider."""
        return target_of(provider, model, **options)

    @staticmethod
    def openai(model: str = "", **options: Any) -> TargetConfig:
        return _target_with_model("openai", model, "gpt-6-luna", options)

    @staticmethod
    def anthropic(model: str = "", **options: Any) -> TargetConfig:
        return _target_with_model("anthropic", model, "claude-haiku-5-5", options)

    @staticmethod
    def google(model: str = "", **options: Any) -> TargetConfig:
        return _target_with_model("google", model, "gemini-3.8-flash", options)


def _target_with_model(provider: str, model: str, example: str, options: dict[str, Any]) -> TargetConfig:
    """
    Raises:
        ConfigError: no model is given.
    """
    if not model:
        raise ConfigError(f"ProviderConfig.{provider}(): no model; give its name, like {provider}({example!r})")
    return target_of(provider, model, **options)


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
    key, headers = options.get("api_key"), options.get("headers")
    if isinstance(headers, Mapping):
        options = {**options, "headers": tuple(headers.items())}
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
