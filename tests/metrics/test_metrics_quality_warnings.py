"""Doubts, as a table: what a summary says, and the sentence that follows from it."""

from __future__ import annotations

from array import array
from decimal import Decimal

import msgspec
import pytest
from handmade import TEXT, events, failed_record, record

from lens.metrics.distribution import distribution
from lens.metrics.quality_warnings import CHECKS, quality_warnings
from lens.metrics.session_summary import SessionSummary
from lens.metrics.summarize import summarize
from lens.model import Connection, TcpInfo, Usage
from lens.pricing import Price, PriceBook

CLEAN = msgspec.structs.replace(
    summarize([record()]), requests=1000, successes=1000, window_s=60.0, coalesced_share=0.01, warnings=()
)


def having(**values):
    """Distributions of these values."""
    return {name: distribution(name, "", some) for name, some in values.items()}


def lag(us, gap_ms):
    return {"distributions": having(client_lag_us=[us] * 100, inter_chunk_ms=[gap_ms] * 100)}


def slow_client(share):
    parts = {"model": 1 - share, "tool": 0.0, "think": 0.0, "client": share}
    return {"sessions": SessionSummary(complete=9, failed=0, unfinished=0, parts=parts)}


TABLE = [
    (lag(600, 20.0), "client lag is 3 % of ITL (p95 0.60 ms of 20.00 ms): do not trust ITL"),
    ({"stamp_kinds": {"read": 1000}}, "all requests have no kernel timestamps"),
    ({"stamp_kinds": {"read": 3, "kernel": 997}}, "3 of 1000 requests have no kernel timestamps"),
    ({"clock_stepped": 2}, "the system clock was adjusted during 2 requests"),
    ({"coalesced_share": 0.12}, "12 % of tokens arrived coalesced: a proxy or the server buffers"),
    ({"successes": 750}, "25 % of requests failed: latencies are those of successful requests only"),
    (
        {
            "successes": 750,
            "distributions": having(ttft_ms=[10.0] * 25 + [40.0] * 75),
            "ttft_of_successes": distribution("ttft_ms", "ms", [40.0] * 75),
        },
        "25 % of requests failed: TTFT is of all that got a first token, other latencies are of successful",
    ),
    (
        {
            "distributions": having(ttft_ms=[10.0] * 60 + [40.0] * 40),
            "ttft_of_successes": distribution("ttft_ms", "ms", [40.0] * 40),
        },
        "of successful ones alone p50 40 ms instead of 10",
    ),
    ({"one_piece": 900}, "90 % of answers arrived in one piece"),
    ({"compressed": 7}, "7 answers arrived compressed"),
    ({"token_evidence": {"assumed_one_per_event": 4}}, "ITL of 4 requests counts each event as one token"),
    ({"token_evidence": {"assumed_beyond_what_came": 4}}, "more tokens are claimed for 4 answers than came"),
    ({"token_evidence": {"spread": 4}}, "ITL of 4 requests distributes"),
    ({"distributions": having(schedule_lag_us=[2500.0] * 100)}, "sent up to 2.50 ms (p99) after their time"),
    (slow_client(0.05), "5 % of the time of sessions is this client's, whose turns started late"),
    ({"distributions": having(total_latency_ms=[-0.5, 9.0])}, "start of their request (least total -0.5 ms): do not"),
    ({"successes": 880}, "12 % of requests failed"),
    ({"without_content": 250}, "250 of 1000 answers brought no text, reasoning or tool call: no TTFT there"),
    ({"retries": 3}, "3 attempts were repeated"),
    ({"retries": 1}, "1 attempt was repeated"),
    ({"retransmitting": 40}, "4 % of requests had packet loss"),
    ({"connections_opened": 8}, "8 of 1000 requests opened a new connection"),
    ({"input_tokens": 100, "cached_tokens": 80}, "80 % of input tokens came from the provider's prompt cache"),
    ({"served_models": {"b": 1, "a": 2}}, "answers came from 2 models (a, b)"),
    ({"requests": 9, "successes": 9}, "9 answers are too few for a tail: a p95 needs 20"),
    ({"window_s": 0.25}, "the run lasted 0.25 s"),
    ({"price_age_days": 200}, "a price is 200 days old"),
    ({"estimated_costs": 3}, "the cost of 3 requests is an estimate"),
    ({"uncounted": ("2 web searches not counted",)}, "no known price: 2 web searches not counted; give --price"),
    ({"unpriced": 2, "total_cost": Decimal(1), "unpriced_reason": "no usage"}, "2 answers have no known cost"),
]
QUIET = [
    slow_client(0.01),
    lag(600, 40.0),
    {"distributions": having(schedule_lag_us=[900.0] * 100)},
    {"coalesced_share": None},
    {"requests": 1, "successes": 1},  # nobody asks one for a tail
    {"coalesced_share": 0.04},
    {"successes": 995},
    {"connections_opened": 1000},  # each of its own: that was the plan
    {"one_piece": 10},
    {"without_content": 9},
    {"retransmitting": 9},
    {"input_tokens": 100, "cached_tokens": 49},
    {"served_models": {"a": 1000}},
    {"unpriced": 1000},  # nothing has a price
    {"requests": 0, "successes": 0, "window_s": None},
]


