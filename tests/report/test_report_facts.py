"""What a page says of one request besides its times: its connection, limits, tool calls and outcome."""

import msgspec
import pytest
from handmade import MS, failed_record, full_record, record

from lens.model import Attempt, CacheMiss, Connection, Judgement, Limit, Status, TcpInfo, ToolCall, Try
from lens.report.facts import connection_facts, limit_facts, outcome_facts, tool_facts


def test_a_tool_call_says_when_it_was_ready_and_how_long_nothing_came():
    calls = (
        ToolCall(name="f", first_ns=10 * MS, last_ns=90 * MS, silence_ns=4 * MS, deltas=3, gap_ns=60 * MS, valid=True),
        ToolCall(name="g", first_ns=10 * MS, last_ns=90 * MS, deltas=1, valid=False),
        ToolCall(name="whole"),
    )
    assert [says for _, says in tool_facts(record(tool_calls=calls))] == [
        "f: first 10.00 ms, ready 90.00 ms, 3 events, 4.000 ms of silence before it, 60.00 ms inside at most",
        "g: first 10.00 ms, arguments incomplete, 1 event",
    ]


def test_the_outcome_says_whether_the_answer_is_what_was_expected():
    told = dict(outcome_facts(record(judged=Judgement(valid=False, reason="the answer is not JSON")), None))
    assert told["valid"] == "no: the answer is not JSON"
    assert dict(outcome_facts(record(judged=Judgement(valid=True)), None))["valid"] == "yes"


def test_a_connection_is_told_with_its_tls_its_network_and_whose_stamps_it_has():
    assert list(connection_facts(full_record())) == [
        ("connection", "new to 192.0.2.1:443 of 2 addresses"),
        ("TLS", "TLSv1.3, TLS_AES_256_GCM_SHA384, ALPN http/1.1, full handshake"),
        ("network", "round trip 8.300 ms, least 7.900 ms, 1 segments sent again"),
        ("stamps", "the kernel's, on receipt"),
    ]
    assert list(connection_facts(record())) == []


@pytest.mark.parametrize(
    ("connection", "says"),
    [
        (
            Connection(reused=True, peer="p:1", via_proxy="proxy:3128"),
            [("connection", "reused to p:1 through proxy:3128")],
        ),
        (
            Connection(
                reused=False,
                attempts=(Attempt(address="::1", family="ipv6", start_ns=0, end_ns=1, error="refused"),),
            ),
            [("connection", "none after ::1 (refused) failed")],
        ),
        (
            Connection(reused=False, peer="p:1", tls_version="TLSv1.2", tls_resumed=True, verified=False),
            [("connection", "new to p:1"), ("TLS", "TLSv1.2, no ALPN, resumed, certificate NOT verified")],
        ),
        (
            Connection(reused=True, peer="p:1", tcp_at_send=TcpInfo(rtt_us=500, min_rtt_us=None, retransmits=0)),
            [("connection", "reused to p:1"), ("network", "round trip 0.500 ms")],
        ),
    ],
)
def test_a_connection_says_what_is_not_usual(connection, says):
    told = list(connection_facts(record(connection=connection, stamp_kind="read", clock_stepped=True)))
    assert told[:-1] == says
    assert told[-1] == ("stamps", "taken when this client read; the wall clock was set meanwhile")


def test_a_connection_without_an_answer_has_no_stamps_to_tell_of():
    unanswered = failed_record(connection=Connection(reused=False))
    unanswered = msgspec.structs.replace(unanswered, stamps=msgspec.structs.replace(unanswered.stamps, first_byte=None))
    assert list(connection_facts(unanswered)) == [("connection", "none")]


def test_limits_are_told_as_far_as_the_server_did():
    limits = {"requests": Limit(limit=1500, remaining=1499, reset_s=0.25), "tokens": Limit(limit=10), "x": Limit()}
    assert [says for _, says in limit_facts(record(rate_limits=limits))] == [
        "requests: 1,499 of 1,500 left, resets in 0.25 s",
        "tokens: ? of 10 left",
        "x: ? left",
    ]


def test_a_success_says_who_served_it_and_what_came_before():
    told = record(
        finish_reason="stop",
        served_model="gpt-4-0613",
        provider_request_id="req_1",
        tries=(Try(start_ns=0, end_ns=1, category="rate_limited", http_status=429, message="slow", wait_ns=1500 * MS),),
        cache_miss=CacheMiss(reason="prefix changed", tokens=1200),
    )
    assert list(outcome_facts(told, None)) == [
        ("retried", "HTTP 429 rate_limited: slow; waited 1.5 s"),
        ("outcome", "finish reason stop, served by gpt-4-0613, id req_1"),
        ("cache miss", "prefix changed, 1,200 tokens"),
    ]
    assert next(outcome_facts(full_record(), None)) == ("session", "s-1, turn 1 of 3")


def test_a_failure_says_why_and_when_to_come_back():
    assert list(outcome_facts(failed_record(), "Rate limit reached")) == [
        ("error", "rate_limited: Rate limit reached"),
        ("retry after", "2 s, says the server"),
    ]
    bare = failed_record(failure=None, status=Status.CANCELLED, category="cancelled")
    assert list(outcome_facts(bare, None)) == [("error", "cancelled")]
