"""The instrument measures a known script, and says what its own error is on this machine.

The simulator runs in another process and stamps each of its writes on the same clock. The rule: the
truth is that log and never the script, so a late simulator is not counted against the instrument (its
lateness is shown beside it), and an early stamp is as wrong as a late one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import trio

from lens._core.clock import now_ns, sample_offset
from lens.config import LoadConfig, PromptConfig, RunConfig, TargetConfig
from lens.errors import LensError
from lens.metrics.summary import percentile
from lens.metrics.timeline import first_at_ns
from lens.model import CONTENT, Machine, Record, Status
from lens.orchestrator.circumstances import machine
from lens.orchestrator.collect import timestamp_of
from lens.orchestrator.engine import run_plan
from lens.orchestrator.plan import Plan, make_plan
from lens.units import NS_PER_MS, us
from lens.wire import Prompt

if TYPE_CHECKING:
    from lens.simulator import Handle

Scheme = Literal["http", "tls"]

# What is promised (README, Precision), and for how many streams of 50 tokens a second.
TOKEN_P99_US = 100.0
TTFT_BIAS_US = 50.0
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
    sent: Spread | None  # the simulator had read the whole request - send_end
    schedule: Spread | None  # send_start - intended
    simulator_late: Spread | None  # write - when the script wanted it; not the instrument's
    within_write: float | None  # share of token stamps that lie between the write's begin and end


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One promise, kept or not."""

    claim: str
    holds: bool
    figure_us: float | None  # None: nothing was measured
    why: str = ""  # where it does not hold, what stands in the way

    @property
    def line(self) -> str:
        """For people."""
        figure = "nothing was measured" if self.figure_us is None else f"{self.figure_us:.1f} us"
        return f"{self.claim}: {'yes' if self.holds else 'no'} ({figure}){'; ' + self.why if self.why else ''}"


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """What a self-test found."""

    started_at: str
    machine: Machine
    clock_bracket_ns: int  # kernel stamps are converted between two clocks; the conversion is not surer than this
    cases: tuple[Case, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def holds(self) -> bool:
        return all(verdict.holds for verdict in self.verdicts)


async def selftest(
    *,
    streams: Sequence[int] = (1, 200),
    schemes: Sequence[Scheme] = ("http", "tls"),
    kernel_stamps: bool = True,
    on_case: Callable[[Case], None] | None = None,
) -> Calibration:
    """Measure every scheme at every number of streams; some 3 s a case.

    Raises:
        LensError: the simulator did not start.
    """
    began = now_ns()
    cases = []
    for scheme in schemes:
        for count in streams:
            case = await _measured(scheme, count, kernel_stamps)
            cases.append(case)
            if on_case is not None:
                on_case(case)
    here = machine()
    return Calibration(
        started_at=timestamp_of(began),
        machine=here,
        clock_bracket_ns=sample_offset()[1],
        cases=tuple(cases),
        verdicts=tuple(verdicts_of(cases, here)),
    )


async def _measured(scheme: Scheme, streams: int, kernel_stamps: bool) -> Case:
    """One case, against a simulator of its own."""
    from lens.simulator import Script, start

    tokens = LONE_TOKENS if streams == 1 else TOKENS
    script = Script(ttft_ns=TTFT_NS, itl_ns=ITL_NS, tokens=tokens)
    try:
        handle = await trio.to_thread.run_sync(lambda: start(script, tls=scheme == "tls"))
    except RuntimeError as error:
        raise LensError(f"selftest: {error}") from error
    try:
        records: list[Record] = []
        await run_plan(_plan(handle, streams), on_record=records.append, kernel_stamps=kernel_stamps)
        log = await trio.to_thread.run_sync(handle.log)
    finally:
        await trio.to_thread.run_sync(handle.stop)
    return case_of(scheme, streams, records, log)


def _plan(handle: Handle, streams: int) -> Plan:
    """Streams that begin within half a second at random phases, as independent users do; one alone, in turn."""
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
    return make_plan(RunConfig(targets=(target,), load=load, prompts=PromptConfig()), {}, prompts=prompts)


def case_of(scheme: Scheme, streams: int, records: Sequence[Record], log: Iterable[dict[str, Any]]) -> Case:
    """Hold the records to the simulator's log; requests are joined by the model's name."""
    truth = {entry["model"]: entry for entry in log}
    errors: dict[str, list[int]] = {name: [] for name in ("tokens", "read_tokens", "ttft", "sent", "schedule", "late")}
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
        sent=spreads["sent"],
        schedule=spreads["schedule"],
        simulator_late=spreads["late"],
        within_write=within / len(errors["tokens"]) if errors["tokens"] else None,
    )


def _compare(record: Record, entry: dict[str, Any], errors: dict[str, list[int]]) -> int:
    """Adds the errors of one request; returns how many token stamps lie within their write."""
    start, events = record.stamps.start, record.events
    writes = {index: (due, before, after) for due, before, after, _, index in entry["events"]}
    first = first_at_ns(record)
    within = 0
    for i in range(len(events)):
        if i not in writes:
            continue
        due, before, after = writes[i]
        errors["late"].append(before - due)
        if not (events.signals[i] & int(CONTENT) and events.chars[i]):
            continue
        arrived = start + events.arrived_ns[i]
        errors["tokens"].append(arrived - before)
        errors["read_tokens"].append(arrived + events.lag_ns[i] - before)
        within += before <= arrived <= after
        if events.arrived_ns[i] == first:
            errors["ttft"].append(arrived - before)
            first = None
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


def verdicts_of(cases: Sequence[Case], here: Machine) -> list[Verdict]:
    """The promises, held to the busiest case of each scheme for the stamps and to all for the TTFT."""
    found = []
    for scheme in dict.fromkeys(case.scheme for case in cases):
        mine = [case for case in cases if case.scheme == scheme]
        busiest = max(mine, key=lambda case: case.streams)
        p99 = busiest.tokens.p99_us if busiest.tokens else None
        found.append(
            _verdict(
                f"{scheme}: token stamps p99 within {TOKEN_P99_US:g} us at {_streams(busiest.streams)}",
                p99,
                TOKEN_P99_US,
                busiest,
                here,
            )
        )
        for case in mine:
            bias = abs(case.ttft.bias_us) if case.ttft else None
            claim = f"{scheme}: TTFT bias below {TTFT_BIAS_US:g} us at {_streams(case.streams)}"
            found.append(_verdict(claim, bias, TTFT_BIAS_US, case, here))
    return found


def _verdict(claim: str, figure_us: float | None, limit_us: float, case: Case, here: Machine) -> Verdict:
    holds = figure_us is not None and figure_us <= limit_us and not case.failed
    return Verdict(claim=claim, holds=holds, figure_us=figure_us, why="" if holds else _in_the_way(case, here))


def _in_the_way(case: Case, here: Machine) -> str:
    """What this machine lacks, as far as it shows."""
    if case.failed:
        return f"{case.failed} of {case.requests} requests failed"
    if case.stamp_kind != "kernel":
        return "this system gave no kernel stamps, so a time is when this process got to read"
    if here.cpus < 2:
        return "one processor is shared by the instrument and the simulator"
    late = case.simulator_late
    if late is not None and late.p99_us > TOKEN_P99_US:
        return f"the machine is busy: the simulator itself was up to {late.p99_us:.0f} us late (p99)"
    return "this machine cannot reach it now"


def _streams(count: int) -> str:
    return "1 stream" if count == 1 else f"{count} streams"
