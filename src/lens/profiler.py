"""The library: a configuration in, records and their figures out.

A request that fails is a result with a status, not an exception; only what cannot be measured at all raises, and
the error names arguments of Python. Keyword arguments are typed: see `config.options`.
Everything can be awaited under trio and asyncio, and called blocking from anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, Unpack

import msgspec

from lens.config.load import settings_of_program
from lens.config.options import LoadOptions, PromptOptions, TargetOptions
from lens.config.profile import ProfileConfig, RequestConfig
from lens.config.settings import LoadConfig, OutputConfig, PromptConfig, RunConfig, SessionConfig, TargetConfig
from lens.config.spelling import prompt_texts, python_errors, section_of
from lens.errors import BudgetError, ConfigError, LensError
from lens.model import Record, RunInfo
from lens.orchestrator.run_state import OnRecord, RunState
from lens.orchestrator.schedule import AUTO
from lens.orchestrator.stop import Stop
from lens.pricing import PriceBook, parse_price, standard_book
from lens.results.request_metrics import RequestMetrics
from lens.run.async_bridge import Work, anywhere, blocking
from lens.run.driver import RunOptions, run
from lens.run.result import RunResult
from lens.run.sink import FunctionSink, Sink
from lens.run.streamed import Streamed
from lens.wire import Secret


class ProfileOptions(TargetOptions, total=False):
    """Arguments of `profile` and `profile_request`: those of a target, and how its requests are priced and sent."""

    price: str | None
    """Prices in USD per million tokens: "in=3,out=15"."""

    book: PriceBook | None
    """Prices in place of the list that ships."""

    load: LoadConfig | None
    """Timeouts, retries and seed of the request."""


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

    A run that was stopped, or ended by its budget, says so in the header's warnings. `run_config` returns more.

    Raises:
        ConfigError: a field of the configuration cannot be obeyed. Whatever a callback raised.
    """
    sink = FunctionSink(on_record, on_start=on_start, on_warmup=on_warmup, on_progress=on_progress)
    return (await run(settings_of_program(config), sink, options=RunOptions(command=command), stop=stop)).info


async def run_config(
    config: RunConfig | ProfileConfig, *sinks: Sink, book: PriceBook | None = None, stop: Stop | None = None
) -> RunResult:
    """Carry out a run as `lll benchmark --config` does, from trio or asyncio: files, pushes and thresholds included.

    Raises:
        ConfigError: a field of the configuration cannot be obeyed; nothing was sent. Whatever a sink raised.
    """
    return await anywhere(_work(config, sinks, book), stop)


def run_config_blocking(config: RunConfig | ProfileConfig, *sinks: Sink, book: PriceBook | None = None) -> RunResult:
    """Carry out a run and wait for the end: `run_config` for code that does not await."""
    return blocking(_work(config, sinks, book))


def _work(config: RunConfig | ProfileConfig, sinks: Sequence[Sink], book: PriceBook | None) -> Work[RunResult]:
    async def work(stop: Stop) -> RunResult:
        with python_errors():
            whole = config.run_config() if isinstance(config, ProfileConfig) else config
            return await run(settings_of_program(whole), *sinks, options=RunOptions(book=book), stop=stop)

    return work


