"""Arrival patterns: from a LoadConfig to stages, and from a stage to the times at which requests start.

Pure: no clock is read here and nothing is sent. Times are int nanoseconds after the start of their
stage, so a pattern is tested by reading its first ten numbers. Random patterns are seeded: the same
numbers in, the same times out.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor
from typing import TYPE_CHECKING, Any

import msgspec

from lens.config.settings import Arrival, LoadConfig, Pattern
from lens.errors import ConfigError
from lens.units import MOST_NS, NS_PER_S, human_duration, parse_count, parse_duration_ns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Times = NDArray[Any]  # int64, ascending

# Requests of a load that nothing else ends.
DEFAULT_REQUESTS = 10
# The same where a stop rule is expected to end it earlier.
UNTIL_REQUESTS = 10_000
# A rate or sweep without a duration lasts this long a step; the field's tools take 10 to 60 s.
DEFAULT_STEP_NS = 30 * NS_PER_S
# More starts than this in one stage are a slip of the keyboard; they would need 800 MB.
MAX_STARTS = 100_000_000
# More requests at a time than a machine has ports for, and more processes than it starts within minutes.
MAX_CONCURRENCY, MAX_WORKERS = 100_000, 1_000
# More steps than this are a slip of the keyboard too; and waves, each a stage of its own.
MAX_STEPS, MAX_WAVES = 10_000, 1_000_000
# A warm-up that is found in the results and cut off there.
AUTO = "auto"
# Of an idle ladder: requests that say what warm is, and how often each gap is tried.
IDLE_BASELINE = 8
IDLE_ROUNDS = 3


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of the run under one setting. Stages follow one another; each is answered before the next."""

    name: str
    rate_per_s: float | None = None  # open loop: starts come at this mean rate, whatever the answers do
    to_per_s: float | None = None  # the rate at the end, where it rises or falls
    arrival: Arrival = "constant"
    burstiness: float = 1.0
    times_ns: tuple[int, ...] | None = None  # open loop at exactly these times
    concurrency: int | None = None  # closed loop: so many at a time, the next as soon as one is answered
    limit: int | None = None  # open loop: at most so many at a time; a start beyond waits for an answer
    count: int | None = None  # ends after so many starts
    duration_ns: int | None = None  # no start at or after this
    seed: int = 0
    warmup: bool = False  # sent, and left out of the results
    warmup_ns: int = 0  # of an open loop: starts before this are warm-up
    pause_ns: int = 0  # nothing is asked for so long before it begins

    @property
    def open_loop(self) -> bool:
        """Whether starts follow a schedule instead of the answers."""
        return self.concurrency is None


def stages(load: LoadConfig, *, trace_ns: Sequence[int] = ()) -> tuple[Stage, ...]:
    """Return what the load asks for, stage by stage, warm-up first.

    Raises:
        ConfigError: numbers that the pattern needs are missing or contradict each other.
    """
    pattern = pattern_of(load)
    at_a_time = max((load.concurrency or 1, *load.sweep_concurrency))
    if at_a_time > MAX_CONCURRENCY:
        raise ConfigError(f"{at_a_time:,} requests at a time: at most {MAX_CONCURRENCY:,}; lower --concurrent")
    if load.workers > MAX_WORKERS:
        raise ConfigError(f"{load.workers:,} workers: at most {MAX_WORKERS:,}; lower --workers")
    _check_starts(load.iterations or 0, "--iterations")
    measured = _MEASURED[pattern](load, trace_ns)
    if load.concurrency is not None and pattern != "burst":
        measured = [msgspec.structs.replace(s, limit=load.concurrency) if s.open_loop else s for s in measured]
    return with_warmup(load, measured)


def pattern_of(load: LoadConfig) -> Pattern:
    """Return the pattern that was named, or the one that the given numbers mean."""
    if load.pattern is not None:
        return load.pattern
    if load.trace is not None:
        return "replay"
    if load.sweep_concurrency or load.sweep_min_per_s is not None or load.sweep_max_per_s is not None:
        return "sweep"
    if load.idle_gaps_ns:
        return "idle"
    if load.ramp_to_per_s is not None:
        return "ramp"
    return "iterations" if load.rate_per_s is None else "rate"


