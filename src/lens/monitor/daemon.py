"""The monitor: a round of probes each interval, and where their records go.

A round asks every target with every prompt; targets at the same time and apart, the prompts of one after another. A
target that takes longer than the interval is late for its next round and never asked twice at once; the others do not
wait for it. Nothing grows for ever: series, minutes, buffers and files have their bounds.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import trio
from msgspec.structs import replace

from lens._core.clock import now_ns
from lens.config.settings import LoadConfig, MonitorConfig, OutputConfig, RunConfig
from lens.errors import ConfigError, LensError, causes
from lens.export.prometheus import PrometheusMetrics
from lens.history.write import MONITOR_COMMAND
from lens.metrics.builder import BATCH, table_of
from lens.model import Record, RunInfo, Status
from lens.monitor.burn import Objective
from lens.monitor.history import History
from lens.monitor.outbox import LAST_S, MetricsOutbox, Outbox, Sender, WebhookOutbox
from lens.monitor.page import Health, health_page, metrics_page
from lens.monitor.watch import Alert, Watch, Who, slo_warnings
from lens.orchestrator.collect import timestamp_of
from lens.orchestrator.plan import make_plan
from lens.orchestrator.plan_target import planned_targets
from lens.orchestrator.run_info import run_info
from lens.orchestrator.stop import DELIVER_S, Stop
from lens.pricing import PriceBook
from lens.pricing.run_prices import packed_prices
from lens.providers.auth.keys import read_key_file
from lens.push.http import in_thread
from lens.push.push import Push, open_push
from lens.run.checks import refuse_others, refuse_sessions, refuse_thresholds
from lens.run.driver import RunOptions, run
from lens.run.simulators import with_placeholders
from lens.run.sink import FunctionSink
from lens.server import Page, handler_of, open_listeners, serve

# Records are pushed no more often than this.
PUSH_EVERY_S = 15.0
# No round for so many intervals: the monitor is not well. A target that missed so many hangs.
SICK_AFTER = 3
# The collector is off while a round measures: what rounds leave in cycles is collected between them.
COLLECT_ROUNDS = 100
Probe = Callable[[RunConfig, Callable[[Record], None], Stop], Awaitable[None]]
Say = Callable[[str], None]


# Of a load and of its output; a round decides the rest itself. Concurrency, formats and a folder may come from the
# environment, where they are meant for other commands.
OBEYED = frozenset(
    {"concurrency", "adaptive", "connection", "connections", "timeout_ns", "connect_timeout_ns", "ttft_timeout_ns",
     "idle_timeout_ns", "answer_limits", "retries", "seed"}
)  # fmt: skip
# Of a monitor's settings: what it opens when it starts.
STARTED_WITH = ("listen", "listen_token_file", "webhook", "history", "keep_ns", "keep_mb")
OBEYED_OUTPUT = frozenset({"exports", "dir", "save_text", "log_level"})


class Settings(NamedTuple):
    """What a monitor is asked to do."""

    config: RunConfig
    book: PriceBook
    pushes: tuple[Push, ...] = ()
    objectives: tuple[Objective, ...] = ()
    once: bool = False
    duration_s: float | None = None

    @property
    def monitor(self) -> MonitorConfig:
        """The settings of the monitor, defaults where there are none."""
        return self.config.monitor or MonitorConfig()


class Monitor:
    """Everything that lives as long as the program; settings may change on the way."""

    def __init__(
        self, settings: Settings, info: RunInfo, probe: Probe, say: Say, *, sender: Sender = in_thread, seed: int = 0
    ) -> None:
        """
        Raises:
            ConfigError: a backend cannot be pushed to. FileError: the history cannot be kept.
        """
        self._token = read_token(settings.monitor)
        self._asked = _targets_of(settings.config)
        self.settings, self.info, self._probe, self._say, self._sender = settings, info, probe, say, sender
        self._exposed = PrometheusMetrics()
        self._uncounted: list[Record] = []  # that are not in it yet
        self.watches: dict[Who, Watch] = {}
        self.outboxes: list[Outbox] = [
            MetricsOutbox(push.kind, open_push(push, info, settings.book)) for push in settings.pushes
        ]
        monitor = self._started_with = settings.monitor
        self.webhook = WebhookOutbox(monitor.webhook) if monitor.webhook else None
        if self.webhook is not None:
            self.outboxes.append(self.webhook)
        self.history = _history(monitor, info, settings.book)
        self.rounds = self.late = 0
        self._round_at_s: float | None = None
        self._due_s: float | None = None  # of the next round, while it is waited for
        self._jitter = random.Random(seed)
        self._told: set[str] = set()
        self._missed: dict[Who, int] = {}  # targets under way -> rounds that began since one of their answers ended
        self._again: set[Who] = set()  # of these, who is asked again at once
        self._under_way: dict[Who, Stop] = {}  # of each probe
        self.failed_rounds: dict[Who, str] = {}  # why the last of a target could not be done
        self.succeeded = 0

    async def run(self, stop: Stop, listeners: Sequence[trio.SocketListener] = ()) -> None:
        """Run until stopped, or until the duration is over."""
        duration_s = self.settings.duration_s or float("inf")
        async with trio.open_nursery() as nursery:
            for box in self.outboxes:
                nursery.start_soon(box.run, PUSH_EVERY_S if isinstance(box, MetricsOutbox) else 0.0, self._sender)
            if listeners:
                pages = {"/metrics": self.metrics, "/healthz": self.health}
                nursery.start_soon(serve, list(listeners), handler_of(pages, token=self._token, without=["/healthz"]))
            with stop.part() as rounds, trio.move_on_after(duration_s + DELIVER_S):
                nursery.start_soon(self._end_after, duration_s, rounds)
                await self._rounds(rounds)
            nursery.cancel_scope.cancel()
        await self._last(DELIVER_S if stop.asked else LAST_S)

    async def _end_after(self, duration_s: float, rounds: Stop) -> None:
        await trio.sleep(duration_s)
        rounds.ask("--duration is over")

    async def _rounds(self, stop: Stop) -> None:
        async with trio.open_nursery() as nursery:
            due_s = trio.current_time()
            while not stop.asked:
                interval_s = self.settings.monitor.interval_ns / 1e9
                if trio.current_time() > due_s + interval_s:  # the process was held up
                    due_s = trio.current_time()
                self.rounds, self._round_at_s = self.rounds + 1, trio.current_time()
                self._begin_round(nursery, stop)
                if self.rounds % COLLECT_ROUNDS == 0:
                    gc.collect()
                if self.settings.once:
                    return
                due_s += interval_s
                spread_s = interval_s * self.settings.monitor.jitter * self._jitter.random()
                self._due_s = due_s + spread_s
                with trio.move_on_after(max(self._due_s - trio.current_time(), 0)):
                    await stop.wait()
                self._due_s = None

    def _begin_round(self, nursery: trio.Nursery, stop: Stop) -> None:
        """Begin to ask every target; one that is still under way takes part when it is done."""
        self.failed_rounds = {who: why for who, why in self.failed_rounds.items() if who in self._asked}
        for says in slo_warnings(self.settings.config.targets, self._asked, self.watches, self.settings.objectives):
            self._tell(says)
        for who in self._asked:
            if who in self._missed:
                self._again.add(who)
                self._missed[who] += 1
                if self._missed[who] >= SICK_AFTER:
                    self._alert_each(self._watch_of(who).hanging(self._missed[who], timestamp_of(now_ns())))
            else:
                self._missed[who] = 0
                nursery.start_soon(self._ask, who, stop)
        self.late += bool(self._again)

    async def _ask(self, who: Who, stop: Stop) -> None:
        """Ask a target, and again at once where a round began meanwhile."""
        await self._round(who, stop)
        while who in self._again and not stop.asked:
            self._again.discard(who)
            await self._round(who, stop)
        self._again.discard(who)
        self._under_way.pop(who, None)
        del self._missed[who]

    @property
    def next_round_s(self) -> float | None:
        """Time until the next round; None while one begins."""
        return None if self._due_s is None else max(self._due_s - trio.current_time(), 0)

    async def _round(self, who: Who, stop: Stop) -> None:
        config, asked = self.settings.config, self._asked
        if who not in asked:  # not any more
            return
        place = asked.index(who)

        def take(record: Record) -> None:
            self.take(replace(record, target_index=place, index=record.index * len(asked) + place))

        alone = replace(config.targets[place], name=who.target)
        try:
            with stop.part() as self._under_way[who]:  # so that it may end alone
                await self._probe(replace(config, targets=(alone,)), take, self._under_way[who])
        except Exception as error:  # a round may fail for any reason; the next one may not
            cause = next(causes(error))
            why = str(cause) if isinstance(cause, LensError) else f"{type(cause).__name__}: {cause}"
            self.failed_rounds[who] = f"{who.target}: a round could not be done: {why}"
            self._tell(self.failed_rounds[who])
            return
        self.failed_rounds.pop(who, None)

    def take(self, record: Record) -> None:
        """Take the record of a probe that has ended; one that we cut tells nothing of its target."""
        who = _who(record)
        self.succeeded += record.status is Status.SUCCESS
        if who in self._asked:
            self._uncounted.append(record)
            if len(self._uncounted) >= BATCH:
                self._count()
        if self.history is not None:
            self.history.add(record)
            if self.history.trouble:
                self._tell(self.history.trouble)
        for box in self.outboxes:
            if isinstance(box, MetricsOutbox):
                box.add(record)
            if box.trouble:
                self._tell(box.trouble)
        if who not in self._asked or record.status is Status.CANCELLED:
            return
        watch = self._watch_of(who)
        if who in self._missed:
            self._missed[who] = 0
        self._alert_each(watch.hanging(0, record.timestamp))
        self._alert_each(watch.add(record, trio.current_time()))

    def _watch_of(self, who: Who) -> Watch:
        watch = self.watches.get(who)
        if watch is None:
            watch = self.watches[who] = Watch(who, self.settings.objectives)
        return watch

    def _alert_each(self, alerts: Iterable[Alert]) -> None:
        for alert in alerts:
            self._say(f"{alert.status}: {alert.target}: {alert.says}")
            if self.webhook is not None:
                self.webhook.add(alert)

    def _tell(self, trouble: str) -> None:
        """Once each; a monitor of days must not repeat itself each minute."""
        if trouble not in self._told:
            if len(self._told) > 100:
                self._told.clear()
            self._told.add(trouble)
            self._say(trouble)

    def reload(self, settings: Settings) -> tuple[str, ...]:
        """Go on with other targets, prompts, intervals and objectives; targets that stay keep what was counted.

        Alerts of what is watched no longer are resolved.

        Returns the names of what has changed and is obeyed only by a monitor that is started anew.
        """
        self._count()
        self.settings, self._asked = settings._replace(pushes=self.settings.pushes), _targets_of(settings.config)
        at = timestamp_of(now_ns())
        for who in [who for who in self.watches if who not in self._asked]:
            self._alert_each(self.watches.pop(who).end(at))
            self._exposed.forget(**who._asdict())
        for who in self._under_way.keys() - set(self._asked):
            self._under_way[who].ask("its target is watched no longer")
        for watch in self.watches.values():
            self._alert_each(watch.watch_objectives(settings.objectives, at))
        later = [name for name in STARTED_WITH if getattr(settings.monitor, name) != getattr(self._started_with, name)]
        return tuple([name.removesuffix("_ns") for name in later])

    async def _last(self, within_s: float) -> None:
        """Send what waits; a receiver that does not take it now never gets it, and that is told."""
        try:
            with trio.move_on_after(within_s):
                async with trio.open_nursery() as nursery:
                    for box in self.outboxes:
                        if box.waiting:
                            nursery.start_soon(box.deliver, self._sender)
        finally:
            for box in self.outboxes:
                if box.waiting:
                    self._say(f"{box.name}: {box.waiting} were never taken: {box.trouble or 'there was no time left'}")
            if self.history is not None:
                self.history.close()

    def _count(self) -> None:
        """Evaluate many records at once, so that a probe's end does not delay the others."""
        records, self._uncounted = self._uncounted, []
        self._exposed.add(table_of(records, self.info, self.settings.book))

    def metrics(self) -> Page:
        """Return the page of /metrics."""
        self._count()
        return metrics_page(
            self._exposed, tuple(self.watches.values()), self.outboxes, self._health(), trio.current_time()
        )

    def health(self) -> Page:
        """Return the page of /healthz."""
        return health_page(self._health())

    def _health(self) -> Health:
        age_s = None if self._round_at_s is None else trio.current_time() - self._round_at_s
        told = [*[box.trouble for box in self.outboxes], self.history.trouble if self.history else None]
        troubles = [*filter(None, told), *self.failed_rounds.values()]
        firing = [f"{a.target}: {a.says}" for watch in self.watches.values() for a in watch.firing]
        sick_s = SICK_AFTER * self.settings.monitor.interval_ns / 1e9
        return Health(
            ok=age_s is None or age_s <= sick_s,
            rounds=self.rounds,
            rounds_late=self.late,
            last_round_age_s=None if age_s is None else round(age_s, 3),
            targets=len(self.settings.config.targets),
            firing=firing,
            troubles=troubles,
        )


