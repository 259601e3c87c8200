"""The formulas of the metrics: functions from the columns of requests to float64, NaN where not measured.

Nothing here is done in Python for a request or an event. Which formula belongs to which metric stands in
`definitions`; the tests hold each to a plain formula over one record.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

from lens.arrays.dispatch import np
from lens.history.lean import MISSING
from lens.metrics.columns import Column, Columns
from lens.model import Status
from lens.units import NS_PER_MS, NS_PER_S, NS_PER_US

# A gap is a stall when it is longer than both: this many times the median gap, and this long.
STALL_TIMES_MEDIAN = 4
STALL_AT_LEAST_NS = 200 * NS_PER_MS
# How fast people read, tokens a second: slowly, normally, skimming.
READING_SPEEDS = (5, 10, 20)
PHASES = ("dns", "tcp", "proxy", "tls")  # of a connection being made, in their order
_LATEST = 2**63 - 1  # later than any stamp
Formula = Callable[[Columns], Column]


def since(start: Column | int, end: Column, unit_ns: int = NS_PER_MS) -> Column:
    """Return end - start in a unit, NaN where one is absent. A start of 0 is Stamps.start."""
    absent = (end == MISSING) | (start == MISSING)
    found: Column = np.where(absent, np.nan, np.where(absent, 0, end - start) / unit_ns)
    return found


def _stamp(t: Columns, name: str) -> Column | int:
    return 0 if name == "start" else t.stamp(name)


def between(start: str, end: str, unit_ns: int = NS_PER_MS) -> Formula:
    """Return the time between two stamps."""
    return lambda t: since(_stamp(t, start), t.stamp(end), unit_ns)


def schedule_lag_us(t: Columns) -> Column:
    """Return how long after its time a request was sent; not of retries, whose waits are no lag of this client."""
    lag = between("intended", "send_start", NS_PER_US)(t)
    found: Column = np.where(t.column("tries") > 0, np.nan, lag)
    return found


def until_first(start: str) -> Formula:
    """Return the time from a stamp to the first content event, in ms."""
    return lambda t: since(_stamp(t, start), t.first_at)


def connect_span(t: Columns) -> tuple[Column, Column]:
    """Return first start and last end of the phases that made the connection; MISSING on reuse."""
    starts = [t.stamp(f"{phase}_start") for phase in PHASES]
    first: Column = reduce(np.minimum, [np.where(start == MISSING, _LATEST, start) for start in starts])
    last: Column = reduce(np.maximum, [t.stamp(f"{phase}_end") for phase in PHASES])
    return np.where(first == _LATEST, MISSING, first), last


def connect_ms(t: Columns) -> Column:
    """Return the time from the first phase of connecting to its end."""
    return since(*connect_span(t))


def ttfo_ms(t: Columns) -> Column:
    """Return the time from the start to the first token that is not reasoning."""
    return since(0, t.first_of(t.output))


def thinking_ms(t: Columns) -> Column:
    """Between its first token and the answer's; where its text was left out, the time its blocks were open."""
    took = since(t.first_of(t.reasoning), t.first_of(t.output))
    hidden = t.column("hidden_thinking")
    took = np.where(np.isnan(took) & (hidden != MISSING), hidden / NS_PER_MS, took)
    return np.where(took < 0, np.nan, took)


def tpot_ms(t: Columns) -> Column:
    """NaN where there is no token after those of the first event, or no time passed."""
    in_first = np.zeros_like(t.n, dtype=np.float64)
    some = t.n > 0
    in_first[some] = t.tokens[t.first[some]]
    after = t.column("streamed") - in_first
    right = some & (t.last_at > t.first_at) & (after >= 1)
    return np.where(right, since(t.first_at, t.last_at) / np.where(right, after, 1), np.nan)


def decode_tokens_per_second(t: Columns) -> Column:
    """Return tokens per second after the first token."""
    tpot = tpot_ms(t)
    found: Column = 1000 / np.where(tpot > 0, tpot, np.nan)
    return found


def tokens_per_second(t: Columns) -> Column:
    """Return output tokens by the latency of the whole request."""
    total_ms = since(0, t.stamp("end"))
    found: Column = t.usage("output_tokens") / (np.where(total_ms != 0, total_ms, np.nan) / 1000)
    return found


def gaps_ms(t: Columns) -> tuple[Column, Column]:
    """Return all gaps between content events, and the request of each."""
    gaps, of = t.gaps
    return gaps / NS_PER_MS, of


def token_gaps_ms(t: Columns) -> tuple[Column, Column]:
    """Return all gaps between tokens, and the request of each."""
    gaps, tokens, of = t.token_gaps
    if (tokens == 1).all():
        return gaps / NS_PER_MS, of
    return np.repeat(gaps / tokens / NS_PER_MS, tokens), np.repeat(of, tokens)


def _mean(t: Columns, gaps: Column, tokens: Column | None, of: Column) -> Column:
    n = np.bincount(of, weights=tokens, minlength=len(t))
    found: Column = np.bincount(of, weights=gaps, minlength=len(t)) / np.where(n > 0, n, np.nan) / NS_PER_MS
    return found


def mean_gap_ms(t: Columns) -> Column:
    """Return the mean gap between content events of each request."""
    gaps, of = t.gaps
    return _mean(t, gaps, None, of)


def mean_token_gap_ms(t: Columns) -> Column:
    """Return the mean gap between tokens of each request."""
    return _mean(t, *t.token_gaps)


