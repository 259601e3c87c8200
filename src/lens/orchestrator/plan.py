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
from lens.config.settings import ConnectionPolicy, LoadConfig, RunConfig
from lens.errors import ConfigError, did_you_mean
from lens.model import Record, SessionTurn
from lens.orchestrator.plan_target import PlanTarget, key_warnings, make_target, planned_targets
from lens.orchestrator.prompts import load_prompts
from lens.orchestrator.retry import NO_RETRIES, RetryPolicy
from lens.orchestrator.schedule import Stage, pattern_of, requests_of, stages, starts_within
from lens.orchestrator.sessions.history import turn_prompt
from lens.orchestrator.sessions.planning import plan_sessions, session_load, trace_of, whole_conversation
from lens.orchestrator.sessions.session import RUN, Session, SessionPlan
from lens.orchestrator.shards import Share
from lens.orchestrator.variants import as_novel
from lens.transport.endpoint import (
    ANSWER_LIMITS,
    NO_TIMEOUTS,
    AnswerLimits,
    Timeouts,
)
from lens.wire import Ask, Prompt, WireRequest

# Connections opened ahead of an open loop, where nobody says how many: what a second may need, within reason.
MOST_WARMED = 64
# Made-up prompts of a run whose length nobody knows; then they come round again.
ENDLESS_PROMPTS = 1000


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """One place in the schedule."""

    index: int
    stage: Stage
    target: int  # index into Plan.targets
    prompt: int  # index into Plan.prompts; where there are sessions, into these
    intended_ns: int | None = None  # absolute; None in a closed loop, which has no schedule
    fresh: bool = False  # over a connection of its own
    warmup: bool = False
    # Of a turn of a session, whose request is made when all that it waits for has ended.
    turn: SessionTurn | None = None
    request: WireRequest | None = None
    asked: Prompt | None = None


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
    sessions: SessionPlan | None = None  # in place of prompts: `prompts` and `requests` hold one example
    start_at_ns: int | None = None  # of the wall clock: when its first stage begins; None: at once

    def slot(self, index: int, stage: Stage, intended_ns: int | None = None, *, warmup: bool = False) -> Slot:
        """Targets take turns in blocks of random order, then fresh and reused connections ("both"), then prompts."""
        turn, place = divmod(index, len(self.targets))
        target = self._order_of(turn)[place]
        fresh = self.connection == "fresh"
        own = self.config.targets[target].connection
        if own is not None:
            fresh = own == "fresh"
        elif self.connection == "both":
            turn, fresh = turn // 2, turn % 2 == 0
        if self.config.prompts.order == "random" and self.units > 1:
            turn = random.Random(self.config.load.seed * 1_000_003 + turn).randrange(self.units)
        return Slot(
            index=index,
            stage=stage,
            target=target,
            prompt=turn % self.units,
            intended_ns=intended_ns,
            fresh=fresh,
            warmup=warmup or stage.warmup,
        )

    @property
    def units(self) -> int:
        """How many different things a schedule is made of: sessions, or prompts."""
        return len(self.sessions.sessions) if self.sessions is not None else len(self.prompts)

    def _order_of(self, block: int) -> Sequence[int]:
        """Return the order in which a block asks the targets, drawn anew so that no target always comes first."""
        order = list(range(len(self.targets)))
        if len(order) > 1:
            random.Random(self.config.load.seed * 1_000_003 + block).shuffle(order)
        return order

    def request_of(self, slot: Slot) -> WireRequest:
        """Return what is sent."""
        request = slot.request or self.requests[slot.target][slot.prompt]
        return as_novel(request) if self.config.targets[slot.target].novel else request

    def asked_by(self, slot: Slot) -> Prompt:
        """Return what is asked."""
        return slot.asked or self.prompts[slot.prompt]

    def prompt_of(self, record: Record) -> Prompt:
        """Return what the request of a record asked."""
        return self.prompts[self.slot(record.index, self.stages[0]).prompt]

    @property
    def total(self) -> int | None:
        """How many requests there will be, warm-up included; None where only time ends it."""
        many = self.units_total
        return None if many is None else self.requests_of(range(many))

    @property
    def units_total(self) -> int | None:
        """How many places the schedule has: of requests, or of sessions; None where only time ends it."""
        counts = [count_of(stage) for stage in self.stages]
        return None if None in counts else sum(count for count in counts if count is not None)

    @property
    def is_live(self) -> bool:
        """Whether answers are repeated in the turns that follow them."""
        return self.sessions is not None and self.sessions.history == "live"

    def requests_of_share(self, share: Share) -> int | None:
        """Return how many requests of the run are one worker's; None where only time ends it."""
        many = share.total(self.stages)
        return None if many is None else self.requests_of(range(share.worker, share.worker + many * share.of, share.of))

    def requests_of(self, numbers: range) -> int:
        """Return how many requests these places in the schedule stand for: one each, or the turns of a session."""
        if self.sessions is None:
            return len(numbers)
        turns = [len(session.turns) for session in self.sessions.sessions]
        return sum(turns[self.slot(number, self.stages[0]).prompt] for number in numbers)