class Profiler:
    """Measures one target: single requests, and runs under load."""

    def __init__(
        self,
        target: TargetConfig | str,
        model: str = "",
        *,
        price: str | None = None,
        book: PriceBook | None = None,
        load: LoadConfig | None = None,
        **options: Unpack[TargetOptions],
    ) -> None:
        """
        target: a TargetConfig, or the name of a provider as `lll providers` lists them.
        model: the model as the endpoint knows it.
        price: prices in USD per million tokens, "in=3,out=15"; or a whole `book`. None: the list that ships.
        load: timeouts, retries and seed of every request.
        options: fields of the target: base_url, api_key, max_tokens, ...; they replace those of a TargetConfig.

        Raises:
            ConfigError: an argument is unknown, or a value does not fit.
        """
        if isinstance(target, str):
            target = target_of(target, model, **options)
        elif model or options:
            named = {"model": model} if model else {}
            target = section_of(TargetConfig, {**named, **_plain(options)}, "Profiler()", over=target)
        with python_errors():
            self.book = book or standard_book([parse_price(price)] if price else [])
        self.target = target
        self.load = load or LoadConfig()

    @staticmethod
    def builder() -> ProfilerBuilder:
        """Return a builder that collects target, key, load and price step by step."""
        return ProfilerBuilder()

    async def profile_request(
        self,
        prompt: str,
        config: RequestConfig | None = None,
        *,
        save_text: bool = True,
        **prompt_options: Unpack[PromptOptions],
    ) -> RequestMetrics:
        """Send one request over a new connection; return its figures. A request that failed has a status, and no error.

        config: parameters of this request alone; save_text: keep the text of the answer;
        prompt_options: the system prompt, or a file or length in place of `prompt`.

        Raises:
            ConfigError: an argument is unknown or cannot be obeyed; nothing was sent.
            BudgetError: the request could cost more than the budget.
        """
        return await anywhere(self._single(prompt, config, save_text, prompt_options))

    def profile(
        self,
        prompt: str,
        config: RequestConfig | None = None,
        *,
        save_text: bool = True,
        **prompt_options: Unpack[PromptOptions],
    ) -> RequestMetrics:
        """Send one request and wait for it: `profile_request` for code that does not await."""
        return blocking(self._single(prompt, config, save_text, prompt_options))

    async def run(
        self,
        *prompts: str,
        sessions: SessionConfig | None = None,
        on_record: OnRecord | None = None,
        stop: Stop | None = None,
        **load: Unpack[LoadOptions],
    ) -> RunResult:
        """Run under load; return a result that unpacks as (info, records).

        prompts: sent in turn; none: a short default prompt.
        sessions: conversations in place of prompts: SessionConfig(file="talks.jsonl"); `iterations` counts them.
        load: the load pattern: iterations=50, concurrency=4, or rate=10, duration="60s".
        on_record: is called with each request as it ends; stop: ends the run when asked.

        A run that was ended early, by its budget or a stop, says so in the result's outcome and warnings.

        Raises:
            ConfigError: an argument is unknown, or cannot be obeyed; nothing was sent. Whatever `on_record` raised.
        """
        return await anywhere(self._many(prompts, sessions, on_record, load), stop)

    def run_blocking(
        self,
        *prompts: str,
        sessions: SessionConfig | None = None,
        on_record: OnRecord | None = None,
        **load: Unpack[LoadOptions],
    ) -> RunResult:
        """Run under load and wait for the end: `run` for code that does not await."""
        return blocking(self._many(prompts, sessions, on_record, load))

    def stream_metrics(
        self, *prompts: str, sessions: SessionConfig | None = None, **load: Unpack[LoadOptions]
    ) -> Streamed[RequestMetrics, RunResult]:
        """Return the requests of a run one by one as they end, for `for` and `async for`; arguments as for run.

        Once it has ended, its `result` is that of run.

        Raises:
            ConfigError: a field is unknown, or what it marks is known only when the run is over.
        """
        config = self._config(prompts, sessions, load)
        marks = {"warmup": config.load.warmup.strip().lower() == AUTO, "cooldown": config.load.cooldown != "0"}
        for name, later in marks.items():
            if later:
                value = getattr(config.load, name)
                raise ConfigError(f"stream_metrics: {name}={value!r} is known only when the run is over; use run()")

        async def source(hand_out: Callable[[RequestMetrics], None], stop: Stop) -> RunResult:
            sink = FunctionSink(lambda record: hand_out(self.metrics(record)))
            with python_errors():
                return await run(config, sink, options=RunOptions(book=self.book), stop=stop)

        return Streamed(source)

    def metrics(self, record: Record) -> RequestMetrics:
        """Return a record with its figures as attributes, at this profiler's prices."""
        return RequestMetrics(record, self.book)

    def _single(
        self, prompt: str, asked: RequestConfig | None, save_text: bool, options: PromptOptions
    ) -> Work[RequestMetrics]:
        load = msgspec.structs.replace(self.load, pattern="single", connection="fresh")
        asked = asked or RequestConfig()
        config = RunConfig(
            targets=(asked.target(self.target),),
            load=asked.load(load),
            prompts=section_of(PromptConfig, {"texts": (prompt,), "system": asked.system, **options}, "profile()"),
            output=OutputConfig(save_text=save_text),
        )

        async def work(stop: Stop) -> RequestMetrics:
            with python_errors():
                result = await run(config, options=RunOptions(book=self.book), stop=stop)
            if result.records:
                return RequestMetrics(result.records[0], self.book)
            if result.outcome.over_budget is not None:
                raise BudgetError(result.outcome.over_budget)
            raise LensError("stopped before anything was sent")

        return work

    def _many(
        self,
        prompts: tuple[str, ...],
        sessions: SessionConfig | None,
        on_record: OnRecord | None,
        load: LoadOptions,
    ) -> Work[RunResult]:
        return _work(self._config(prompts, sessions, load), (FunctionSink(on_record),), self.book)

    def _config(self, prompts: tuple[str, ...], sessions: SessionConfig | None, load: LoadOptions) -> RunConfig:
        return RunConfig(
            targets=(self.target,),
            load=section_of(LoadConfig, load, "run()", over=self.load),
            prompts=PromptConfig(texts=prompt_texts(prompts)),
            sessions=sessions or SessionConfig(),
        )


