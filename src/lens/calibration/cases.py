"""One case of the self-test: so many streams of a known script, and how far off each stamp was.

The simulator runs in another process and stamps each of its writes on the same clock. The rule: the
truth is that log and never the script, so a late simulator is not counted against the instrument (its
lateness is shown beside it), and an early stamp is as wrong as a late one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import trio

from lens.config.settings import LoadConfig, RunConfig, TargetConfig
from lens.errors import LensError
from lens.metrics.distribution import percentile
from lens.model import CONTENT, Record, Status
from lens.run.driver import RunOptions, run
from lens.units import NS_PER_MS, us
from lens.wire import Prompt

if TYPE_CHECKING:
    from lens.simulator import Handle

Scheme = Literal["http", "tls"]

TTFT_NS = 200 * NS_PER_MS
ITL_NS = 20 * NS_PER_MS
TOKENS = 100
# One stream gives its samples in several short answers: the first token of each is one TTFT.
LONE_REQUESTS = 5
LONE_TOKENS = 25


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Errors in microseconds; bias is their mean with its sign, the rest is of their sizes."""

    n: int
    bias_us: float
    p50_us: float
    p99_us: float
    max_us: float


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One scheme at one number of streams."""

    scheme: Scheme
    streams: int
    requests: int
    failed: int
    stamp_kind: str  # "kernel" when every request had kernel stamps
    tokens: Spread | None  # stamp of each token event - the simulator's write of it
    read_tokens: Spread | None  # the same with the time at which this client read it: what a plain client would say
    ttft: Spread | None  # of the first token event of each request
    itl: Spread | None = None  # of the gap between one token event and the next
    sent: Spread | None  # the simulator had read the whole request - send_end
    schedule: Spread | None  # send_start - intended
    simulator_late: Spread | None  # write - when the script wanted it; not the instrument's
    within_write: float | None  # share of token stamps that lie between the write's begin and end


async def measured(scheme: Scheme, streams: int, *, kernel_stamps: bool = True) -> Case:
    """Measure one case against a simulator of its own; takes some 3 s.

    Raises:
        LensError: the simulator did not start.
    """
    from lens.simulator import Script, start

    tokens = LONE_TOKENS if streams == 1 else TOKENS
    script = Script(ttft_ns=TTFT_NS, itl_ns=ITL_NS, tokens=tokens)
    try:
        handle = await trio.to_thread.run_sync(lambda: start(script, tls=scheme == "tls"))
    except RuntimeError as error:
        raise LensError(f"selftest: {error}") from error
    try:
        config, prompts = _load(handle, streams)
        result = await run(config, options=RunOptions(prompts=prompts, kernel_stamps=kernel_stamps))
        log = await trio.to_thread.run_sync(handle.log)
    finally:
        await trio.to_thread.run_sync(handle.stop)
    return case_of(scheme, streams, result.records, log)


def _load(handle: Handle, streams: int) -> tuple[RunConfig, tuple[Prompt, ...]]:
    """Return a load and its prompts: streams that begin within half a second at random phases; one alone, in turn."""
    alone = streams == 1
    requests = LONE_REQUESTS if alone else streams
    load = LoadConfig(iterations=requests, connections=streams)
    if not alone:
        load = msgspec.structs.replace(load, rate_per_s=2.0 * streams, arrival="poisson")
    target = TargetConfig(
        provider="simulator", model="selftest", base_url=f"{handle.url}/v1", cacert=handle.ca_file, proxy=""
    )
    # The model's name tells the requests apart in the simulator's log.
    prompts = [Prompt(text="tick", id=name, extra_body={"model": name}) for name in map(str, range(requests))]
    return RunConfig(targets=(target,), load=load), tuple(prompts)


def case_of(scheme: Scheme, streams: int, records: Sequence[Record], log: Iterable[dict[str, Any]]) -> Case:
    """Hold the records to the simulator's log; requests are joined by the model's name."""
    truth = {entry["model"]: entry for entry in log}
    errors: dict[str, list[int]] = {
        name: [] for name in ("tokens", "read_tokens", "ttft", "itl", "sent", "schedule", "late")
    }
    within = 0
    for record in records:
        entry = truth.get(record.prompt_id or "")
        if entry is None or record.status is not Status.SUCCESS:
            continue
        within += _compare(record, entry, errors)
    spreads = {name: spread_of(values) for name, values in errors.items()}
    kinds = {record.stamp_kind for record in records}
    return Case(
        scheme=scheme,
        streams=streams,
        requests=len(records),
        failed=sum(record.status is not Status.SUCCESS for record in records),
        stamp_kind="kernel" if kinds == {"kernel"} else "read",
        tokens=spreads["tokens"],
        read_tokens=spreads["read_tokens"],
        ttft=spreads["ttft"],
        itl=spreads["itl"],
        sent=spreads["sent"],
        schedule=spreads["schedule"],
        simulator_late=spreads["late"],
        within_write=within / len(errors["tokens"]) if errors["tokens"] else None,
    )


def _compare(record: Record, entry: dict[str, Any], errors: dict[str, list[int]]) -> int:
    """Adds the errors of one request; returns how many token stamps lie within their write."""
    start, events = record.stamps.start, record.events
    writes = {index: (due, before, after) for due, before, after, _, index in entry["events"]}
    within = tokens = 0
    earlier: int | None = None
    for i in range(len(events)):
        content = bool(events.signals[i] & int(CONTENT) and events.chars[i])
        tokens += content
        if i not in writes:
            continue
        due, before, after = writes[i]
        errors["late"].append(before - due)
        if not content:
            continue
        arrived = start + events.arrived_ns[i]
        off = arrived - before
        errors["tokens"].append(off)
        if earlier is not None:
            errors["itl"].append(off - earlier)
        earlier = off
        errors["read_tokens"].append(arrived + events.lag_ns[i] - before)
        within += before <= arrived <= after
        if tokens == 1:
            errors["ttft"].append(off)
    if record.stamps.send_end is not None:
        errors["sent"].append(entry["request_complete_ns"] - record.stamps.send_end)
    if record.stamps.send_start is not None and record.stamps.intended is not None:
        errors["schedule"].append(record.stamps.send_start - record.stamps.intended)
    return within


def spread_of(errors_ns: Sequence[int]) -> Spread | None:
    """None when there are none."""
    if not errors_ns:
        return None
    sizes = sorted(abs(e) for e in errors_ns)
    return Spread(
        n=len(sizes),
        bias_us=round(us(sum(errors_ns) / len(errors_ns)), 3),
        p50_us=round(us(percentile(sizes, 50)), 3),
        p99_us=round(us(percentile(sizes, 99)), 3),
        max_us=round(us(sizes[-1]), 3),
    )
