"""When not to believe a figure: what the records themselves say against the instrument or the path.

Each doubt is one sentence that names the figure, how large the disturbance is, and what to do. A doubt
reads nothing but the Summary, so that a run that is read back is doubted as it was when it was made.
"""

from __future__ import annotations

from collections.abc import Callable

from lens.metrics.distribution import Distribution
from lens.metrics.summary import Summary
from lens.metrics.token_counts import ASSUMED, BEYOND, SPREAD
from lens.units import NS_PER_US, human_duration

# From here on a disturbance is worth a sentence.
LAG_SHARE_OF_ITL = 0.03
OWN_LAG_SHARE = 0.25  # of the gap between two reads: a client this late makes clumps of its own
COALESCED_SHARE = 0.05
ONE_PIECE_SHARE = 0.05
SCHEDULE_LAG_US = 1000
FAILED_SHARE = 0.01
TTFT_SHOWN, TTFT_CHANGE = ("p50", "p95", "p99"), 0.005
RETRANSMIT_SHARE = 0.01
CACHED_SHARE = 0.5  # of the input: what a provider has in its cache takes no prefill
CLIENT_SHARE_OF_TASK = 0.02
SHORTEST_S = 1.0
FEWEST_REQUESTS = 20  # for a p95
READ_FROM = ("client_lag_us", "inter_chunk_ms", "schedule_lag_us")  # metrics whose distributions are looked at


def quality_warnings(summary: Summary) -> list[str]:
    """Sentences for people; none when there is nothing against the figures."""
    found = [check(summary) for check in CHECKS]
    return [sentence for sentence in found if sentence]


def percent(share: float) -> str:
    """12 %; below 1 % with a digit more."""
    return f"{share * 100:.0f} %" if share >= 0.01 else f"{share * 100:.1f} %"


def _of(n: int, noun: str, one: str = "", more: str = "") -> str:
    """1 request was; 2 requests were."""
    return f"{n} {noun} {one}".rstrip() if n == 1 else f"{n} {noun}s {more}".rstrip()


def _tail(found: Distribution, name: str) -> float:
    """Return a percentile, or the greatest value where there are too few for it."""
    return found.percentiles.get(name, found.max)


def _client_lag(summary: Summary) -> str | None:
    lag, gap = summary.distributions.get("client_lag_us"), summary.distributions.get("inter_chunk_ms")
    share = _lag_share(summary)
    if lag is None or gap is None or share < LAG_SHARE_OF_ITL:
        return None
    sizes = f"p95 {_tail(lag, 'p95') / 1000:.2f} ms of {gap.median:.2f} ms"
    return f"client lag is {percent(share)} of ITL ({sizes}): do not trust ITL; lower the load"


def _lag_share(summary: Summary) -> float:
    """Return the lag of this client (p95) as a share of the gap between two reads; 0 where it is not known."""
    lag, gap = summary.distributions.get("client_lag_us"), summary.distributions.get("inter_chunk_ms")
    return _tail(lag, "p95") / 1000 / gap.median if lag and gap and gap.median else 0.0


def _stamps(summary: Summary) -> str | None:
    read, every = summary.stamp_kinds.get("read", 0), sum(summary.stamp_kinds.values())
    if not read:
        return None
    whose = "all" if read == every else f"{read} of {every}"
    return f"{whose} requests have no kernel timestamps: their times include the lag of this client"


def _clock(summary: Summary) -> str | None:
    if not summary.clock_stepped:
        return None
    return f"the system clock was adjusted during {_of(summary.clock_stepped, 'request')}: those times are read times"


def _order(summary: Summary) -> str | None:
    shown = {"TTFT": "ttft_ms", "TTFB": "ttfb_ms", "total": "total_latency_ms"}
    found = {name: summary.distributions.get(metric) for name, metric in shown.items()}
    below = [f"least {name} {one.min:.4g} ms" for name, one in found.items() if one is not None and one.min < 0]
    if not below:
        return None
    return f"stamps are earlier than the start of their request ({', '.join(below)}): do not trust times and rates"


def _coalesced(summary: Summary) -> str | None:
    share = summary.coalesced_share
    if share is None or share < COALESCED_SHARE:
        return None
    if _lag_share(summary) >= OWN_LAG_SHARE:
        return f"{percent(share)} of tokens were read together by this client, which lagged: lower the load first"
    return f"{percent(share)} of tokens arrived coalesced: a proxy or the server buffers, and ITL shows its gaps"


def _one_piece(summary: Summary) -> str | None:
    if not summary.successes or summary.one_piece / summary.successes < ONE_PIECE_SHARE:
        return None
    share = percent(summary.one_piece / summary.successes)
    return f"{share} of answers arrived in one piece although streaming was requested: TTFT is that of the whole answer"


def _compressed(summary: Summary) -> str | None:
    if not summary.compressed:
        return None
    return f"{_of(summary.compressed, 'answer')} arrived compressed: a token may have waited for its compressed block"


def _tokens(summary: Summary) -> str | None:
    assumed, spread = summary.token_evidence.get(ASSUMED, 0), summary.token_evidence.get(SPREAD, 0)
    if assumed:
        return f"ITL of {_of(assumed, 'request')} counts each event as one token: no token counts came; try --tokenizer"
    if spread:
        return f"ITL of {_of(spread, 'request')} distributes the server's token count over the events by their length"
    return None


def _beyond(summary: Summary) -> str | None:
    beyond = summary.token_evidence.get(BEYOND, 0)
    if not beyond:
        return None
    return (
        f"more tokens are claimed for {_of(beyond, 'answer')} than came (hidden thinking, or a false count): "
        "no TPOT there, and ITL counts each event as one token"
    )