def times_ns(stage: Stage) -> Times:
    """Return when each request of an open-loop stage is to start, after the stage's start.

    Raises:
        ValueError: the stage is a closed loop: its starts depend on the answers.
    """
    import numpy as np

    if stage.times_ns is not None:
        return np.asarray(stage.times_ns, dtype=np.int64)
    if stage.rate_per_s is None:
        raise ValueError(f"stage {stage.name} is a closed loop")
    if stage.to_per_s is not None:
        return ramp(stage.rate_per_s, stage.to_per_s, stage.duration_ns or DEFAULT_STEP_NS)[: stage.count]
    if stage.arrival == "constant":
        return constant(stage.rate_per_s, stage.duration_ns, stage.count)
    shape = 1.0 if stage.arrival == "poisson" else stage.burstiness
    return gamma(stage.rate_per_s, stage.duration_ns, stage.count, shape=shape, seed=stage.seed)


def constant(rate_per_s: float, duration_ns: int | None, count: int | None = None) -> Times:
    """Equal gaps, the first start at 0. Each time is rounded by itself, so that errors do not add up."""
    import numpy as np

    n = starts_within(rate_per_s, duration_ns, count)
    return np.rint(np.arange(n, dtype=np.float64) * (NS_PER_S / rate_per_s)).astype(np.int64)