def check_monitor(config: RunConfig, book: PriceBook | None = None) -> RunInfo:
    """Check that a monitor can obey the configuration; return the header of what it writes.

    book: whose prices the header keeps, those that were given for the monitor.

    Raises:
        ConfigError: a field cannot be obeyed, or a target cannot be asked.
    """
    refuse_others("monitor", config.load, OBEYED, "each round asks every target with every prompt once")
    refuse_others("monitor", config.output, OBEYED_OUTPUT, "a monitor writes its history, and pushes")
    refuse_sessions(
        "monitor",
        config,
        "each round sends every prompt to every target once; give prompts, or "
        "run `lll benchmark --sessions` from a timer",
    )
    refuse_thresholds("monitor", config, "give monitor.slos (--slo), whose error budgets are watched")
    files = [export.file for export in config.output.exports if export.endpoint is None and export.file]
    if files:
        raise ConfigError(f"monitor: output.exports: {files[0]} cannot be written by a monitor; give --history")
    given = packed_prices(book.given([target.provider for target in config.targets])) if book is not None else {}
    return run_info(make_plan(with_placeholders(config)), command=MONITOR_COMMAND, prices=given)


def _targets_of(config: RunConfig) -> tuple[Who, ...]:
    """Return who is asked, as its records will say it."""
    return tuple([Who(one.provider, one.model, one.name) for one in planned_targets(config.targets)])