def test_a_clean_run_is_not_doubted():
    assert quality_warnings(CLEAN) == []


@pytest.mark.parametrize(("change", "says"), TABLE)
def test_a_disturbance_is_told_in_one_sentence(change, says):
    [sentence] = quality_warnings(msgspec.structs.replace(CLEAN, **change))
    assert says in sentence


def test_a_client_that_lags_is_named_before_a_proxy_is_blamed():
    told = quality_warnings(msgspec.structs.replace(CLEAN, coalesced_share=0.12, **lag(6000, 20.0)))
    assert told[0].startswith("client lag is 30 % of ITL")
    assert told[1] == "12 % of tokens were read together by this client, which lagged: lower the load first"


@pytest.mark.parametrize("change", QUIET)
def test_what_is_too_small_to_matter_is_not_reported(change):
    assert quality_warnings(msgspec.structs.replace(CLEAN, **change)) == []


def test_every_doubt_is_in_the_table():
    told = {doubt for doubt in CHECKS for change, _ in TABLE if doubt(msgspec.structs.replace(CLEAN, **change))}
    assert told == set(CHECKS)


def test_the_summary_counts_what_is_doubted():
    lossy = Connection(reused=False, tcp_at_end=TcpInfo(rtt_us=1, retransmits=2))
    one_piece = record(events=events((100, TEXT, 400)), usage=Usage(input_tokens=10, output_tokens=90))
    found = summarize(
        [
            record(clock_stepped=True, content_encoding="gzip", connection=lossy, served_model="a"),
            one_piece,
            msgspec.structs.replace(one_piece, stream=False, content_encoding="identity"),
            record(usage=Usage(input_tokens=10, cache_read_tokens=4), tokens_per_event=array("q", [1, 1, 1, 1])),
        ]
    )
    assert (found.clock_stepped, found.compressed, found.one_piece, found.retransmitting) == (1, 1, 1, 1)
    assert (found.cached_tokens, found.served_models) == (4, {"a": 1})


def test_answers_without_content_are_those_of_streams_that_succeeded():
    empty = record(())
    found = summarize([empty, record(), msgspec.structs.replace(empty, stream=False), failed_record()])
    assert found.without_content == 1


def test_an_old_price_is_doubted_as_of_the_day_of_the_request():
    book = PriceBook([Price(input=Decimal(1), output=Decimal(2), checked="2025-01-01")])
    assert summarize([record()], book=book).price_age_days == 310
    assert summarize([record(timestamp="2025-02-01T00:00:00Z")], book=book).price_age_days is None
