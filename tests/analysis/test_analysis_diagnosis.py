"""A diagnosis of records made by hand: each cause has its milliseconds, no millisecond has two causes, and what
cannot be told is said."""

from __future__ import annotations

import msgspec
import pytest
from handmade import MS, START, TEXT, events, failed_record, record, stamps

from lens.analysis.diagnosis.diagnose import diagnose
from lens.analysis.diagnosis.symptoms import (
    CONCURRENT,
    LONG_ANSWER,
    LONG_PROMPT,
    NEW_CONNECTION,
    REUSED_CONNECTION,
    Client,
    Series,
    Served,
    figure,
    grew_ms,
    requests,
)
from lens.model import Attempt, Connection, Failure, Limit, Status, TcpInfo, Usage


def asked(index, stage, first_ms, *, itl=1.0, n=16, tokens_in=10, reads=None, rtt_us=1000, **more):
    """One answer: TTFT after the send at 1 ms, then a token each `itl` ms."""
    rows = [(1 + first_ms + i * itl, TEXT, 4) for i in range(n)]
    end = rows[-1][0] + 1
    given = {
        "index": index,
        "stage": stage,
        "stamps": stamps(send_start=0.9, send_end=1, first_byte=first_ms, end=end),
        "events": events(*rows, reads=reads),
        "usage": Usage(input_tokens=tokens_in, output_tokens=n),
        "connection": Connection(reused=stage != NEW_CONNECTION, tcp_at_end=TcpInfo(rtt_us=rtt_us, min_rtt_us=rtt_us)),
    }
    return record((), status=Status.SUCCESS, **(given | more))


def fresh(index, first_ms=50.0, *, dns=None, tcp=(0.1, 1.1), tls=None, connection=None, **more):
    """One over a new connection whose phases are given as (start, end) in ms."""
    phases = {"tcp": tcp, "dns": dns, "tls": tls}
    said = {
        f"{name}_{edge}": at
        for name, span in phases.items()
        if span
        for edge, at in zip(("start", "end"), span, strict=True)
    }
    ready = max(span[1] for span in phases.values() if span)
    at = stamps(**said, send_start=ready, send_end=ready, first_byte=ready + first_ms, end=ready + first_ms + 20)
    rows = [(ready + first_ms + i, TEXT, 4) for i in range(16)]
    more = {"stamps": at, "events": events(*rows)} | more
    if connection is not None:
        more["connection"] = connection
    return asked(index, NEW_CONNECTION, first_ms, **more)


def healthy(**changed):
    """Ten answers of a server that has nothing: 50 ms to the first token, 1 ms a token. A question may be changed."""
    made = {
        NEW_CONNECTION: [fresh(0), fresh(1)],
        REUSED_CONNECTION: [asked(2, REUSED_CONNECTION, 50), asked(3, REUSED_CONNECTION, 51)],
        LONG_PROMPT: [asked(4, LONG_PROMPT, 50, tokens_in=1510), asked(5, LONG_PROMPT, 51, tokens_in=1510)],
        LONG_ANSWER: [asked(6, LONG_ANSWER, 50, n=96), asked(7, LONG_ANSWER, 50, n=96)],
        CONCURRENT: [asked(8, CONCURRENT, 50), asked(9, CONCURRENT, 51)],
    }
    return [one for stage, several in made.items() for one in changed.get(stage.replace(" ", "_"), several)]


def first(records, **more):
    return diagnose(records, **more).findings[0]


def named(records, cause, **more):
    """The finding of a cause, wherever it stands."""
    found = diagnose(records, **more)
    return next(one for one in (*found.findings, *found.fine) if one.cause == cause)


def far(index):
    connection = Connection(reused=False, tls_version="TLSv1.3", tcp_at_end=TcpInfo(rtt_us=150_000, min_rtt_us=149_000))
    return fresh(index, 160, tcp=(0, 150), tls=(150, 305), connection=connection)


def test_distance_is_round_trips_and_takes_them_from_tls():
    near = {"rtt_us": 149_000}
    records = healthy(
        new_connection=[far(0), far(1)],
        kept_connection=[asked(2, REUSED_CONNECTION, 160, **near)],
        long_prompt=[asked(3, LONG_PROMPT, 160, **near)],
        long_answer=[asked(4, LONG_ANSWER, 160, n=96, **near)],
        at_once=[asked(5, CONCURRENT, 160, **near)],
    )
    found = first(records)
    assert found.cause == "distance"
    assert found.ms == pytest.approx(3 * 149)
    assert "3 times (TCP 1, TLS 1, the request 1)" in found.says
    # 155 ms of handshake, of which one round trip of 149 ms.
    assert named(records, "TLS").ms == pytest.approx(6)
    # 160 ms to the first token, of which one more.
    assert named(records, "server").ms == pytest.approx(11)