def make_plan(
    config: RunConfig,
    environ: Mapping[str, str] = os.environ,
    *,
    prompts: Sequence[Prompt] | None = None,
    trace_ns: Sequence[int] | None = None,
    sessions: SessionPlan | None = None,
    read: Sequence[Session] = (),
) -> Plan:
    """Check and encode everything. `prompts`, `trace_ns` and `sessions` take the place of what the configuration says.

    read: the sessions of the file, where it is a run.

    Raises:
        ConfigError: something cannot be (MissingKey, FileError: which).
    """
    if not config.targets:
        raise ConfigError("nothing to measure: name a --provider and a --model")
    remember_settings(config)
    warnings: list[str] = []
    found, format_name = (tuple(read), RUN) if read else _sessions_of_file(config, sessions, warnings)
    load = session_load(config, len(found))
    named = planned_targets(config.targets, environ)
    made = [make_target(one, environ) for one in config.targets]
    targets = tuple([replace(one, info=info) for one, info in zip(made, named, strict=True)])
    trace = tuple(trace_ns) if trace_ns else _trace_of(config, found, warnings)
    counted = requests_of(load, load.duration_ns)
    if pattern_of(load) == "iterations" and counted is not None:
        # Iterations are counted for each target, as `lll compare` documents.
        load = replace(load, iterations=counted * len(targets))
    steps = stages(load, trace_ns=trace)
    known = [count_of(stage) for stage in steps]
    wanted = max(sum(n or ENDLESS_PROMPTS for n in known) // len(targets), 1)
    single = pattern_of(load) == "single"
    if config.sessions.wanted and sessions is None:
        sessions = plan_sessions(config, found, format_name, count=wanted, warnings=warnings)
    asked = tuple(prompts) if prompts else _prompts_of(config, sessions, wanted, warnings)
    of_trace = bool(prompts and trace_ns) or _is_trace(config)
    if of_trace and len(asked) == len(trace):
        asked = _by_time(asked, trace)
    if single:
        # One after the other: each prompt of a file is asked once.
        steps = tuple([replace(step, count=len(asked) * len(targets)) for step in steps if not step.warmup])
    return Plan(
        config=config,
        targets=targets,
        prompts=asked,
        requests=tuple([_encoded(target, asked, sessions) for target in targets]),
        stages=steps,
        connection=load.connection,
        warm_connections=_to_warm(load, steps),
        timeouts=Timeouts(
            total_ns=load.timeout_ns or None,
            connect_ns=load.connect_timeout_ns or None,
            ttft_ns=load.ttft_timeout_ns or None,
            idle_ns=load.idle_timeout_ns or None,
        ),
        limits=make_limits(load.answer_limits),
        retry=RetryPolicy(retries=load.retries, seed=load.seed),
        keep_all=reads_text(config),
        trace_ns=tuple(trace),
        sessions=sessions,
        warnings=(*key_warnings(config.targets, environ), *warnings),
    )


def _sessions_of_file(
    config: RunConfig, planned: SessionPlan | None, warnings: list[str]
) -> tuple[tuple[Session, ...], str]:
    """Return the sessions of the file that is named, and its format; those of a plan that is already made."""
    if planned is not None:
        return planned.sessions, planned.source
    said = config.sessions
    if not said.file:
        return (), ""
    from lens.orchestrator.sessions.sources import read_sessions

    return read_sessions(Path(said.file), said.format, warnings)


def _trace_of(config: RunConfig, sessions: tuple[Session, ...], warnings: list[str]) -> tuple[int, ...]:
    path = config.load.trace
    if path is None:
        return ()
    if sessions:
        return trace_of(sessions, Path(path))
    from lens.orchestrator.traces import read_trace_ns

    return tuple(read_trace_ns(Path(path), warnings))


def _is_trace(config: RunConfig) -> bool:
    """Return whether the prompts are those of the trace whose times are replayed."""
    trace, file = config.load.trace, config.prompts.file
    return trace is not None and file is not None and Path(file) == Path(trace)


def _prompts_of(
    config: RunConfig, sessions: SessionPlan | None, wanted: int, warnings: list[str]
) -> tuple[Prompt, ...]:
    """Return the prompts of a run; of sessions the first turn, as an example."""
    if sessions is not None:
        return (turn_prompt(sessions.sessions[0], 0, answers={}, system=config.prompts.system),)
    source = config.prompts
    if source.file and source.whole is None:
        source = replace(source, whole=pattern_of(config.load) == "single")
    return load_prompts(source, count=wanted, seed=config.load.seed, warnings=warnings)


def reads_text(config: RunConfig) -> bool:
    """Return whether the texts of answers are read: to be saved, to count their tokens, or to judge them."""
    return config.output.save_text or config.output.tokenizer is not None or bool(config.prompts.expect)


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


def count_of(stage: Stage) -> int | None:
    """Return how many starts a stage has; None where only time ends it."""
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


def _encoded(target: PlanTarget, prompts: tuple[Prompt, ...], sessions: SessionPlan | None) -> tuple[WireRequest, ...]:
    """Return the request of each prompt.

    Raises:
        ConfigError: one cannot be expressed in the protocol, or a setting has no effect in it.
    """
    for session in sessions.sessions if sessions is not None else ():
        if (whole := whole_conversation(session)) is not None:
            target.encode(whole)
    _check_effect(target, target.ask, any(prompt.system for prompt in prompts))
    return tuple([target.encode(prompt) for prompt in prompts])


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


def _to_warm(load: LoadConfig, steps: tuple[Stage, ...]) -> int:
    """Connections to open before measuring: under `reuse`, as many as the first requests will want.

    One request alone is asked as it comes: its connection is part of what is to be seen.
    """
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