def longest_of(t: Columns, values: Column, of: Column) -> Column:
    """Return the largest of each request's values, NaN where it has none. of: the request of each, ascending."""
    found = np.full_like(t.n, np.nan, dtype=np.float64)
    if len(values):
        begins = np.flatnonzero(np.diff(of, prepend=-1))
        found[of[begins]] = np.maximum.reduceat(values, begins)
    return found


def longest_gap_ms(t: Columns) -> Column:
    """NaN where there are no gaps."""
    return longest_of(t, *t.gaps) / NS_PER_MS


def _stalls(t: Columns, weigh: Callable[[Column], Column]) -> Column:
    """Return the stalls of each request, weighed and added up. Only who has a long gap needs its median."""
    longest = longest_gap_ms(t)
    found = np.where(np.isnan(longest), np.nan, 0.0)
    gaps, of = t.gaps
    slow = (longest > STALL_AT_LEAST_NS / NS_PER_MS)[of]
    gaps, of = gaps[slow], of[slow]
    if not len(gaps):
        return found
    order = np.lexsort((gaps, of))
    n = np.bincount(of, minlength=len(t))
    first = np.cumsum(n) - n
    who = np.flatnonzero(n)
    low, high = order[first[who] + (n[who] - 1) // 2], order[first[who] + n[who] // 2]
    limit = np.zeros_like(t.n, dtype=np.float64)
    limit[who] = np.maximum(STALL_TIMES_MEDIAN * ((gaps[low] + gaps[high]) / 2), STALL_AT_LEAST_NS)
    stalled = gaps > limit[of]
    found[who] = np.bincount(of[stalled], weights=weigh(gaps[stalled]), minlength=len(t))[who]
    return found


def stall_count(t: Columns) -> Column:
    """Return how many gaps of each request are stalls."""
    return _stalls(t, np.ones_like)


def stall_ms(t: Columns) -> Column:
    """Return the sum of the stalls of each request."""
    return _stalls(t, lambda gaps: gaps) / NS_PER_MS


def reading_misses(per_second: int) -> Formula:
    """Return the formula of tokens that come later than a reader of this speed wants them.

    Of the k tokens of an event, those with numbers from j on, wanted every `step` after the first event.
    """

    def misses(t: Columns) -> Column:
        found = np.full_like(t.n, np.nan, dtype=np.float64)
        pace = t.output_pace
        if pace is None:
            return found
        late = np.clip(-(-pace.after // (NS_PER_S // per_second)) - pace.before, 0, pace.tokens)
        found[pace.rows] = np.add.reduceat(late, pace.begins)
        return found

    return misses


def coalesced_events(t: Columns) -> Column:
    """Return how many content events of each request came in the read of the one before."""
    found: Column = np.bincount(t.of[t.together], minlength=len(t))
    return found


def coalescing(t: Columns) -> Column:
    """Return the share of content events that came in the same read as the one before."""
    found: Column = coalesced_events(t) / np.where(t.n > 0, t.n, np.nan)
    return found


def lags_us(t: Columns) -> tuple[Column, Column]:
    """Return how long events lay in the kernel before they were read, and the request of each."""
    which = t.kernel[t.of]
    return t.lag[which] / NS_PER_US, t.of[which]


def worst_lag_us(t: Columns) -> Column:
    """Return the longest that a content event of each request lay in the kernel before this client read it."""
    found = np.full_like(t.n, np.nan, dtype=np.float64)
    begins = np.flatnonzero(t.n > 0)
    if len(begins):
        found[begins] = np.maximum.reduceat(t.lag, t.first[begins]) / NS_PER_US
    return np.where(t.kernel, found, np.nan)


def scaled(column: str, per: int) -> Formula:
    """Return a column divided by a number."""
    return lambda t: t.column(column) / per


def server_ms(t: Columns) -> Column:
    """Return the longest time that the server names for each request."""
    first, took = t.firsts("timing"), t.listed("timing", "ms")
    found = np.full_like(t.n, np.nan, dtype=np.float64)
    some = np.flatnonzero(np.diff(first) > 0)
    if len(some):
        found[some] = np.maximum.reduceat(took, first[some])
    return found


def uncached_tokens(t: Columns) -> Column:
    """Return the tokens of the prompt that were not read from a cache."""
    found: Column = t.usage("input_tokens") - t.usage("cache_read_tokens")
    return np.where(found < 0, np.nan, found)


def cached_share(t: Columns) -> Column:
    """Return the share of the prompt that was read from a cache."""
    prompt = t.usage("input_tokens")
    found: Column = t.usage("cache_read_tokens") / np.where(prompt > 0, prompt, np.nan)
    return found


def cost_per_token(t: Any) -> Column:
    """Return the cost over all tokens, of the prompt and of the answer; of a Table."""
    tokens = t.usage("input_tokens") + t.usage("output_tokens")
    found: Column = t.costs.columns["total_cost"] / np.where(tokens != 0, tokens, np.nan)
    return found


# Of a failure its kind, as the names of metrics have it.
ERROR_KINDS = {
    "network": Status.NETWORK_ERROR,
    "rate_limit": Status.RATE_LIMITED,
    "server": Status.SERVER_ERROR,
    "auth": Status.AUTH_ERROR,
    "invalid_request": Status.INVALID_REQUEST,
    "cancelled": Status.CANCELLED,
}


def error_rate_of(status: Status) -> Callable[[Any], float | None]:
    """Return a function from a Summary to the share of its requests that ended so."""

    def share(summary: Any) -> float | None:
        if status is Status.CANCELLED:
            every = summary.requests + summary.interrupted
            return (summary.by_status.get(status.value, 0) + summary.interrupted) / every if every else None
        return summary.by_status.get(status.value, 0) / summary.requests if summary.requests else None

    return share