def test_a_slow_lookup_is_dns():
    found = first(healthy(new_connection=[fresh(i, dns=(0, 400), tcp=(400, 401)) for i in (0, 1)]))
    assert (found.cause, found.ms) == ("DNS", 400)
    assert found.evidence == ("lookup 400 ms (400 to 400; requests 0, 1)",)


def test_an_address_that_does_not_answer_is_told_with_its_name():
    attempts = (
        Attempt(address="2001:db8::1", family="ipv6", start_ns=START, end_ns=START + 250 * MS, error="timed out"),
        Attempt(address="192.0.2.1", family="ipv4", start_ns=START + 250 * MS, end_ns=START + 251 * MS),
    )
    connection = Connection(reused=False, attempts=attempts)
    found = first(healthy(new_connection=[fresh(i, tcp=(250, 251), connection=connection) for i in (0, 1)]))
    assert (found.cause, found.ms) == ("dead address", 250)
    assert "2001:db8::1" in found.says


def test_prefill_is_told_for_each_thousand_tokens():
    slow = [asked(i, LONG_PROMPT, 350, tokens_in=1510) for i in (4, 5)]
    found = first(healthy(long_prompt=slow))
    assert found.cause == "prefill"
    assert found.ms == pytest.approx(300, abs=1)
    assert "200 ms for each 1,000 tokens" in found.says
    assert "requests 4, 5" in found.evidence[0]


def test_prefill_cannot_be_told_of_prompts_from_a_cache():
    cached = Usage(input_tokens=1510, output_tokens=16, cache_read_tokens=1500)
    untold = diagnose(healthy(long_prompt=[asked(4, LONG_PROMPT, 350, usage=cached)])).untold
    assert "prefill: the long prompts came from the provider's cache (request 4)" in untold


def test_a_queue_is_growth_with_others_and_the_servers_word_for_it_is_shown():
    waits = [asked(8 + i, CONCURRENT, 50 + 100 * i, server_timing_ms={"tgi_queue": 100.0 * i}) for i in range(5)]
    found = first(healthy(at_once=waits))
    assert found.cause == "queue"
    assert found.ms == pytest.approx(200, abs=1)
    assert "the server's own tgi_queue 200 ms (0.000 to 400; requests 8 to 12)" in found.evidence


@pytest.mark.parametrize(
    ("ttfts", "kind", "says", "ms"),
    [
        ([50] * 6 + [550] * 2, "time", "with 8 requests at once 2 of them wait 500 ms longer", 125),  # six slots
        ([50] * 7 + [550], "fine", "7 of 8 at once wait no longer than one alone, one 500 ms", None),
        ([50] * 6 + [90] * 2, "fine", "8 at once wait no longer than one alone", None),
        ([50] + [550] * 7, "time", "with 8 requests at once the first token comes 500 ms later than to one alone", 500),
    ],
)
def test_a_queue_of_few_is_seen_too(ttfts, kind, says, ms):
    found = named(healthy(at_once=[asked(8 + i, CONCURRENT, ttft) for i, ttft in enumerate(ttfts)]), "queue")
    assert found.kind == kind
    assert says in found.says
    assert found.ms == (ms if ms is None else pytest.approx(ms, abs=1))
    assert f"({min(ttfts):.1f} to " in found.evidence[0]


def test_a_client_that_wakes_late_takes_the_queue_for_nobodys():
    waits = [asked(8 + i, CONCURRENT, 250) for i in range(5)]
    found = diagnose(healthy(at_once=waits), client=Client(loop_lag_ms=150.0))
    assert any(sentence.startswith("queue: ") and "this client itself" in sentence for sentence in found.untold)
    # It is named before anybody else is blamed.
    assert found.findings[0].cause == "client"
    assert found.findings[0].kind == "warning"
    assert found.findings[0].says.startswith("this client is overloaded")


def test_a_busy_machine_is_told_from_the_endpoint_and_from_this_client():
    found = diagnose(healthy(), client=Client(load_per_cpu=7.5, loop_lag_ms=1.0))
    assert found.findings[0].cause != "client"
    (busy,) = [one for one in found.findings if one.cause == "client"]
    assert busy.says.startswith("this machine is busy: 7.5 processes")