def _who(record: Record) -> Who:
    return Who(record.provider, record.model, record.target or f"{record.provider}/{record.model}")


async def probe(config: RunConfig, take: Callable[[Record], None], stop: Stop) -> None:
    """Ask every target with every prompt; targets at the same time.

    Raises:
        ConfigError: a target cannot be asked.
    """
    load = LoadConfig(**{name: getattr(config.load, name) for name in OBEYED})
    load = replace(load, pattern="iterations", iterations=1, concurrency=len(config.targets))
    prompts = len(make_plan(replace(config, load=load)).prompts)
    round_ = replace(
        config,
        load=replace(load, iterations=prompts),
        output=OutputConfig(save_text=config.output.save_text),
        monitor=None,
        thresholds=(),
    )
    await run(round_, FunctionSink(take), options=RunOptions(pushes=()), stop=stop)


def _history(monitor: MonitorConfig, info: RunInfo, book: PriceBook) -> History | None:
    if monitor.history is None:
        return None
    return History(
        Path(monitor.history), info, book, keep_s=monitor.keep_ns / 1e9, keep_bytes=monitor.keep_mb * 1_000_000
    )


def read_token(monitor: MonitorConfig) -> str | None:
    """Return the token that /metrics asks for; None where it asks for none.

    Raises:
        ConfigError: the file holds none. FileError: it cannot be read.
    """
    if monitor.listen_token_file is None:
        return None
    return read_key_file(monitor.listen_token_file, "--listen-token-file").reveal()


async def listeners_of(settings: Settings) -> list[trio.SocketListener]:
    """Return where the pages are; none where it was not wanted.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    return await open_listeners(settings.monitor.listen) if settings.monitor.listen else []