def gamma(rate_per_s: float, duration_ns: int | None, count: int | None = None, *, shape: float, seed: int) -> Times:
    """Independent gamma gaps with the mean 1/rate; shape 1 is Poisson, below 1 is burstier.

    The first start comes after the first gap: a Poisson process does not begin with an event.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    scale_ns = NS_PER_S / rate_per_s / shape
    if duration_ns is None:
        gaps = generator.gamma(shape, scale_ns, starts_within(rate_per_s, None, count))
        return np.rint(np.cumsum(gaps)).astype(np.int64)
    expected = starts_within(rate_per_s, duration_ns, None)
    at = np.zeros(0)
    last = 0.0
    while last < duration_ns:
        more = last + np.cumsum(generator.gamma(shape, scale_ns, max(expected, 16)))
        at, last = np.concatenate([at, more]), float(more[-1])
    times = np.rint(at).astype(np.int64)
    times = times[times < duration_ns]
    return times[:count] if count is not None else times


def ramp(from_per_s: float, to_per_s: float, duration_ns: int) -> Times:
    """Return the starts of a linear ramp: start k comes where the expected number of starts is k.

    With rate r(t) = a + b t the number of starts until t is a t + b t^2 / 2; solved for t.
    """
    import numpy as np

    span_s = duration_ns / NS_PER_S
    a, b = from_per_s, (to_per_s - from_per_s) / span_s
    n = _whole((from_per_s + to_per_s) / 2 * span_s)
    _check_starts(n)
    k = np.arange(n, dtype=np.float64)
    # The form without cancellation when b is small: t = 2k / (a + sqrt(a^2 + 2 b k)).
    at = 2 * k / (a + np.sqrt(np.maximum(a * a + 2 * b * k, 0)))
    times = np.rint(at * NS_PER_S).astype(np.int64)
    return times[times < duration_ns]


def replayed(trace_ns: Sequence[int], speedup: float = 1.0) -> tuple[int, ...]:
    """Times of a trace, the first at 0, in ascending order, `speedup` times as fast."""
    if not trace_ns:
        raise ConfigError("replay: the trace holds no timestamps")
    ordered = sorted(trace_ns)
    return tuple(round((at - ordered[0]) / speedup) for at in ordered)


def sweep_rates(low: float, high: float, step: float) -> tuple[float, ...]:
    """low, low + step, ... up to high, and high itself where the steps miss it."""
    if high < low:
        raise ConfigError(f"sweep: --sweep-max {high:g} is below --sweep-min {low:g}")
    if (high - low) / step > MAX_STEPS:
        raise ConfigError(f"sweep: more than {MAX_STEPS:,} steps; raise --sweep-step {step:g}")
    steps = floor((high - low) / step + 1e-9)
    rates = [low + i * step for i in range(steps + 1)]
    if rates[-1] < high * (1 - 1e-9):
        rates.append(high)
    return tuple(round(rate, 9) for rate in rates)


def starts_within(rate_per_s: float, duration_ns: int | None, count: int | None) -> int:
    """Return how many starts a constant rate has; the end of the duration is not part of it."""
    n = count
    if duration_ns is not None:
        # 10/s for 1 s are 10 starts, at 0 to 0.9 s; the small number forgives the rounding of the division.
        within = _whole(duration_ns * rate_per_s / NS_PER_S)
        n = within if count is None else min(within, count)
    if n is None:
        raise ConfigError("a rate needs an end: give --duration or --iterations")
    _check_starts(n)
    if n > rate_per_s * MOST_NS / NS_PER_S:
        raise ConfigError(f"{n:,} requests at {rate_per_s:g} requests/s take more than a century; raise --rate")
    return n


def _whole(starts: float) -> int:
    """Round a number of starts up; beyond all that can be held it is that and one more."""
    return ceil(starts - 1e-9) if starts < MAX_STARTS else MAX_STARTS + 1


def _check_starts(n: int, lower: str = "--rate or --duration") -> None:
    if n > MAX_STARTS:
        raise ConfigError(f"{n:,} requests are more than this can hold ({MAX_STARTS:,}); lower {lower}")


def _single(_load: LoadConfig, _trace: Sequence[int]) -> list[Stage]:
    return [Stage(name="single", concurrency=1, count=1)]


def requests_of(load: LoadConfig, duration_ns: int | None) -> int | None:
    """Return how many requests end the load; None where only its duration does."""
    default = UNTIL_REQUESTS if load.until else DEFAULT_REQUESTS
    return load.iterations or (default if duration_ns is None else None)


def with_default_requests(load: LoadConfig, requests: int) -> LoadConfig:
    """Return the load with this many requests in place of DEFAULT_REQUESTS, where those would end it."""
    by_default = load.iterations is None and not load.search_slo and pattern_of(load) in ("iterations", "rate")
    if not by_default or requests_of(load, load.duration_ns) != DEFAULT_REQUESTS:
        return load
    return msgspec.structs.replace(load, iterations=requests)


def _iterations(load: LoadConfig, _trace: Sequence[int]) -> list[Stage]:
    span, at_a_time = load.duration_ns, load.concurrency or 1
    return [Stage(name="iterations", concurrency=at_a_time, count=requests_of(load, span), duration_ns=span)]


def _burst(load: LoadConfig, _trace: Sequence[int]) -> list[Stage]:
    waves = load.iterations or DEFAULT_REQUESTS
    if waves > MAX_WAVES:
        raise ConfigError(f"{waves:,} waves: at most {MAX_WAVES:,}; lower --iterations")
    _check_starts(waves * (load.concurrency or 1), "--iterations or --concurrent")
    return [Stage(name=f"burst {i + 1}", times_ns=(0,) * (load.concurrency or 1)) for i in range(waves)]


def _rate(load: LoadConfig, _trace: Sequence[int]) -> list[Stage]:
    if load.rate_per_s is None:
        raise ConfigError("a constant rate needs a number: --rate 10")
    return [
        Stage(
            name=f"{load.rate_per_s:g}/s",
            rate_per_s=load.rate_per_s,
            arrival=load.arrival or "constant",
            burstiness=load.burstiness or 1.0,
            count=requests_of(load, load.duration_ns),
            duration_ns=load.duration_ns,
            seed=load.seed,
        )
    ]


def _ramp(load: LoadConfig, _trace: Sequence[int]) -> list[Stage]:
    if load.rate_per_s is None or load.ramp_to_per_s is None:
        raise ConfigError("a ramp needs two rates: --rate 1 --ramp-to 10")
    return [
        Stage(
            name=f"{load.rate_per_s:g}/s to {load.ramp_to_per_s:g}/s",
            rate_per_s=load.rate_per_s,
            to_per_s=load.ramp_to_per_s,
            count=load.iterations,
            duration_ns=load.duration_ns or DEFAULT_STEP_NS,
        )
    ]


def _sweep(load: LoadConfig, _trace: Sequence[int]) -> list[Stage]:
    if load.sweep_concurrency:
        span_ns = load.step_duration_ns or load.duration_ns
        count = requests_of(load, span_ns)
        return [
            Stage(name=f"{c} at a time", concurrency=c, count=count, duration_ns=span_ns)
            for c in load.sweep_concurrency
        ]
    low, high, step = load.sweep_min_per_s, load.sweep_max_per_s, load.sweep_step_per_s
    if high is None:
        raise ConfigError("a sweep needs an end: --sweep-max 50, or --sweep-concurrency 1,2,4")
    low = low if low is not None else (step or 1.0)
    rates = sweep_rates(low, high, step if step is not None else max((high - low) / 9, low / 1e6))
    span = load.step_duration_ns or load.duration_ns or DEFAULT_STEP_NS
    return [
        Stage(
            name=f"{rate:g}/s",
            rate_per_s=rate,
            arrival=load.arrival or "constant",
            burstiness=load.burstiness or 1.0,
            count=load.iterations,
            duration_ns=span,
            seed=load.seed + i,
        )
        for i, rate in enumerate(rates)
    ]


def _idle(load: LoadConfig, _trace: Sequence[int]) -> list[Stage]:
    """Return the stages of a cold-start probe: warm requests, then one after each gap, IDLE_ROUNDS times."""
    if load.iterations is not None and load.iterations < IDLE_BASELINE:
        raise ConfigError(f"--idle-gaps compares with {IDLE_BASELINE} warm requests or more: raise --iterations")
    warm = Stage(name="warm", concurrency=1, count=load.iterations or DEFAULT_REQUESTS)
    ladder = [
        Stage(name=f"after idle {human_duration(gap)}", concurrency=1, count=1, pause_ns=gap)
        for _ in range(IDLE_ROUNDS)
        for gap in load.idle_gaps_ns
    ]
    return [warm, *ladder]


def _replay(load: LoadConfig, trace: Sequence[int]) -> list[Stage]:
    times = replayed(trace, load.speedup or 1.0)
    if load.duration_ns is not None:
        times = tuple([at for at in times if at < load.duration_ns])
    return [Stage(name="replay", times_ns=times[: load.iterations])]


_MEASURED = {
    "single": _single,
    "iterations": _iterations,
    "burst": _burst,
    "rate": _rate,
    "ramp": _ramp,
    "sweep": _sweep,
    "replay": _replay,
    "idle": _idle,
}


def with_warmup(load: LoadConfig, measured: Sequence[Stage]) -> tuple[Stage, ...]:
    """Return the stages with the warm-up that `load.warmup` asks for.

    A closed loop gets a stage of its own before it; of an open loop the first starts are marked, by time or share.
    "auto" changes nothing: that warm-up is found in the results.
    """
    if load.warmup.strip().lower() == AUTO:
        return tuple(measured)
    requests, span_ns, share = parse_warmup(load.warmup)
    _check_starts(requests, "--warmup")
    if not (requests or span_ns or share):
        return tuple(measured)
    first = measured[0]
    if first.open_loop and not requests and first.times_ns is None:
        counted = round(first.count / (first.rate_per_s or 1) * NS_PER_S) if first.count is not None else None
        whole = min(span for span in (first.duration_ns, counted) if span is not None)
        cut = span_ns or round(whole * share)
        if cut >= whole:
            raise ConfigError(f"--warmup {load.warmup} leaves nothing to measure of {human_duration(whole)}")
        return (msgspec.structs.replace(first, warmup_ns=cut), *measured[1:])
    total = first.count or len(first.times_ns or ())
    before = Stage(
        name="warm-up",
        concurrency=first.concurrency or 1,
        count=requests or (ceil(total * share) if total and share else None),
        duration_ns=span_ns or (round((first.duration_ns or 0) * share) or None),
        warmup=True,
    )
    return (before, *measured)


def parse_warmup(text: str) -> tuple[int, int, float]:
    """Return (requests, ns, share) of "3", "10s" or "10%"; two of them are 0.

    Raises:
        ConfigError: it is none of these.
    """
    return _parse_part(text, "--warmup")


def parse_cooldown(text: str) -> tuple[int, int, float]:
    """Return (requests, ns, share), as parse_warmup does.

    Raises:
        ConfigError: it is none of these.
    """
    return _parse_part(text, "--cooldown")


def _parse_part(text: str, option: str) -> tuple[int, int, float]:
    said = text.strip()
    try:
        if (count := parse_count(said)) is not None:
            return count, 0, 0.0
        if not said.endswith("%"):
            return 0, parse_duration_ns(said), 0.0
        share = float(said[:-1]) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share < 1:
        raise ConfigError(f"{option} {text!r}: write a number of requests, 10s or 10%")
    return 0, 0, share
