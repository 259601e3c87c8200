"""Every fault, how it is caused, and what is expected of it: the one source of the test and of docs/faults.md.

python tests/faults/fault_table.py > docs/faults.md
"""

import gzip
import zlib
from typing import NamedTuple

from fault_rows import ROWS
from fault_server import (
    FINISH,
    HEAD,
    PLAIN_HEAD,
    STREAM,
    WHOLE,
    Close,
    Endless,
    Reset,
    Silence,
    Trickle,
    Wait,
    chunk,
    event,
)

OK = "success"
SOME = -1  # tokens: at least two, how many depends on the moment


class Fault(NamedTuple):
    """One row."""

    name: str
    steps: tuple  # what the server does
    category: str
    says: str = ""  # a part of the message; empty where there is none
    tokens: int = 0  # content events that were measured all the same
    load: dict | None = None  # limits of the client


LIMIT = 300_000_000
FOR_EVER = 10_000  # times; the client leaves long before
PACKED = gzip.compress(STREAM, mtime=0)
# Two events, flushed, and nothing of the end.
_packer = zlib.compressobj(wbits=31)
CUT_PACKED = _packer.compress(event("a") + event("b")) + _packer.flush(zlib.Z_SYNC_FLUSH)
BOMB = gzip.compress(b"\n" * (40 << 20), mtime=0)
EVENTS_BOMB = gzip.compress(b"data:\n\n" * 1_100_000, mtime=0)
FAULTS = [
    Fault("a reset before any answer", (Reset,), "network_error", "reset the connection without an answer"),
    Fault("an end without any answer", (Close,), "network_error", "closed the connection without an answer"),
    Fault(
        "an end inside the head", (HEAD[:40], Close), "network_error", "closed the connection inside the response head"
    ),
    Fault("an end after the head", (HEAD, Close), "truncated", "closed the connection inside the body"),
    Fault(
        "an end inside an event",
        (HEAD + chunk(event("a") + event("b")[:20]), Close),
        "truncated",
        "closed the connection inside the body",
        1,
    ),
    Fault(
        "an end between two events",
        (HEAD + chunk(event("a") + event("b")), Close),
        "truncated",
        "closed the connection inside the body",
        2,
    ),
    Fault(
        "a reset in the middle of the stream",
        (HEAD + chunk(event("a") + event("b")), Wait(0.05), Reset),
        "truncated",
        "reset the connection inside the body",
        2,
    ),
    Fault(
        "an end of the body, but not of the protocol",
        (HEAD + chunk(event("a") + event("b")) + b"0\r\n\r\n", Close),
        "truncated",
        "without a finish reason or its end marker",
        2,
    ),
    Fault("silence after the request", (Silence,), "timeout", "--ttft-timeout", 0, {"ttft_timeout_ns": LIMIT}),
    Fault("silence after the head", (HEAD, Silence), "timeout", "--ttft-timeout", 0, {"ttft_timeout_ns": LIMIT}),
    Fault(
        "silence after two tokens",
        (HEAD + chunk(event("a") + event("b")), Silence),
        "timeout",
        "--idle-timeout",
        2,
        {"idle_timeout_ns": LIMIT},
    ),
    Fault(
        "pings, and never a token",
        (HEAD, *[chunk(b": ping\n\n"), Wait(0.1)] * FOR_EVER),
        "timeout",
        "--ttft-timeout",
        0,
        {"ttft_timeout_ns": LIMIT},
    ),
    Fault(
        "tokens without end",
        (HEAD + chunk(event("a")), *[chunk(event("a")), Wait(0.05)] * FOR_EVER),
        "timeout",
        "--timeout",
        SOME,
        {"timeout_ns": LIMIT},
    ),
    Fault("an answer a byte at a time", (Trickle(WHOLE),), OK, tokens=3),
    Fault(
        "an event of 10 MB", (HEAD + chunk(event("x" * 10_000_000) + event("b") + FINISH) + b"0\r\n\r\n",), OK, tokens=2
    ),
    Fault(
        "headers without end",
        (b"HTTP/1.1 200 OK\r\n", Endless(b"X-More: and more\r\n" * 100)),
        "protocol_error",
        "head too long",
    ),
    Fault(
        "an event without end", (PLAIN_HEAD + b"\r\ndata: ", Endless(b"x" * 65536)), "protocol_error", "event too long"
    ),
    Fault(
        "a Content-Length that is too large",
        (PLAIN_HEAD + b"Content-Length: 99999\r\n\r\n" + STREAM, Close),
        OK,
        tokens=3,
    ),
    Fault(
        "a Content-Length that is too small",
        (PLAIN_HEAD + b"Content-Length: %d\r\n\r\n" % (len(event("a")) + 5) + STREAM, Close),
        "truncated",
        "without a finish reason or its end marker",
        1,
    ),
    Fault(
        "two different Content-Lengths",
        (PLAIN_HEAD + b"Content-Length: 5\r\nContent-Length: 7\r\n\r\n" + STREAM, Close),
        "protocol_error",
        "Content-Length",
    ),
    Fault(
        "a chunk size that is none",
        (HEAD + chunk(event("a")) + b"zz\r\n", Close),
        "protocol_error",
        "bad chunk size",
        1,
    ),
    Fault(
        "a chunk longer than its size",
        (HEAD + b"3\r\n" + event("a") + b"\r\n", Close),
        "protocol_error",
        "bad chunk end",
    ),
    Fault("trailers", (HEAD + chunk(STREAM) + b"0\r\nX-Sum: 1\r\n\r\n",), OK, tokens=3),
    Fault(
        "100 Continue and 103 Early Hints first",
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + WHOLE,),
        OK,
        tokens=3,
    ),
    Fault(
        "1xx without end",
        (Endless(b"HTTP/1.1 100 Continue\r\n\r\n" * 2000),),
        "protocol_error",
        "more than 100 informational answers (1xx)",
    ),
    Fault(
        "1xx now and then, and never the answer",
        (*[b"HTTP/1.1 103 Early Hints\r\n\r\n", Wait(0.1)] * FOR_EVER,),
        "timeout",
        "only informational heads (1xx) had come",
        0,
        {"ttft_timeout_ns": LIMIT},
    ),
    Fault(
        "an end after 100 Continue",
        (b"HTTP/1.1 100 Continue\r\n\r\n", Close),
        "network_error",
        "only informational heads (1xx) had come",
    ),
    Fault(
        "a gzip bomb of newlines",
        (PLAIN_HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB,),
        "protocol_error",
        "--answer-limit ratio=N",
    ),
    Fault(
        "a gzip bomb of empty events",
        (PLAIN_HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(EVENTS_BOMB) + EVENTS_BOMB,),
        "protocol_error",
        "--answer-limit events=N",
    ),
    Fault(
        "more events than the limit",
        (HEAD + chunk(event("a") * 20 + FINISH) + b"0\r\n\r\n",),
        "protocol_error",
        "--answer-limit events=N",
        10,
        {"answer_limits": {"events": 10}},
    ),
    Fault(
        "more token counts than can be kept",
        (HEAD + chunk(FINISH.removesuffix(b"data: [DONE]\n\n") * 50) + b"0\r\n\r\n",),
        "protocol_error",
        "--answer-limit kept=N",
        0,
        {"answer_limits": {"kept": 1000}},
    ),
    Fault(
        "more bytes in gzip than the limit",
        (PLAIN_HEAD + b"Content-Encoding: gzip\r\n\r\n" + CUT_PACKED, Silence),
        "protocol_error",
        "--answer-limit inflated=N",
        2,
        {"answer_limits": {"inflated": 100}},
    ),
    Fault("204 No Content", (b"HTTP/1.1 204 No Content\r\n\r\n",), "protocol_error", "HTTP 204 No Content"),
    Fault(
        "a redirect",
        (b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /v2\r\nContent-Length: 0\r\n\r\n",),
        "protocol_error",
        "it points to /v2; give that as --base-url",
    ),
    Fault(
        "gzip, not requested",
        (PLAIN_HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(PACKED) + PACKED,),
        OK,
        tokens=3,
    ),
    Fault(
        "gzip that is none",
        (PLAIN_HEAD + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!",),
        "protocol_error",
        "bad compressed data",
    ),
    Fault(
        "gzip without its end, in a body of its full length",
        (PLAIN_HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(CUT_PACKED) + CUT_PACKED,),
        "truncated",
        "before the end of the compressed data",
        2,
    ),
    Fault(
        "gzip without its end, until the close",
        (PLAIN_HEAD + b"Content-Encoding: gzip\r\n\r\n" + CUT_PACKED, Close),
        "truncated",
        "before the end of the compressed data",
        2,
    ),
    Fault(
        "br, not requested",
        (PLAIN_HEAD + b"Content-Encoding: br\r\nContent-Length: 3\r\n\r\nabc",),
        "protocol_error",
        "Content-Encoding 'br'",
    ),
    Fault("HTTP/1.0", (b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + STREAM, Close), OK, tokens=3),
    Fault("something that is not HTTP", (b"SSH-2.0-OpenSSH_9.6\r\n", Close), "protocol_error", "not HTTP/1.1"),
    Fault(
        "an event that is not JSON",
        (HEAD + chunk(event("a") + b"data: {nope\n\n" + event("b") + FINISH) + b"0\r\n\r\n",),
        "protocol_error",
        "not valid JSON",
        1,  # where its text ends, too
    ),
    Fault(
        "an error in the middle of the stream",
        (
            HEAD
            + chunk(event("a") + b'data: {"error":{"message":"out of slots","type":"server_error"}}\n\n')
            + b"0\r\n\r\n",
        ),
        "stream_error",
        "out of slots",
        1,
    ),
    Fault(
        "a web page",
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>",),
        "protocol_error",
        "is the base URL that of an API?",
    ),
    Fault("an empty stream", (HEAD + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n",), "empty", "ended without any content"),
    Fault("401", (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",), "auth", "401"),
    Fault(
        "429 with Retry-After",
        (
            b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 40\r\n\r\n"
            b'{"error":{"message":"slow down please"}}',
        ),
        "rate_limited",
        "slow down please",
    ),
    Fault("503", (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",), "server_error", "503"),
]


class Elsewhere(NamedTuple):
    """A fault that is more than what a server sends: what is expected, and the test that causes it."""

    name: str
    expected: str
    test: str


_HERE, _NET = "tests/faults/test_faults.py", "tests/network/test_network_realism.py"
ELSEWHERE = [
    Elsewhere("no listener", "`network_error`: refused, with the address", f"{_HERE}::test_nobody_listens"),
    Elsewhere(
        "a name that does not exist",
        "`network_error` of kind dns, with the time the lookup took",
        f"{_HERE}::test_a_name_that_does_not_exist",
    ),
    Elsewhere(
        "a slow name server",
        "charged to dns_resolution_ms alone",
        f"{_NET}::test_each_phase_is_charged_with_what_the_distance_costs_it",
    ),
    Elsewhere(
        "an IPv6 address that swallows everything",
        "the IPv4 address is tried after 250 ms; both attempts are reported",
        f"{_NET}::test_an_address_that_swallows_everything_costs_a_head_start_and_no_more",
    ),
    Elsewhere(
        "lost segments",
        "sent again by the kernel; counted in retransmits",
        f"{_NET}::test_what_the_wire_loses_is_sent_again_and_reported",
    ),
    Elsewhere(
        "an expired certificate, another host's, an unknown authority's",
        "`network_error` of kind tls; no retry",
        f"{_HERE}::test_a_certificate_that_is_not_good",
    ),
    Elsewhere(
        "a connection cut inside a TLS record",
        "`truncated`, what had come is kept",
        f"{_HERE}::test_a_tls_connection_that_is_cut",
    ),
    Elsewhere(
        "a TLS connection that ends without close_notify, in a body that lasts until the close",
        "`truncated`, what had come is kept; with close_notify, or the protocol's own end, a success",
        f"{_HERE}::test_a_body_that_lasts_until_the_close_over_tls",
    ),
    Elsewhere(
        "a fatal TLS alert in the middle of the stream",
        "`truncated`, with the alert's name; what had come is kept",
        f"{_HERE}::test_a_tls_alert_in_the_middle_of_the_stream",
    ),
    Elsewhere(
        "a client certificate that is wanted, and none given",
        "`network_error` of kind tls, which names --cert",
        f"{_HERE}::test_a_client_certificate_that_is_wanted",
    ),
    Elsewhere(
        "a proxy that refuses", "`network_error` of kind proxy, with its status", f"{_HERE}::test_a_proxy_that_refuses"
    ),
    Elsewhere(
        "1xx without end from a proxy",
        "`network_error` of kind proxy after 100 of them",
        f"{_HERE}::test_a_proxy_that_sends_1xx_without_end",
    ),
    Elsewhere(
        "a flood of TLS handshake records, or one that trickles",
        "`timeout` after --connect-timeout",
        f"{_HERE}::test_a_tls_handshake_that_never_ends",
    ),
    Elsewhere(
        "a kept connection that died meanwhile",
        "asked over a new one; the request succeeds",
        f"{_HERE}::test_a_kept_connection_that_died",
    ),
    Elsewhere(
        "a kept connection that ends after the request was read",
        "`network_error`; the request is not sent again",
        f"{_HERE}::test_a_kept_connection_that_ends_after_the_request_was_read",
    ),
    Elsewhere(
        "garbage in place of an answer on a kept connection",
        "`protocol_error`; the request is not sent again",
        f"{_HERE}::test_garbage_on_a_kept_connection_is_the_answer",
    ),
    Elsewhere(
        "408 on a kept connection",
        "its end: the request is sent over a new one; after a second and more it is the answer",
        f"{_HERE}::test_a_timeout_of_the_server_ends_a_kept_connection",
    ),
    Elsewhere(
        "200 before the request was sent",
        "no success",
        f"{_HERE}::test_a_success_before_the_request_was_sent_is_none",
    ),
    Elsewhere(
        "no file descriptors left",
        "`network_error` that names the limit; the others go on",
        f"{_HERE}::test_no_file_descriptors_left",
    ),
    Elsewhere(
        "a reader of the export that is slow",
        "the run ends all the same, its figures are not touched",
        f"{_HERE}::test_a_slow_reader_of_an_export",
    ),
    Elsewhere(
        "the wall clock is set",
        "stamps of the read instead of the kernel's; reported in the record and the summary",
        "tests/core/test_core_reactor.py",
    ),
    Elsewhere(
        "a worker is killed",
        "exit code 3; its death and what is missing are reported, the rest is kept",
        "tests/orchestrator/test_workers.py::test_a_killed_worker_is_told_and_the_rest_is_kept",
    ),
    Elsewhere(
        "a full disk",
        "exit code 2; the results are saved elsewhere, and the message says where",
        "tests/cli/test_cli_nothing_is_lost.py",
    ),
    *[Elsewhere(*row) for row in ROWS],
]


def page() -> str:
    """docs/faults.md."""
    lines = [
        "# Faults", "",
        "The outcome of a request in each failure. Made by `make faults` from `tests/faults/`;",
        "each row is a test. A record is written in every case, with what had been measured.", "",
        "| what the server does | category | what is said | tokens measured |", "|---|---|---|---|",
    ]  # fmt: skip
    for fault in FAULTS:
        tokens = "some" if fault.tokens == SOME else str(fault.tokens)
        lines.append(f"| {fault.name} | {fault.category} | {fault.says.replace('|', '/')} | {tokens} |")
    lines += ["", "| what happens | what is expected | tested in |", "|---|---|---|"]
    lines += [f"| {one.name} | {one.expected} | `{one.test}` |" for one in ELSEWHERE]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(page(), end="")