def test_decode_is_the_time_after_the_first_token():
    found = first(healthy(long_answer=[asked(i, LONG_ANSWER, 50, n=97, itl=20) for i in (6, 7)]))
    assert found.cause == "decode"
    assert found.ms == pytest.approx(96 * 20)
    assert "20.0 ms each (50 tokens a second)" in found.says


def clumps(index, size, gap_ms, n=80):
    """Tokens that come `size` at a time in one read."""
    rows = [(51 + (i // size) * gap_ms, TEXT, 4) for i in range(n)]
    return asked(index, LONG_ANSWER, 50, n=n, events=events(*rows, reads=[i // size for i in range(n)]))


def test_clumps_are_buffering_and_what_a_token_takes_is_decode():
    records = healthy(long_answer=[clumps(6, 10, 200), clumps(7, 10, 200)])
    found = first(records)
    assert found.cause == "buffering"
    # Seven gaps of 200 ms, of each nine tenths in which tokens were held back.
    assert found.ms == pytest.approx(7 * 200 * 0.9)
    assert named(records, "decode").ms == pytest.approx(7 * 200 * 0.1)
    assert "10.0 events a read (requests 6, 7)" in found.evidence


def test_a_fast_server_whose_tokens_share_reads_is_not_buffering():
    assert named(healthy(long_answer=[clumps(6, 4, 2)]), "buffering").kind == "fine"


def test_clumps_that_a_late_client_made_are_not_blamed_on_the_way():
    late = clumps(6, 10, 200)
    lags = events(
        *[(at / MS, TEXT, 4) for at in late.events.arrived_ns], reads=late.events.read.tolist(), lag_us=90_000
    )
    untold = diagnose(healthy(long_answer=[msgspec.structs.replace(late, events=lags)])).untold
    assert any(sentence.startswith("buffering: ") and "this client" in sentence for sentence in untold)


def test_an_answer_in_one_piece_is_buffering_and_hides_decode():
    whole = [asked(i, LONG_ANSWER, 900, n=96, itl=0, reads=[3] * 96) for i in (6, 7)]
    found = diagnose(healthy(long_answer=whole))
    assert found.findings[0].cause == "buffering"
    assert found.findings[0].ms == pytest.approx(850, abs=1)
    assert [sentence for sentence in found.untold if sentence.startswith(("decode", "first token"))] != []


def test_only_the_very_first_request_is_cold():
    found = first(healthy(new_connection=[fresh(0, 900), fresh(1)]))
    assert found.cause == "cold start"
    assert found.ms == pytest.approx(850, abs=1)
    assert "(request 0)" in found.evidence[0]


def test_the_shares_are_of_all_that_was_found_and_the_largest_is_first():
    found = diagnose(
        healthy(long_prompt=[asked(4, LONG_PROMPT, 350)], long_answer=[asked(6, LONG_ANSWER, 50, n=96, itl=9)])
    )
    timed = [one for one in (*found.findings, *found.fine) if one.kind == "time"]
    assert [one.cause for one in found.findings] == ["decode", "prefill", "server"]
    assert sum(one.share for one in timed) == pytest.approx(1)
    assert sum(one.ms for one in timed) == pytest.approx(found.total_ms)


def test_what_was_not_there_is_said_and_never_guessed():
    found = diagnose([asked(0, NEW_CONNECTION, 50, connection=None)])
    assert {sentence.split(":")[0] for sentence in found.untold} == {
        "distance", "DNS", "cold start", "queue", "prefill", "decode", "buffering", "rate limit",
    }  # fmt: skip
    assert [one.cause for one in found.findings] == ["server"]


def test_a_limit_that_is_nearly_used_up_is_a_warning():
    low = {"requests": Limit(limit=100, remaining=5, reset_s=12.0)}
    found = diagnose(healthy(at_once=[asked(8, CONCURRENT, 50, rate_limits=low)])).findings[-1]
    assert (found.cause, found.kind) == ("rate limit", "warning")
    assert "only 5% of it is left" in found.says
    assert found.evidence == ("5 of 100 requests left (request 8)",)


@pytest.mark.parametrize(
    ("client", "says"),
    [
        (Client(cpu_share=0.97), "busy for 97%"),
        (Client(load_per_cpu=7.5), "7.5 processes"),
        (Client(loop_lag_ms=40.0), "40.0 ms late"),
        (Client(warnings=("garbage was collected",)), "garbage was collected"),
    ],
)
def test_a_client_that_disturbs_its_figures_says_so(client, says):
    (found,) = [one for one in diagnose(healthy(), client=client).findings if one.cause == "client"]
    assert (found.cause, found.kind) == ("client", "warning")
    assert says in found.says


def test_a_clock_that_was_set_is_reported():
    assert (
        "the wall clock was set"
        in named(healthy(kept_connection=[asked(2, REUSED_CONNECTION, 50, clock_stepped=True)]), "client").says
    )


def failed(category, status=Status.NETWORK_ERROR, message="it broke", kind=None, http=None, came=None, **more):
    """came: further stamps, ms after the start."""
    return failed_record(
        status=status, category=category, http_status=http, failure=Failure(message=message, type=kind, **more),
        stamps=stamps(end=5, **(came or {})),
    )  # fmt: skip


INFORMED = {"informational": 2}


SERVED = Served(base_url="https://host.example/api", model="m")


@pytest.mark.parametrize(
    ("failure", "served", "cause", "advice"),
    [
        (failed("network_error", kind="dns"), SERVED, "name", "getent hosts host.example"),
        (failed("network_error", kind="connect", message="connection refused"), SERVED, "refused", "server running"),
        (failed("network_error", kind="connect", message="no route"), SERVED, "unreachable", "firewall"),
        (failed("network_error", kind="tls", message="certificate verify failed"), SERVED, "certificate", "--cacert"),
        (failed("network_error", kind="tls", message="wrong version number"), SERVED, "scheme", "try http://"),
        (failed("network_error", kind="proxy"), SERVED, "proxy", "--proxy"),
        (failed("timeout", kind="timeout", message="in the TLS handshake"), SERVED, "handshake", "server hang"),
        (failed("protocol_error", Status.SERVER_ERROR, "more than 100 informational answers (1xx)", "protocol",
                came=INFORMED), SERVED, "informational", "--proxy"),
        (failed("timeout", kind="timeout", came=INFORMED), SERVED, "informational", "--proxy"),
        (failed("network_error", kind="no_answer", came=INFORMED), SERVED, "informational", "--proxy"),
        (failed("protocol_error", Status.SERVER_ERROR, "the answer is not HTTP/1.1"), SERVED, "scheme", "try http://"),
        (failed("protocol_error", Status.SERVER_ERROR, "head too long"), SERVED, "protocol", "--proxy"),
        (failed("protocol_error", Status.SERVER_ERROR, "bad chunk size", http=200), SERVED, "protocol", "--proxy"),
        (failed("protocol_error", Status.SERVER_ERROR, "too many (--answer-limit kept=N)", http=200), SERVED,
         "limit", "allows more"),
        (failed("protocol_error", Status.SERVER_ERROR, "HTTP 301 Moved: it points to https://b.example", http=301),
         SERVED, "moved", "--base-url"),
        (failed("protocol_error", Status.SERVER_ERROR, "HTTP 204 No Content", http=204), SERVED, "no content", "path"),
        (failed("network_error", kind="dns", message="host '::1': it has no IPv4 address"), SERVED, "name", "-4"),
        (failed("network_error", kind="connect", message="no connection to /run/x.sock: connection refused"), SERVED,
         "socket", "--unix-socket"),
        (failed("timeout", kind="timeout", message="no connection; it was waiting for the proxy"), SERVED,
         "proxy", "HTTPS_PROXY"),
        (failed("truncated", kind="incomplete_body"), SERVED, "broken off", "load balancer"),
        (failed("auth", Status.AUTH_ERROR, http=401), SERVED, "key", "--api-key-env"),
        (failed("permission", Status.AUTH_ERROR, http=403), SERVED, "permission", "access"),
        (failed("not_found", Status.INVALID_REQUEST, "no such path", http=404),
         msgspec.structs.replace(SERVED, better_url="https://host.example/v1"), "path", "/v1 answers"),
        (failed("not_found", Status.INVALID_REQUEST, "Not Found", http=404),
         msgspec.structs.replace(SERVED, guessed_url="https://host.example/api/v1"), "path", "try --base-url"),
        (failed("not_found", Status.INVALID_REQUEST, "Not Found", http=404),
         msgspec.structs.replace(SERVED, models=("a", "b")), "model", "one of: a, b"),
        (failed("not_found", Status.INVALID_REQUEST, "The model does not exist", http=404), SERVED, "model", "--model"),
        (failed("invalid_request", Status.INVALID_REQUEST, "model is required", http=400),
         msgspec.structs.replace(SERVED, model=""), "model", "--model NAME"),
        (failed("invalid_request", Status.INVALID_REQUEST, "The plain HTTP request was sent to HTTPS port", http=400),
         msgspec.structs.replace(SERVED, base_url="http://host.example"), "scheme", "try https://"),
        (failed("rate_limited", Status.RATE_LIMITED, http=429), SERVED, "rate limit", "--adaptive"),
        (failed("quota_exceeded", Status.RATE_LIMITED, http=429), SERVED, "quota", "billing"),
        (failed("overloaded", Status.SERVER_ERROR, http=503), SERVED, "overloaded", "--retries"),
        (failed("server_error", Status.SERVER_ERROR, http=500), SERVED, "server error", "log"),
    ],
)  # fmt: skip
def test_each_way_of_failing_has_a_cause_and_something_to_try(failure, served, cause, advice):
    found = diagnose([failure], served=served)
    (finding,) = found.findings
    assert (finding.cause, finding.kind, found.answered) == (cause, "failure", 0)
    assert advice in finding.try_next


def test_failures_come_before_times_and_are_counted():
    refused = [
        failed("rate_limited", Status.RATE_LIMITED, http=429, retry_after_s=7.0),
        failed("server_error", Status.SERVER_ERROR, http=500),
        failed("server_error", Status.SERVER_ERROR, http=500),
    ]
    refused = [msgspec.structs.replace(one, index=8 + i, stage=CONCURRENT) for i, one in enumerate(refused)]
    found = diagnose(healthy(at_once=refused))
    assert [one.cause for one in found.findings[:3]] == ["server error", "rate limit", "decode"]
    assert "2 of 11 requests failed (requests 9, 10): HTTP 500" in found.findings[0].evidence[0]
    assert found.findings[1].ms == 7000
    assert found.findings[2].kind == "time"


def empty(index, stage, tokens=0, **more):
    """A stream that succeeded without any content."""
    usage = Usage(input_tokens=10, output_tokens=tokens)
    return record((), index=index, stage=stage, finish_reason="stop", usage=usage, **more)


def test_answers_without_content_come_first_and_are_counted():
    found = diagnose(healthy(new_connection=[empty(0, NEW_CONNECTION), fresh(1)], at_once=[empty(8, CONCURRENT)]))
    finding, second = found.findings[:2]
    assert (finding.cause, finding.kind, second.kind) == ("empty answer", "failure", "time")
    assert finding.says == "2 of 9 answers brought no text, reasoning or tool call"
    assert finding.evidence[0].startswith("requests 0, 8: ")
    assert finding.evidence[1:] == ("finish reason: stop",)
    assert "--log-level trace" in finding.try_next
    assert (found.answered, found.empty) == (9, 2)


def test_empty_answers_and_failures_are_in_the_order_of_their_number():
    refused = [
        msgspec.structs.replace(failed("server_error", Status.SERVER_ERROR, http=500), index=n, stage=CONCURRENT)
        for n in (8, 9)
    ]
    few, many = (
        diagnose(healthy(long_answer=[empty(6 + n, LONG_ANSWER) for n in range(k)], at_once=refused)) for k in (1, 3)
    )
    assert [one.cause for one in few.findings[:2]] == ["server error", "empty answer"]
    assert [one.cause for one in many.findings[:2]] == ["empty answer", "server error"]


def test_where_every_answer_is_empty_nothing_else_is_blamed():
    found = diagnose([empty(n, NEW_CONNECTION, tokens=16) for n in range(4)])
    (finding,) = found.findings
    assert finding.says == "4 of 4 answers brought no text, reasoning or tool call"
    assert "the server counts 64 output tokens of them" in finding.evidence
    assert "--extra-body" in finding.try_next
    assert (found.answered, found.empty, found.total_ms) == (4, 4, None)


def test_an_answer_that_was_not_streamed_is_not_empty():
    assert diagnose([*healthy(), empty(10, CONCURRENT, stream=False)]).empty == 0


def test_noise_is_no_growth():
    base = Series((100.0, 102.0, 98.0), (0, 1, 2))
    assert grew_ms(Series((106.0,), (3,)), base) is None
    assert grew_ms(Series((130.0,), (3,)), base) == 30
    assert grew_ms(Series((3.0,), (3,)), Series((1.5,), (0,))) is None


def test_figures_and_numbers_are_short():
    assert [figure(ms) for ms in (0.0012, 5.04, 99.96, 1234.5)] == ["0.001", "5.0", "100.0", "1,234"]
    assert [requests(n) for n in ([3], [3, 4, 5], [9, 6, 7, 8], [1, 5])] == [
        "request 3", "requests 3, 4, 5", "requests 6 to 9", "requests 1, 5",
    ]  # fmt: skip
