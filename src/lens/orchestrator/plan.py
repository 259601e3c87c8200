"""The waist before measuring: everything a run will do, decided and encoded, with nothing sent yet.

The rule: whatever can fail for a reason of the user's fails here, as one clear line. A Plan is frozen;
the engine adds only time to it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from lens.config.secret_settings import remember_settings
from lens.config.settings import ConnectionPolicy, RunConfig, TargetConfig
from lens.config.targets import with_names
from lens.errors import ConfigError, did_you_mean
from lens.model import Record, Target
from lens.orchestrator.prompts import load_prompts, read_trace_ns
from lens.orchestrator.retry import NO_RETRIES, RetryPolicy
from lens.orchestrator.schedule import Stage, pattern_of, requests_of, stages, starts_within
from lens.providers.auth.keys import find_key, key_file_warning, refuse_plain_http, resolve_base_url
from lens.providers.base import Provider
from lens.providers.registry import CUSTOM, get_provider
from lens.secrets import bare_url
from lens.transport.endpoint import (
    ANSWER_LIMITS,
    NO_TIMEOUTS,
    AnswerLimits,
    Endpoint,
    Timeouts,
    parse_endpoint,
    usable_proxy,
)
from lens.wire import Ask, Prompt, Secret, WireRequest

# The provider that needs neither a model nor a server.
SIMULATOR = "simulator"
# Connections opened ahead of an open loop, where nobody says how many: what a second may need, within reason.
MOST_WARMED = 64
# Made-up prompts of a run whose length nobody knows; then they come round again.
ENDLESS_PROMPTS = 1000


class PlanTarget(msgspec.Struct, frozen=True, kw_only=True):
    """One target, ready to be asked."""

    info: Target  # as it may be shown
    provider: Provider
    endpoint: Endpoint
    base_url: str
    key: Secret | None = None
    labels: dict[str, str] = {}  # of its requests


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """One place in the schedule."""

    index: int
    stage: Stage
    target: int  # index into Plan.targets
    prompt: int  # index into Plan.prompts
    intended_ns: int | None = None  # absolute; None in a closed loop, which has no schedule
    fresh: bool = False  # over a connection of its own
    warmup: bool = False


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All of a run."""

    config: RunConfig
    targets: tuple[PlanTarget, ...]
    prompts: tuple[Prompt, ...]
    requests: tuple[tuple[WireRequest, ...], ...]  # by target, then by prompt
    stages: tuple[Stage, ...]
    connection: ConnectionPolicy = "reuse"
    warm_connections: int = 0  # opened to each target before the first request
    timeouts: Timeouts = NO_TIMEOUTS
    limits: AnswerLimits = ANSWER_LIMITS
    retry: RetryPolicy = NO_RETRIES
    keep_all: bool = False  # every event whole, because its text is wanted
    warnings: tuple[str, ...] = ()  # of what was found while planning
    trace_ns: tuple[int, ...] = ()  # of the trace that is replayed
    start_at_ns: int | None = None  # of the wall clock: when its first stage begins; None: at once

    def slot(self, index: int, stage: Stage, intended_ns: int | None = None, *, warmup: bool = False) -> Slot:
        """Targets take turns in blocks of random order, then fresh and reused connections ("both"), then prompts."""
        turn, place = divmod(index, len(self.targets))
        target = self._order_of(turn)[place]
        fresh = self.connection == "fresh"
        if self.connection == "both":
            turn, fresh = turn // 2, turn % 2 == 0
        if self.config.prompts.order == "random" and len(self.prompts) > 1:
            turn = random.Random(self.config.load.seed * 1_000_003 + turn).randrange(len(self.prompts))
        return Slot(
            index=index,
            stage=stage,
            target=target,
            prompt=turn % len(self.prompts),
            intended_ns=intended_ns,
            fresh=fresh,
            warmup=warmup or stage.warmup,
        )

    def _order_of(self, block: int) -> Sequence[int]:
        """In which order a block asks the targets: drawn anew for each, so that no target always comes first."""
        order = list(range(len(self.targets)))
        if len(order) > 1:
            random.Random(self.config.load.seed * 1_000_003 + block).shuffle(order)
        return order

    def request_of(self, slot: Slot) -> WireRequest:
        return self.requests[slot.target][slot.prompt]

    def prompt_of(self, record: Record) -> Prompt:
        """Return what the request of a record asked."""
        return self.prompts[self.slot(record.index, self.stages[0]).prompt]

    @property
    def total(self) -> int | None:
        """How many requests there will be, warm-up included; None where only time ends it."""
        counts = [count_of(stage) for stage in self.stages]
        return None if None in counts else sum(c for c in counts if c is not None)


