"""Measure a handful of requests that tell where an endpoint's time goes, and look at this process meanwhile.

Each question differs from the one before in one thing, so that a difference has one cause. Nothing is
judged here: what was measured goes to lens.analysis.diagnosis.diagnose.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, NamedTuple

import msgspec
import trio

from lens._core.clock import now_ns
from lens.analysis.diagnosis.symptoms import (
    CONCURRENT,
    LONG_ANSWER,
    LONG_PROMPT,
    NEW_CONNECTION,
    REUSED_CONNECTION,
    TOOL_CALL,
    Client,
    Served,
)
from lens.config.settings import LoadConfig, OutputConfig, PromptConfig, RunConfig
from lens.model import Record, Status
from lens.orchestrator.plan_target import make_target
from lens.orchestrator.stop import Stop, unless_stopped
from lens.pricing import PriceBook
from lens.providers.base import merge
from lens.run.checks import refuse_others, refuse_sessions, refuse_thresholds
from lens.run.detect import unasked, with_model
from lens.run.driver import RunOptions, run
from lens.run.result import RunResult
from lens.run.server_info import locate_api
from lens.run.simulators import with_simulators
from lens.run.sink import FunctionSink
from lens.run.tool_probe import TASK, tool_body
from lens.units import NS_PER_MS, NS_PER_S

# Answers of this length end soon, and still have a first token where a model thinks a little.
SHORT_ANSWER_TOKENS = 16
SHORT_PROMPT = "Say hello."
# Any model can go on with this for long, and none has to think about it.
LONG_TASK = "Count from 1 to 500 in words, one after the other, and write nothing else."
# A question that is too long for the model is halved, down to this many tokens.
LEAST_TOKENS = 32
# How often the loop's own lag is looked at.
LOOK_EVERY_NS = 10 * NS_PER_MS
# After such a failure the same request is not asked again: the answer would be the same.
FINAL = frozenset({Status.NETWORK_ERROR, Status.AUTH_ERROR, Status.INVALID_REQUEST, Status.RATE_LIMITED})


# Of a load; the questions decide the rest themselves. Concurrency may come from the environment, for other commands.
OBEYED = frozenset(
    {
        "concurrency",
        "timeout_ns",
        "connect_timeout_ns",
        "ttft_timeout_ns",
        "idle_timeout_ns",
        "answer_limits",
        "seed",
        "max_cost_usd",
    }
)
# Formats and a folder may come from the environment too; --export json is doctor's own.
OBEYED_OUTPUT = frozenset({"exports", "dir", "log_level"})


class Asking(NamedTuple):
    """How much is asked."""

    times: int = 3  # each question
    at_once: int = 8
    prompt_tokens: int = 1500  # of the long prompt
    answer_tokens: int = 96  # of the long answer


class Question(NamedTuple):
    """One kind of request, asked several times."""

    name: str
    requests: int
    prompts: PromptConfig
    load: dict[str, Any]
    body: dict[str, Any] = {}  # over the target's extra body  # noqa: RUF012 - never changed

    @property
    def tokens(self) -> int:
        """The length that makes it what it is: of the long prompt, of the long answer; 0 of a short one."""
        said = {LONG_PROMPT: self.prompts.input_tokens, LONG_ANSWER: self.prompts.output_tokens}.get(self.name)
        return int(said or 0)


class Examination(NamedTuple):
    """All that was seen."""

    records: list[Record]
    client: Client
    served: Served
    over_budget: str | None = None
    stopped_by: str | None = None
    named_by_server: bool = False  # the model
    notes: tuple[str, ...] = ()  # what was asked otherwise than wanted, in words


def questions(asking: Asking, tools: dict[str, Any] | None = None) -> list[Question]:
    """Return the questions in their order: the first of all may be cold, the last may use a limit up.

    tools: what a request holds to have a tool called; None: it is not asked.
    """
    short = PromptConfig(texts=(SHORT_PROMPT,), output_tokens=str(SHORT_ANSWER_TOKENS))
    long = PromptConfig(input_tokens=str(asking.prompt_tokens), output_tokens=str(SHORT_ANSWER_TOKENS))
    task = PromptConfig(texts=(LONG_TASK,), output_tokens=str(asking.answer_tokens))
    kept = {"connection": "reuse", "concurrency": 1}
    call = PromptConfig(texts=(TASK,), output_tokens=str(asking.answer_tokens))
    return [
        Question(NEW_CONNECTION, asking.times, short, {"connection": "fresh", "concurrency": 1}),
        Question(REUSED_CONNECTION, asking.times, short, kept),
        Question(LONG_PROMPT, asking.times, long, kept),
        Question(LONG_ANSWER, asking.times, task, kept),
        *([Question(TOOL_CALL, asking.times, call, kept, tools)] if tools is not None else []),
        Question(CONCURRENT, asking.at_once, short, {"connection": "reuse", "concurrency": asking.at_once}),
    ]


def check_doctor(config: RunConfig) -> None:
    """Check that doctor can obey a configuration.

    Raises:
        ConfigError: a field cannot be obeyed.
    """
    refuse_others("doctor", config.load, OBEYED, "the questions decide what is sent")
    refuse_others("doctor", config.prompts, (), "the questions decide what is sent")
    refuse_others("doctor", config.output, OBEYED_OUTPUT, "its findings are all that it writes")
    refuse_sessions("doctor", config, "its probes decide what is sent; measure sessions by `lll benchmark`")
    refuse_thresholds("doctor", config, "its questions are not a load; give them to `lll benchmark`")


async def examine(
    config: RunConfig, book: PriceBook, asking: Asking, *, on_question: Callable[[Question], None], stop: Stop
) -> Examination:
    """Ask everything, until a question has no answer at all.

    Raises:
        ConfigError: something cannot be asked, or a field of the load cannot be obeyed.
    """
    check_doctor(config)
    with with_simulators(config) as hosted:
        return await _examine(hosted, book, asking, on_question, stop)


async def _examine(
    config: RunConfig, book: PriceBook, asking: Asking, on_question: Callable[[Question], None], stop: Stop
) -> Examination:
    named_by_server = not config.targets[0].model
    target, served = await unless_stopped(stop, partial(with_model, config.targets[0])) or unasked(config.targets[0])
    config = msgspec.structs.replace(config, targets=(target,))
    records: list[Record] = []
    warnings: list[str] = []
    notes: dict[str, str] = {}
    watch = LoopWatch()
    over_budget: str | None = None
    async with trio.open_nursery() as beside:
        beside.start_soon(watch.look)
        spent_nusd = 0
        for question in questions(asking, tool_body(target)):
            if stop.asked:
                break
            on_question(question)
            found = await _ask(_settings(config, question, spent_nusd), book, stop)
            while _too_long(found) and (shorter := shortened(question)) is not None and not stop.asked:
                spent_nusd += found.spent_nusd or 0
                notes[question.name] = f"{question.name}: shortened to {shorter.tokens} tokens: the model takes no more"
                question = shorter
                on_question(question)
                found = await _ask(_settings(config, question, spent_nusd), book, stop)
            answered = any(record.status is Status.SUCCESS for record in found.records)
            if question.name == TOOL_CALL and not answered and found.records:
                # Many servers know no tools: that is no failure of the endpoint, and ends nothing.
                notes[TOOL_CALL] = f"{TOOL_CALL}: not answered ({found.records[0].category}); it may know no tools"
                spent_nusd += found.spent_nusd or 0
                if found.outcome.over_budget is None and not stop.asked:
                    continue
            records += [
                msgspec.structs.replace(record, index=len(records) + i, stage=question.name)
                for i, record in enumerate(found.records)
            ]
            warnings += [one for one in found.warnings if one.startswith("garbage")]
            over_budget = found.outcome.over_budget
            spent_nusd += found.spent_nusd or 0
            if over_budget or stop.asked or not answered:
                break
        beside.cancel_scope.cancel()
    if any(record.category == "not_found" for record in records):
        locate = partial(locate_api, make_target(config.targets[0]), served)
        served = await unless_stopped(stop, locate) or served
    told = tuple(notes.values())
    return Examination(records, watch.client(warnings), served, over_budget, stop.why, named_by_server, told)


def _too_long(found: RunResult) -> bool:
    """Return whether the model refused every request of a question for its length."""
    return bool(found.records) and all(record.category == "context_length" for record in found.records)


def shortened(question: Question) -> Question | None:
    """Return a question of half its length; None where it is short already, or of a fixed length."""
    prompts, half = question.prompts, question.tokens // 2
    if half < LEAST_TOKENS:
        return None
    field = "input_tokens" if question.name == LONG_PROMPT else "output_tokens"
    return question._replace(prompts=msgspec.structs.replace(prompts, **{field: str(half)}))


def _settings(config: RunConfig, question: Question, spent_nusd: int) -> RunConfig:
    """Return the run of one question: the user's limits, and what the question decides."""
    limit = config.load.max_cost_usd
    load = LoadConfig(
        pattern="iterations",
        iterations=question.requests,
        **{name: getattr(config.load, name) for name in OBEYED - {"concurrency"}},
        **question.load,
    )
    load = msgspec.structs.replace(
        load,
        seed=load.seed or int(time.time()),  # prompts that no cache knows from the last time
        max_cost_usd=None if limit is None else _usd_left(limit, spent_nusd),
    )
    targets = [
        msgspec.structs.replace(one, extra_body=merge(one.extra_body, question.body)) if question.body else one
        for one in config.targets
    ]
    return msgspec.structs.replace(
        config, targets=tuple(targets), load=load, prompts=question.prompts, output=OutputConfig(), monitor=None,
        thresholds=(),
    )  # fmt: skip


