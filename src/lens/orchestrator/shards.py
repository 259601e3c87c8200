"""The part of a run that one of several processes or machines carries out, and the instant at which all of them begin.

The rule: all make the same seeded schedule, and each takes every n-th request of it, so that the parts together are
the schedule of one run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec
import trio

from lens._core.clock import now_ns, realtime_ns
from lens.config.settings import LoadConfig
from lens.errors import ConfigError
from lens.orchestrator.schedule import Stage, times_ns
from lens.orchestrator.stop import Stop
from lens.units import NS_PER_S, NS_PER_US, human_duration, parse_count, parse_duration_ns

# Sockets are opened and workers started this long before a start that was agreed upon.
PREPARE_NS = 3 * NS_PER_S
# Machines that share one load.
MOST_SHARDS = 10_000
# A start farther away than this is a mistake, which would be waited for in silence.
DAY_NS = 86_400 * NS_PER_S
MOST_AHEAD_NS = 30 * DAY_NS
# The wall clock may be set while it is waited for: it is looked at again after this.
LOOK_S = 5.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Share(msgspec.Struct, frozen=True):
    """One of several processes that run a plan together: it does every `of`-th request, from `worker` on."""

    worker: int = 0
    of: int = 1

    def part(self, whole: int, among: int | None = None) -> int:
        """This worker's part of a number that only the first `among` of them share."""
        sharing = self.of if among is None else min(among, self.of)
        return 0 if self.worker >= sharing else whole // sharing + (self.worker < whole % sharing)

    def share(self, worker: int, of: int) -> Share:
        """Return the share that one of `of` workers has in this one."""
        return Share(self.worker + self.of * worker, self.of * of)

    def expected(self, stage: Stage) -> int | None:
        """Return how many requests of a stage are this worker's; None where only time ends it."""
        if stage.open_loop:
            return len(times_ns(stage)[self.worker :: self.of])
        # Who has no request at a time of its own has no requests: the others do them all.
        return None if stage.count is None else self.part(stage.count, stage.concurrency or 1)

    def total(self, stages: Iterable[Stage]) -> int | None:
        """Return how many requests of all stages are this worker's; None where only time ends one."""
        counts = [self.expected(stage) for stage in stages]
        return None if None in counts else sum(count for count in counts if count is not None)


ALONE = Share()


def share_of(load: LoadConfig) -> Share:
    """Return the part of the load that is this machine's.

    Raises:
        ConfigError: load.shard names none.
    """
    return ALONE if load.shard is None else parse_shard(load.shard)


def parse_shard(text: str) -> Share:
    """Return the share of "0/4" to "3/4".

    Raises:
        ConfigError: it is none of these.
    """
    number, slash, many = text.partition("/")
    worker, of = parse_count(number), parse_count(many)
    if not slash or worker is None or not of or worker >= of:
        raise ConfigError(f"--shard {text!r}: write I/N, of 4 shards 0/4 to 3/4")
    if of > MOST_SHARDS:
        raise ConfigError(f"--shard {text!r}: at most {MOST_SHARDS:,} machines share one load")
    return Share(worker, of)


def check_parts(share: Share, stages: Iterable[Stage]) -> None:
    """Check that each shard has something to do.

    Raises:
        ConfigError: there are fewer requests, or fewer at a time, than shards.
    """
    if share.of == 1:
        return
    for stage in stages:
        many = stage.concurrency or stage.limit
        if many is not None and many < share.of and not stage.warmup:
            raise ConfigError(f"--concurrent {many} cannot be shared by {share.of} shards: give at least {share.of}")
        count = len(times_ns(stage)) if stage.open_loop else stage.count
        if count is not None and count < share.of and not stage.warmup:
            raise ConfigError(f"{count} requests cannot be shared by {share.of} shards: some would measure nothing")


def parse_start_at(text: str) -> int:
    """Return when "+30s", "2026-11-29T12:00:00Z" or "@1796040000" is, in nanoseconds of the wall clock.

    Raises:
        ConfigError: it is no time, has no zone, is over, or is more than MOST_AHEAD_NS away.
    """
    said, now = text.strip(), realtime_ns()
    try:
        if said.startswith("+"):
            return _near(text, now + parse_duration_ns(said[1:]), now)
        in_seconds = re.fullmatch(r"@[0-9]{1,12}(\.[0-9]+)?", said)
        at_ns = round(float(said[1:]) * NS_PER_S) if in_seconds else wall_ns_of(said)
    except ValueError as error:
        why = str(error) if "zone" in str(error) else "this is no time"
        raise ConfigError(f"--start-at {text!r}: {why}; write +30s, 2026-11-29T12:00:00Z or @SECONDS") from None
    if at_ns <= now:
        raise ConfigError(f"--start-at {text}: that was {human_duration(now - at_ns)} ago; give a time to come")
    return _near(text, at_ns, now)


def _near(text: str, at_ns: int, now: int) -> int:
    """Return an agreed start that is not too far away.

    Raises:
        ConfigError: nobody would wait for it.
    """
    if at_ns - now > MOST_AHEAD_NS:
        days, most = (at_ns - now) // DAY_NS, MOST_AHEAD_NS // DAY_NS
        raise ConfigError(f"--start-at {text}: that is {days:,} days away; give a time within {most} days")
    return at_ns


def wall_ns_of(text: str) -> int:
    """Return a time of ISO 8601 in nanoseconds of the wall clock.

    Raises:
        ValueError: it is none, or has no zone.
    """
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("it has no time zone, and machines may be in several")
    return (at - _EPOCH) // datetime.resolution * NS_PER_US


def monotonic_of(wall_ns: int) -> int:
    """Return the instant of the monotonic clock at which the wall clock, as it goes now, will show this."""
    return now_ns() + wall_ns - realtime_ns()


async def wait_until_near(wall_ns: int, stop: Stop) -> None:
    """Wait until shortly before an agreed start; return earlier when the run is asked to stop."""
    async with trio.open_nursery() as nursery:

        async def end() -> None:
            await stop.wait()
            nursery.cancel_scope.cancel()

        nursery.start_soon(end)
        while (left_ns := wall_ns - PREPARE_NS - realtime_ns()) > 0:
            await trio.sleep(min(left_ns / NS_PER_S, LOOK_S))
        nursery.cancel_scope.cancel()