class ProfilerBuilder:
    """Collects what a Profiler needs, step by step; `build` checks it."""

    def __init__(self) -> None:
        self._target: TargetConfig | None = None
        self._model = ""
        self._options: TargetOptions = {}
        self._price: str | None = None
        self._load: LoadOptions = {}

    def provider(self, target: TargetConfig | str) -> Self:
        """Set what is measured: a TargetConfig, or the name of a provider."""
        self._target = target if isinstance(target, TargetConfig) else TargetConfig(provider=target)
        return self

    def model(self, name: str) -> Self:
        """Set the model, as the endpoint knows it."""
        self._model = name
        return self

    def api_key(self, key: str) -> Self:
        """Set the API key; without one it is taken from the provider's environment variable."""
        return self.option(api_key=key)

    def base_url(self, url: str) -> Self:
        """Set the base URL of the API: http://host:8000/v1."""
        return self.option(base_url=url)

    def option(self, **fields: Unpack[TargetOptions]) -> Self:
        """Set other fields of the target: max_tokens, headers, ..."""
        self._options.update(fields)
        return self

    def load(self, **fields: Unpack[LoadOptions]) -> Self:
        """Set timeouts, retries and seed of every request, and defaults of `run`."""
        self._load.update(fields)
        return self

    def price(self, text: str) -> Self:
        """Set the price in USD per million tokens: "in=3,out=15"."""
        self._price = text
        return self

    def build(self) -> Profiler:
        """Return the Profiler.

        Raises:
            ConfigError: no provider was named, an argument is unknown, or a value does not fit.
        """
        if self._target is None:
            raise ConfigError("Profiler.builder(): name a provider: .provider(ProviderConfig.openai('gpt-6-luna'))")
        load = section_of(LoadConfig, self._load, "Profiler.builder().load()")
        return Profiler(self._target, self._model, price=self._price, load=load, **self._options)


class ProviderConfig:
    """Makes targets by provider: ProviderConfig.openai("gpt-6-luna"), ProviderConfig("groq", "llama-3.3-70b")."""

    def __new__(cls, name: str, model: str = "", **options: Unpack[TargetOptions]) -> TargetConfig:  # type: ignore[misc]
        """Return a target of any provider; `options` are fields of TargetConfig."""
        return target_of(name, model, **options)

    @staticmethod
    def of(provider: str, model: str = "", **options: Unpack[TargetOptions]) -> TargetConfig:
        """Return a target of any provider; `options` are fields of TargetConfig."""
        return target_of(provider, model, **options)

    @staticmethod
    def openai(model: str = "", **options: Unpack[TargetOptions]) -> TargetConfig:
        """Return a target at OpenAI."""
        return _target_with_model("openai", model, "gpt-6-luna", options)

    @staticmethod
    def anthropic(model: str = "", **options: Unpack[TargetOptions]) -> TargetConfig:
        """Return a target at Anthropic."""
        return _target_with_model("anthropic", model, "claude-haiku-5-5", options)

    @staticmethod
    def google(model: str = "", **options: Unpack[TargetOptions]) -> TargetConfig:
        """Return a target at Google's Gemini API."""
        return _target_with_model("google", model, "gemini-3.8-flash", options)


def _target_with_model(provider: str, model: str, example: str, options: TargetOptions) -> TargetConfig:
    """
    Raises:
        ConfigError: no model is given.
    """
    if not model:
        raise ConfigError(f"ProviderConfig.{provider}(): no model; give its name, like {provider}({example!r})")
    return target_of(provider, model, **options)


def target_of(provider: str, model: str = "", **options: Unpack[TargetOptions]) -> TargetConfig:
    """Return a target from plain values; a key may be a str, headers a dict.

    Raises:
        ConfigError: an argument is unknown, or a value does not fit.
    """
    return section_of(TargetConfig, {"provider": provider, "model": model, **_plain(options)}, "target")


async def profile_request(
    prompt: str, *, provider: str, model: str = "", **options: Unpack[ProfileOptions]
) -> RequestMetrics:
    """Send one request over a new connection; return its figures.

    Raises:
        ConfigError: an argument is unknown or cannot be obeyed; nothing was sent.
    """
    return await Profiler(provider, model, **options).profile_request(prompt)


def profile(prompt: str, *, provider: str, model: str = "", **options: Unpack[ProfileOptions]) -> RequestMetrics:
    """Send one request and wait for it: `profile_request` for code that does not await."""
    return Profiler(provider, model, **options).profile(prompt)


def _plain(options: TargetOptions) -> dict[str, Any]:
    """Return the options as fields of TargetConfig: a key as a Secret, headers as pairs."""
    plain: dict[str, Any] = {**options}
    if isinstance(plain.get("headers"), Mapping):
        plain["headers"] = tuple(plain["headers"].items())
    if isinstance(plain.get("api_key"), str):
        plain["api_key"] = Secret(plain["api_key"])
    return plain