def _usd_left(limit: str, spent_nusd: int) -> str:
    """Return the rest of a limit; what is no amount is left for the driver to refuse."""
    try:
        return str(max(Decimal(limit) - Decimal(spent_nusd) / 10**9, Decimal(0)) if spent_nusd else limit)
    except InvalidOperation:
        return limit


async def _ask(config: RunConfig, book: PriceBook, stop: Stop) -> RunResult:
    """Ask one question, until it is clear that the answer will always be the same failure."""
    statuses: set[Status] = set()
    seen = FunctionSink(lambda record: statuses.add(record.status))
    options = RunOptions(book=book, enough=lambda: bool(statuses & FINAL) and Status.SUCCESS not in statuses)
    return await run(config, seen, options=options, stop=stop)


class LoopWatch:
    """How late this process's loop wakes, and how busy it and its machine are."""

    def __init__(self) -> None:
        self._late_ns: list[int] = []
        self._began_ns, self._cpu_s = now_ns(), time.process_time()

    async def look(self) -> None:
        """Note how late the loop wakes, until cancelled."""
        while True:
            due = now_ns() + LOOK_EVERY_NS
            await trio.sleep(LOOK_EVERY_NS / NS_PER_S)
            self._late_ns.append(max(now_ns() - due, 0))

    def client(self, warnings: list[str]) -> Client:
        """Return how this client fared, with the warnings of the run."""
        late = sorted(self._late_ns)
        elapsed_s = (now_ns() - self._began_ns) / NS_PER_S
        return Client(
            loop_lag_ms=late[int(0.95 * (len(late) - 1))] / NS_PER_MS if late else None,
            cpu_share=(time.process_time() - self._cpu_s) / elapsed_s if elapsed_s > 0 else None,
            load_per_cpu=os.getloadavg()[0] / (os.cpu_count() or 1) if hasattr(os, "getloadavg") else None,
            warnings=tuple(dict.fromkeys(warnings)),
        )
