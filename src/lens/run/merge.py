"""Join the run files of several machines into one run: every request with its raw events, on one clock.

The rule: nothing is computed from figures, so that what is read from the merged run is what one run would have given.
What cannot be one run is refused: other settings, a shard that is missing or doubled, clocks that cannot tell what
happened first.
"""

from __future__ import annotations

import heapq
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from lens.clocks import WorkerClock
from lens.errors import ConfigError
from lens.history.read import RunStream
from lens.history.write import MONITOR_COMMAND, write_run
from lens.model import Record, RunInfo, Status
from lens.orchestrator.shards import Share, parse_shard, wall_ns_of
from lens.orchestrator.wall_clock import shift_record
from lens.parsing import table_in
from lens.units import NS_PER_MS, human_duration

# Clocks must be known to this part of the shortest run, so that its times and rates are right to as much.
MOST_UNCERTAIN = 0.01
# Shards that begin further apart than this did not keep one schedule.
MOST_APART_NS = 100 * NS_PER_MS
# Missing shards that are named.
MOST_NAMED = 10
# Settings in which the parts of one run differ.
OF_A_PART = ("shard", "start_at")


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a merged run."""

    stream: RunStream
    info: RunInfo
    share: Share | None  # None: it is a run of its own

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.stream.path.name


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """What was written."""

    info: RunInfo
    requests: int
    successes: int
    warnings: tuple[str, ...] = ()  # of what could not be read


def merge_runs(
    paths: Sequence[Path], output: Path, *, partial: bool = False, trust_clocks: bool = False, force: bool = False
) -> Merged:
    """Write the requests of several run files as one run; MessagePack where the name ends in .msgpack, else JSON Lines.

    partial: also where shards are missing or were cut off. trust_clocks: also where the error of clocks is unknown or
    too large. force: replace a file that exists.

    Raises:
        ConfigError: the files cannot be one run.
        FileError: one cannot be read, or the output cannot be written.
    """
    if len(paths) < 2:
        raise ConfigError("merge: name two or more run files")
    with ExitStack() as stack:
        parts = [_part(stack.enter_context(RunStream(path))) for path in paths]
        parts.sort(key=lambda part: part.share.worker if part.share else wall_ns_of(part.info.started_at))
        notes = _check_one_run(parts, partial=partial)
        clocks, doubts = _relate(parts, trusted=trust_clocks)
        info = _merged_info(parts, clocks, (*notes, *doubts, *_starts_apart(parts)))
        counts = {"requests": 0, "successes": 0}
        write_run(output, info, _counted(_records(parts, clocks), counts), force=force)
        warnings = tuple([f"{part.name}: {one}" for part in parts for one in part.stream.warnings])
    return Merged(info=info, warnings=warnings, **counts)


def _part(stream: RunStream) -> Part:
    info = stream.info
    if info is None:
        raise ConfigError(f"merge: {stream.path} has no header, so nobody knows of what clock its stamps are")
    name = stream.path.name
    try:
        wall_ns_of(info.started_at)
    except ValueError as error:
        raise ConfigError(f"merge: {name}: started_at {info.started_at!r} is no time: {error}") from None
    if info.ended_ns is not None and info.ended_ns < info.started_ns:
        raise ConfigError(f"merge: {name} ends before it begins: its header was changed")
    shard = table_in(info.config, "load").get("shard")
    return Part(stream=stream, info=info, share=parse_shard(str(shard)) if shard is not None else None)


def _check_one_run(parts: Sequence[Part], *, partial: bool) -> list[str]:
    """Return what is missing of the run, in words.

    Raises:
        ConfigError: the files are not parts of one run.
    """
    first = parts[0]
    for part in parts[1:]:
        if part.info.run_id in [one.info.run_id for one in parts if one is not part]:
            if part.info.command == MONITOR_COMMAND:
                raise ConfigError(
                    "merge: these are segments of one monitor's history; `lll analyze FOLDER` reads them as one"
                )
            raise ConfigError(f"merge: {part.name} is a run that another of the files holds too; name each once")
        if (part.share is None) != (first.share is None) or (
            part.share is not None and first.share is not None and part.share.of != first.share.of
        ):
            raise ConfigError(f"merge: {first.name} and {part.name} are not shards of one number; merge them apart")
        different = _difference(first.info, part.info) if part.share else _difference_of_targets(first.info, part.info)
        if different:
            raise ConfigError(f"merge: {first.name} and {part.name} are not of one plan: {different} differs")
    missing = [*_missing(parts), *[f"{p.name} was cut off before its end" for p in parts if p.info.ended_ns is None]]
    if missing and not partial:
        raise ConfigError(f"merge: {'; '.join(missing)}; give the whole run, or --partial to merge what there is")
    return missing


def _missing(parts: Sequence[Part]) -> list[str]:
    """Return the shards that are not there, in words.

    Raises:
        ConfigError: one is there twice.
    """
    shares = [part.share for part in parts if part.share is not None]
    if not shares:
        return []
    numbers = [share.worker for share in shares]
    twice = next((number for number in numbers if numbers.count(number) > 1), None)
    if twice is not None:
        raise ConfigError(f"merge: two files are shard {twice}/{shares[0].of}; name each shard once")
    gone = [f"{number}/{shares[0].of}" for number in sorted({*range(shares[0].of)} - {*numbers})]
    more = f" and {len(gone) - MOST_NAMED:,} more" if len(gone) > MOST_NAMED else ""
    return [f"shard {', '.join(gone[:MOST_NAMED])}{more} is missing"] if gone else []


def _difference(one: RunInfo, other: RunInfo) -> str | None:
    """Return the setting in which two shards differ."""
    first, second = _settings(one), _settings(other)
    return next((name for name in sorted({*first, *second}) if first.get(name) != second.get(name)), None)


def _settings(info: RunInfo) -> dict[str, Any]:
    """Return the settings that all parts of a run have in common, by section and name."""
    found: dict[str, Any] = {"targets": _places(info), "prices": info.prices}
    for section in ("load", "prompts"):
        fields = table_in(info.config, section).items()
        found |= {f"{section}.{name}": value for name, value in fields if name not in OF_A_PART}
    return found


def _places(info: RunInfo) -> list[tuple[str, str, str, str]]:
    """Return what each target is; one that the user named is what is called so, wherever it is."""
    return [(one.provider, one.model, one.name, "" if one.named else one.url) for one in info.targets]


def _difference_of_targets(one: RunInfo, other: RunInfo) -> str | None:
    return "targets" if _places(one) != _places(other) else None


def _relate(parts: Sequence[Part], *, trusted: bool) -> tuple[list[WorkerClock], list[str]]:
    """Return how the clock of each part is related to that of the first, and what a reader should know of it.

    Raises:
        ConfigError: the clocks cannot resolve what is to be merged, and are not trusted.
    """
    first = parts[0]
    spans = [part.info.ended_ns - part.info.started_ns for part in parts if part.info.ended_ns is not None]
    most_ns = round(min(spans, default=0) * MOST_UNCERTAIN)
    clocks, doubts = [], []
    for number, part in enumerate(parts):
        host = part.info.machine.hostname if part.info.machine else part.name
        drift_ns = part.info.wall_clock.moved_ns if part.info.wall_clock else None
        offset_ns, uncertainty_ns = 0, 0
        if not _one_clock(first.info, part.info):
            offset_ns = _wall_offset_ns(first.info) - _wall_offset_ns(part.info)
            errors = [_error_ns(first.info), _error_ns(part.info)]
            known = [error for error in errors if error is not None]
            uncertainty_ns = sum(known)
            why = None if len(known) == 2 else "no time server is known to steer both"
            if uncertainty_ns > most_ns:
                why = (f"they may be {human_duration(uncertainty_ns)} apart, more than {MOST_UNCERTAIN:.0%} of a run "
                       f"of {human_duration(min(spans, default=0))}")  # fmt: skip
            if why:
                doubts.append(f"the clocks of {first.name} and {part.name} ({host}) cannot be related: {why}")
        clocks.append(
            WorkerClock(worker=number, host=host, offset_ns=offset_ns, uncertainty_ns=uncertainty_ns, drift_ns=drift_ns)
        )
    if doubts and not trusted:
        raise ConfigError(f"merge: {doubts[0]}; keep the machines' time by chrony or PTP, or give --trust-clocks")
    return clocks, doubts


def _one_clock(one: RunInfo, other: RunInfo) -> bool:
    """Return whether both were measured on the monotonic clock of one boot of one machine."""
    boots = [info.wall_clock.boot_id if info.wall_clock else None for info in (one, other)]
    return one is other or (boots[0] is not None and boots[0] == boots[1])


def _wall_offset_ns(info: RunInfo) -> int:
    """Wall clock less monotonic clock."""
    return info.wall_clock.offset_ns if info.wall_clock else wall_ns_of(info.started_at) - info.started_ns


def _error_ns(info: RunInfo) -> int | None:
    """Return how far the wall clock may have been off during the run; None where nobody knows."""
    clock = info.wall_clock
    if clock is None or not clock.synchronized or clock.max_error_ns is None:
        return None
    return clock.max_error_ns + abs(clock.moved_ns or 0)


def _starts_apart(parts: Sequence[Part]) -> list[str]:
    """Say that shards did not begin at one instant."""
    starts = [part.info.started_ns + _wall_offset_ns(part.info) for part in parts]
    apart_ns = max(starts) - min(starts)
    if parts[0].share is None or apart_ns < MOST_APART_NS:
        return []
    return [f"the shards began {human_duration(apart_ns)} apart, not by one schedule: give all the same --start-at"]


def _merged_info(parts: Sequence[Part], clocks: Sequence[WorkerClock], notes: Iterable[str]) -> RunInfo:
    first = parts[0].info
    begun = min(range(len(parts)), key=lambda i: parts[i].info.started_ns - clocks[i].offset_ns)
    ended = [
        (part.info.ended_ns - clock.offset_ns, part.info.ended_at)
        for part, clock in zip(parts, clocks, strict=True)
        if part.info.ended_ns is not None
    ]
    ended_ns, ended_at = max(ended, default=(None, None))
    load = {name: value for name, value in table_in(first.config, "load").items() if name not in OF_A_PART}
    labels = {k: v for k, v in first.labels.items() if all(part.info.labels.get(k) == v for part in parts)}
    return replace(
        first,
        run_id=str(uuid.uuid4()),
        started_at=parts[begun].info.started_at,
        started_ns=parts[begun].info.started_ns - clocks[begun].offset_ns,
        ended_at=ended_at,
        ended_ns=ended_ns,
        stopped_by=next((part.info.stopped_by for part in parts if part.info.stopped_by is not None), None),
        config={**first.config, "load": load},
        labels=labels,
        warnings=tuple(dict.fromkeys([*notes, *[one for part in parts for one in part.info.warnings]])),
        worker_clocks=tuple(clocks),
    )


def _records(parts: Sequence[Part], clocks: Sequence[WorkerClock]) -> Iterator[Record]:
    """Yield the requests of all shards in the order of the schedule; of other runs in the order of their starts."""
    streams = [_on_one_clock(part, clock.offset_ns) for part, clock in zip(parts, clocks, strict=True)]
    if parts[0].share is not None:
        yield from heapq.merge(*streams, key=lambda record: record.index)
        return
    for number, record in enumerate(heapq.merge(*streams, key=lambda record: record.stamps.start)):
        yield replace(record, index=number)


def _on_one_clock(part: Part, offset_ns: int) -> Iterator[Record]:
    for record in part.stream:
        if part.share is not None and record.index % part.share.of != part.share.worker:
            raise ConfigError(
                f"merge: {part.name}: request {record.index} is not of shard {part.share.worker}/{part.share.of}"
            )
        yield shift_record(record, offset_ns) if offset_ns else record


def _counted(records: Iterable[Record], counts: dict[str, int]) -> Iterator[Record]:
    for record in records:
        counts["requests"] += 1
        counts["successes"] += record.status is Status.SUCCESS and not record.warmup
        yield record