def _schedule(summary: Summary) -> str | None:
    lag = summary.distributions.get("schedule_lag_us")
    late_us = _tail(lag, "p99") if lag else 0
    if late_us < SCHEDULE_LAG_US:
        return None
    late = human_duration(late_us * NS_PER_US)
    return f"requests were sent up to {late} (p99) after their time: see ttft_from_schedule_ms"


def _failed(summary: Summary) -> str | None:
    failed = summary.requests - summary.successes
    if not summary.successes or failed / summary.requests < FAILED_SHARE:
        return None
    share = f"{percent(failed / summary.requests)} of requests failed"
    if summary.ttft_of_successes is None:
        return f"{share}: latencies are those of successful requests only"
    return f"{share}: TTFT is of all that got a first token, other latencies are of successful requests only"


def _failed_ttft(summary: Summary) -> str | None:
    every, alone = summary.distributions.get("ttft_ms"), summary.ttft_of_successes
    if every is None or alone is None:
        return None
    names = [name for name in TTFT_SHOWN if name in every.percentiles and name in alone.percentiles]
    both = [(name, every.percentiles[name], alone.percentiles[name]) for name in names]
    changed = [f"{name} {own:.4g} ms instead of {all_of:.4g}" for name, all_of, own in both if _is_apart(all_of, own)]
    if not changed:
        return None
    return f"requests that failed after their first token change TTFT: of successful ones alone {', '.join(changed)}"


def _is_apart(one: float, other: float) -> bool:
    return abs(one - other) > TTFT_CHANGE * max(abs(one), abs(other))


def _without_content(summary: Summary) -> str | None:
    empty = summary.without_content
    if not summary.successes or empty / summary.successes < FAILED_SHARE:
        return None
    whose = "the answer" if summary.successes == 1 else f"{empty} of {summary.successes} answers"
    return (
        f"{whose} brought no text, reasoning or tool call: no TTFT there, and each counts as a success; "
        "look at one with --log-level trace"
    )


def _retries(summary: Summary) -> str | None:
    if not summary.retries:
        return None
    repeated = _of(summary.retries, "attempt", "was", "were")
    return f"{repeated} repeated: latency is that of the last attempt, without the back-off"


def _loss(summary: Summary) -> str | None:
    if not summary.requests or summary.retransmitting / summary.requests < RETRANSMIT_SHARE:
        return None
    share = percent(summary.retransmitting / summary.requests)
    return f"{share} of requests had packet loss: their latency includes TCP retransmissions"


def _connections(summary: Summary) -> str | None:
    """Return a warning of a mixture of new and reused connections, which makes two distributions look like one."""
    opened = summary.connections_opened
    if not 0 < opened < summary.requests:
        return None
    made = f"{opened} of {summary.requests} requests opened a new connection"
    return f"{made}, which their TTFT includes: compare by ttft_from_send_ms"


def _cached(summary: Summary) -> str | None:
    if not summary.input_tokens or not summary.cached_tokens:
        return None
    share = summary.cached_tokens / summary.input_tokens
    if share < CACHED_SHARE:
        return None
    return f"{percent(share)} of input tokens came from the provider's prompt cache: TTFT is that of cached prompts"


def _models(summary: Summary) -> str | None:
    if len(summary.served_models) < 2:
        return None
    names = ", ".join(sorted(summary.served_models))
    return f"answers came from {len(summary.served_models)} models ({names}): their metrics are mixed"


def _few(summary: Summary) -> str | None:
    if summary.requests < 2 or not 0 < summary.successes < FEWEST_REQUESTS:
        return None  # nobody asks one request for a tail
    few = _of(summary.successes, "answer", "is", "are")
    return f"{few} too few for a tail: a p95 needs {FEWEST_REQUESTS}, a p99 100"


def _late_turns(summary: Summary) -> str | None:
    share = summary.sessions.parts.get("client", 0.0) if summary.sessions else 0.0
    if share < CLIENT_SHARE_OF_TASK:
        return None
    late = f"{percent(share)} of the time of sessions is this client's, whose turns started late"
    return f"{late}: lower -c or --session-rate"


def _short(summary: Summary) -> str | None:
    if summary.window_s is None or summary.requests < 2 or summary.window_s >= SHORTEST_S:
        return None
    return f"the run lasted {summary.window_s:.2f} s: too short for rates; measure longer with --duration or -n"


def _price(summary: Summary) -> str | None:
    if summary.price_age_days is None:
        return None
    return f"a price is {summary.price_age_days} days old: check the provider's price page, or give --price or --prices"


def _unpriced(summary: Summary) -> str | None:
    """Return a warning where only some requests have a price, so that the sum is too small."""
    if not summary.unpriced or summary.total_cost is None:
        return None
    unknown = _of(summary.unpriced, "answer", "has no known cost and is", "have no known cost and are")
    return f"{unknown} not in the sum: {summary.unpriced_reason}"


def _estimated(summary: Summary) -> str | None:
    if not summary.estimated_costs:
        return None
    whose = _of(summary.estimated_costs, "request")
    return f"the cost of {whose} is an estimate: --tokenizer counted the tokens, not the server"


def _uncounted(summary: Summary) -> str | None:
    if not summary.uncounted:
        return None
    return f"the cost lacks what has no known price: {', '.join(summary.uncounted)}; give --price with a rate for it"


# In the order of how much they take from the figures.
CHECKS: tuple[Callable[[Summary], str | None], ...] = (
    _order,
    _client_lag,
    _stamps,
    _clock,
    _coalesced,
    _one_piece,
    _compressed,
    _beyond,
    _tokens,
    _schedule,
    _late_turns,
    _failed,
    _failed_ttft,
    _without_content,
    _retries,
    _loss,
    _connections,
    _cached,
    _models,
    _few,
    _short,
    _price,
    _estimated,
    _uncounted,
    _unpriced,
)