def make_plan(
    config: RunConfig,
    environ: Mapping[str, str] = os.environ,
    *,
    prompts: Sequence[Prompt] | None = None,
    trace_ns: Sequence[int] | None = None,
) -> Plan:
    """Check and encode everything. `prompts` and `trace_ns` take the place of what the configuration says of them.

    Raises:
        ConfigError: something cannot be (MissingKey, FileError: which).
    """
    if not config.targets:
        raise ConfigError("nothing to measure: name a --provider and a --model")
    remember_settings(config)
    load = config.load
    named = planned_targets(config.targets, environ)
    made = [make_target(one, environ) for one in config.targets]
    targets = tuple([replace(one, info=info) for one, info in zip(made, named, strict=True)])
    trace = tuple(trace_ns) if trace_ns else read_trace_ns(Path(load.trace)) if load.trace else ()
    counted = requests_of(load, load.duration_ns)
    if pattern_of(load) == "iterations" and counted is not None:
        # Iterations are counted for each target, as `lll compare` documents.
        load = replace(load, iterations=counted * len(targets))
    steps = stages(load, trace_ns=trace)
    known = [count_of(stage) for stage in steps]
    wanted = max(sum(n or ENDLESS_PROMPTS for n in known) // len(targets), 1)
    single = pattern_of(load) == "single"
    warnings: list[str] = []
    source = config.prompts
    if source.file and source.whole is None:
        source = replace(source, whole=single)
    asked = tuple(prompts) if prompts else load_prompts(source, count=wanted, seed=load.seed, warnings=warnings)
    of_trace = bool(prompts and trace_ns) or bool(load.trace and source.file and Path(source.file) == Path(load.trace))
    if of_trace and len(asked) == len(trace):
        asked = _by_time(asked, trace)
    if single:
        # One after the other: each prompt of a file is asked once.
        steps = tuple([replace(step, count=len(asked) * len(targets)) for step in steps if not step.warmup])
    return Plan(
        config=config,
        targets=targets,
        prompts=asked,
        requests=tuple([_encoded(target, one, asked) for target, one in zip(targets, config.targets, strict=True)]),
        stages=steps,
        connection=load.connection,
        warm_connections=_to_warm(config, steps),
        timeouts=Timeouts(
            total_ns=load.timeout_ns or None,
            connect_ns=load.connect_timeout_ns or None,
            ttft_ns=load.ttft_timeout_ns or None,
            idle_ns=load.idle_timeout_ns or None,
        ),
        limits=make_limits(load.answer_limits),
        retry=RetryPolicy(retries=load.retries, seed=load.seed),
        keep_all=config.output.save_text or config.output.tokenizer is not None,
        trace_ns=tuple(trace),
        warnings=(*[w for one in config.targets if (w := key_file_warning(one.api_key_file))], *warnings),
    )


def make_limits(said: Mapping[str, int]) -> AnswerLimits:
    """Return the limits of one answer, those that are said in place of the defaults.

    Raises:
        ConfigError: there is no limit of that name.
    """
    names = AnswerLimits.__struct_fields__
    if unknown := [name for name in said if name not in names]:
        hint = did_you_mean(unknown[0], names, otherwise=f"there are {', '.join(names)}")
        raise ConfigError(f"--answer-limit (load.answer_limits): no limit {unknown[0]!r}; {hint}")
    return AnswerLimits(**said)


def make_target(config: TargetConfig, environ: Mapping[str, str] = os.environ) -> PlanTarget:
    """Where requests of this target go, by which way and with which key.

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
    return PlanTarget(info=info, provider=provider, endpoint=endpoint, base_url=base_url, key=key, labels=config.labels)


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


def count_of(stage: Stage) -> int | None:
    """How many starts a stage has; None where only time ends it."""
    if stage.times_ns is not None:
        return len(stage.times_ns)
    if not stage.open_loop or stage.rate_per_s is None:
        return stage.count
    rate = stage.rate_per_s if stage.to_per_s is None else (stage.rate_per_s + stage.to_per_s) / 2
    return starts_within(rate, stage.duration_ns, stage.count)


def _by_time(prompts: Sequence[Prompt], trace_ns: Sequence[int]) -> tuple[Prompt, ...]:
    """Return the prompts of a trace in the order of its times, in which they are asked; of one time in theirs."""
    order = sorted(range(len(prompts)), key=trace_ns.__getitem__)
    return tuple([prompts[place] for place in order])


def _encoded(target: PlanTarget, config: TargetConfig, prompts: tuple[Prompt, ...]) -> tuple[WireRequest, ...]:
    """Return the request of each prompt.

    Raises:
        ConfigError: one cannot be expressed in the protocol, or a setting has no effect in it.
    """
    ask = Ask(
        model=target.info.model,
        api=config.api,
        stream=config.stream,
        max_tokens=config.max_tokens,
        temperature=config.temperature,
        seed=config.seed,
        extra_body=config.extra_body,
        headers=config.headers,
    )
    _check_effect(target, ask, any(prompt.system for prompt in prompts))
    return tuple([target.provider.encode(prompt, ask, target.base_url, target.key) for prompt in prompts])


def _check_effect(target: PlanTarget, ask: Ask, with_system: bool) -> None:
    """Check that the protocol has a place for what is asked.

    Raises:
        ConfigError: it has none for a setting, which would be ignored.
    """

    def body(ask: Ask, system: str | None = None) -> bytes:
        prompt = Prompt(text="x", system=system)
        return target.provider.encode(prompt, replace(ask, extra_body={}), target.base_url, target.key).body

    names = [name for name in ("max_tokens", "temperature") if getattr(ask, name) is not None]
    if not names and not with_system:
        return
    whole = body(ask)
    ignored = [f"--{name.replace('_', '-')}" for name in names if body(replace(ask, **{name: None})) == whole]
    if with_system and body(ask, "system") == whole:
        ignored.append("--system")
    if ignored:
        api = f", api {ask.api}" if ask.api else ""
        who = f"provider {target.info.provider}{api}"
        raise ConfigError(f"{who}: {ignored[0]} has no effect: its requests have no place "
                          "for it; leave it out, or write a field by --extra-body")  # fmt: skip


def _to_warm(config: RunConfig, steps: tuple[Stage, ...]) -> int:
    """Connections to open before measuring: under `reuse`, as many as the first requests will want.

    One request alone is asked as it comes: its connection is part of what is to be seen.
    """
    load = config.load
    if load.connection != "reuse" or pattern_of(load) == "single":
        return 0
    if load.connections is not None:
        return load.connections
    first = steps[0]
    if first.concurrency is not None:
        return min(first.concurrency, first.count or first.concurrency)
    most = min(first.limit or MOST_WARMED, MOST_WARMED)
    if first.times_ns is not None:
        return min(len(first.times_ns), most)
    return min(max(round(first.rate_per_s or 1), 1), most)
