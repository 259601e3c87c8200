"""Decide about the sessions of a run before anything is sent: where they come from, how many, with which pauses.

Whatever a session cannot be asked for is refused here, with the name of the option.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

from msgspec.structs import replace

from lens.config.layers import option_of
from lens.config.settings import LoadConfig, RunConfig, SessionConfig
from lens.errors import ConfigError, FileError
from lens.orchestrator.schedule import AUTO, pattern_of
from lens.orchestrator.sessions.pauses import parse_pauses
from lens.orchestrator.sessions.session import History, Message, Session, SessionPlan
from lens.orchestrator.sessions.synthetic import made_up_sessions
from lens.orchestrator.synthetic import lengths
from lens.providers.base import encode_header
from lens.wire import Prompt

SYNTHETIC = "synthetic"
# Fields that only mean something for synthetic sessions.
_OF_SYNTHETIC = ("turns", "turn_tokens", "tools")
# Of the prompts: what sessions take the place of.
_PROMPTS = ("texts", "file", "input_tokens", "whole")
_LOADS = {
    "search_slo": "a search judges requests at a load, not sessions",
    "idle_gaps_ns": "it sends single requests after pauses",
    "sweep_min_per_s": "a sweep of sessions goes over --sweep-concurrency",
    "sweep_max_per_s": "a sweep of sessions goes over --sweep-concurrency",
}


def session_load(config: RunConfig, found: int | None = None) -> LoadConfig:
    """Return the load of a run in units of what it schedules: sessions where there are some, else requests.

    found: how many sessions a file holds; they are carried out once each where nothing else ends the load.
    """
    load, sessions = config.load, config.sessions
    if not sessions.wanted:
        return load
    if sessions.rate_per_s is not None:
        load = replace(load, rate_per_s=sessions.rate_per_s)
    if sessions.file and found and load.iterations is None and load.duration_ns is None and not load.until:
        load = replace(load, iterations=found)
    return load


def check_sessions(config: RunConfig) -> None:
    """Check that what is said of sessions can be obeyed, and what is said besides.

    Raises:
        ConfigError: it cannot; the message names the option.
    """
    sessions, load = config.sessions, config.load
    if not sessions.wanted:
        _refuse_alone(sessions)
        return
    if sessions.file and (unused := [n for n in _OF_SYNTHETIC if getattr(sessions, n) is not None]):
        raise ConfigError(f"{_option(unused[0])} makes sessions up and cannot be combined with --sessions FILE")
    if sessions.file is None and sessions.format != "auto":
        raise ConfigError("--session-format has no effect without --sessions FILE")
    for name in _PROMPTS:
        if getattr(config.prompts, name):
            raise ConfigError(f"{option_of(name, 'prompts')} has no effect on sessions, which say what is asked")
    if config.prompts.shared_prefix_tokens and sessions.file:
        raise ConfigError("prompts.shared_prefix_tokens has no effect on sessions of a file")
    if load.rate_per_s is not None:
        raise ConfigError("--rate counts requests; of sessions give --session-rate R (sessions.rate)")
    for name, why in _LOADS.items():
        if getattr(load, name):
            raise ConfigError(f"{option_of(name)} cannot be combined with sessions: {why}")
    _check_pattern(config)
    parse_pauses(sessions.think)
    if sessions.file is None and sessions.think is not None and sessions.think.strip() == "recorded":
        raise ConfigError("--think recorded has no effect on synthetic sessions: give a time, like 2s:exp")
    if sessions.header is not None:
        encode_header(sessions.header, "x")


def _check_pattern(config: RunConfig) -> None:
    load, sessions = config.load, config.sessions
    if pattern_of(load) == "single":
        raise ConfigError("sessions cannot be sent as single requests: use lll benchmark")
    if load.connection == "both":
        raise ConfigError("--connection both compares requests with their neighbours: give reuse or fresh for sessions")
    if load.warmup.strip().lower() == AUTO:
        raise ConfigError("--warmup auto would cut sessions in two: give a number of sessions or a time")
    if load.cooldown != "0":
        raise ConfigError("--cooldown would cut sessions in two: leave it out, or give --session-until lane")
    if load.trace and sessions.file != load.trace:
        raise ConfigError("--trace with sessions starts them at the times of their own file: give that file for both")
    if load.trace and sessions.rate_per_s is not None:
        raise ConfigError("--session-rate and --trace both say when sessions start: leave one out")
    if load.shard is not None and sessions.salt == "run" and not load.seed:
        raise ConfigError("--salt run with --shard needs one salt for all shards: give --seed N to each")
    if sessions.until == "lane" and (sessions.rate_per_s is not None or load.trace or pattern_of(load) == "burst"):
        raise ConfigError("--session-until lane is for a closed loop (-c N): an open loop has no lanes")
    if any(target.api == "embeddings" for target in config.targets):
        raise ConfigError("--api embeddings has no conversations: leave out the sessions")


def _refuse_alone(sessions: SessionConfig) -> None:
    plain = SessionConfig()
    for name in sessions.__struct_fields__:
        if getattr(sessions, name) != getattr(plain, name):
            raise ConfigError(f"{_option(name)} has no effect without --sessions FILE or --turns N (synthetic)")


def _option(name: str) -> str:
    names = {"format": "session-format", "rate_per_s": "session-rate", "header": "session-header",
             "until": "session-until", "file": "sessions"}  # fmt: skip
    return f"--{names.get(name, name.replace('_', '-'))} (sessions.{name})"


def plan_sessions(
    config: RunConfig, found: tuple[Session, ...], source: str, *, count: int, warnings: list[str]
) -> SessionPlan:
    """Return the sessions of a run; `found` are those of the file, else `count` are made up.

    Raises:
        ConfigError: a setting cannot be read, or answers are missing that --history recorded wants.
    """
    sessions, seed = config.sessions, config.load.seed
    pauses = parse_pauses(sessions.think)
    if not found:
        found, source = made_up_sessions(sessions, config.prompts, count=count, seed=seed), SYNTHETIC
    found = tuple([_limited(one, config, number, seed) for number, one in enumerate(found)])
    generator = random.Random(f"{seed} pauses")
    paused = []
    for session in found:
        turns = []
        for turn in session.turns:
            think, tool = turn.think_ns if pauses.people else 0, turn.tool_ns
            if pauses.draw and source != SYNTHETIC:
                think = pauses.draw(generator) if turn.after and not tool else 0
            if pauses.cap_ns is not None:
                think, tool = min(think, pauses.cap_ns), min(tool, pauses.cap_ns)
            turns.append(replace(turn, think_ns=think, tool_ns=tool))
        paused.append(replace(session, turns=tuple(turns)))
    if count > len(paused) and sessions.salt == "none":
        warnings.append(
            f"{count:,} sessions are made of {len(paused):,}: the same prefixes come again, and a server may have them "
            "in its cache; --salt session makes each unlike all others"
        )
    return SessionPlan(
        sessions=tuple(paused),
        source=source,
        history=_history(sessions, paused),
        salt=sessions.salt,
        salt_seed=str(seed) if seed else os.urandom(8).hex(),
        header=sessions.header,
        until=sessions.until,
    )


def _limited(session: Session, config: RunConfig, number: int, seed: int) -> Session:
    """Return the session with the lengths of completions that --output-tokens asks for, where a turn has none."""
    spec = config.prompts.output_tokens
    if not spec:
        return session
    wanted = lengths(spec, len(session.turns), seed + 1 + number, option="--output-tokens")
    turns = [
        turn if turn.max_tokens else replace(turn, max_tokens=tokens)
        for turn, tokens in zip(session.turns, wanted, strict=True)
    ]
    return replace(session, turns=tuple(turns))


def _history(sessions: SessionConfig, found: list[Session]) -> History:
    """Return which answers are repeated: those that are asked for, else those of the file where it has all.

    Raises:
        ConfigError: recorded answers are asked for and one is missing.
    """
    missing = next(
        (f"session {s.id!r}, turn {number}" for s in found for turn in s.turns for number in turn.history
         if s.turns[number].answer is None),
        None,
    )  # fmt: skip
    if sessions.history == "recorded" and missing is not None:
        raise ConfigError(f"--history recorded: {missing} has no recorded answer; --history live sends the model's own")
    if sessions.history == "live" and all(not turn.history for s in found for turn in s.turns):
        longest = max(found, key=lambda s: len(s.turns))
        if len(longest.turns) > 1:
            raise ConfigError("--history live has no effect: the turns of these sessions bring whole prompts")
    return sessions.history or ("recorded" if missing is None else "live")


def whole_conversation(session: Session) -> Prompt | None:
    """Return all messages of a session as one prompt, to see whether a protocol can express them; None without any."""
    messages: list[Message] = []
    for turn in session.turns:
        messages += [*turn.messages, *([turn.answer] if turn.answer is not None else [])]
    return Prompt(messages=tuple(messages)) if messages else None


def trace_of(sessions: tuple[Session, ...], path: Path) -> tuple[int, ...]:
    """Return when each session of a file started.

    Raises:
        FileError: the file does not say when.
    """
    times = [session.start_ns for session in sessions]
    if None in times:
        where = next(session.id for session in sessions if session.start_ns is None)
        raise FileError(f"trace {path}: session {where!r} has no timestamp; give --session-rate R, or -c N lanes")
    return tuple([at for at in times if at is not None])
