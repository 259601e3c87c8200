"""Faults on purpose: each has the record, the message and the measurements that the table promises."""

import contextlib
import datetime
import json
import resource
import socket
import ssl
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import trio
import trustme
from fault_server import (
    FINISH,
    HEAD,
    PLAIN_HEAD,
    STREAM,
    WHOLE,
    Alert,
    Close,
    Endless,
    Notify,
    Reset,
    Wait,
    chunk,
    event,
    serving,
)
from fault_table import ELSEWHERE, FAULTS, SOME, page
from waiting import HANG_S, limits, wait_until

from lens._core.clock import now_ns
from lens.config.settings import LoadConfig, PromptConfig, RunConfig, TargetConfig
from lens.model import CONTENT, STATUS_OF_CATEGORY, resends_of
from lens.orchestrator.engine import run_plan
from lens.orchestrator.plan import make_plan
from lens.transport.endpoint import parse_endpoint
from lens.transport.http1 import perform
from lens.transport.pool import open_pool
from lens.wire import SignalRules, WireRequest

ROOT = Path(__file__).parents[2]


def measured(url, *, requests=1, load=None, after=None, **target):
    """The records of requests, one after the other; `after` is called when one has ended, and may block."""
    made = TargetConfig(provider="openai-compatible", model="m", base_url=url, **{"proxy": "", **target})
    limits = LoadConfig(iterations=requests, **{"connection": "fresh", **(load or {})})
    config = RunConfig(targets=(made,), load=limits, prompts=PromptConfig(texts=("hi",)))
    records = []

    def take(record):
        records.append(record)
        if after is not None:
            after()

    async def run():
        with trio.fail_after(HANG_S):
            await run_plan(make_plan(config, {}), on_record=take)

    trio.run(run)
    return records


def tokens_of(record):
    events = record.events
    return sum(bool(s & int(CONTENT) and c) for s, c in zip(events.signals, events.chars, strict=True))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_what_a_server_does_wrong(fault):
    least = 2 if fault.tokens == SOME else fault.tokens
    for times in limits(1):
        load = {name: int(at * times) if name.endswith("_ns") else at for name, at in (fault.load or {}).items()}
        with serving(fault.steps) as port:
            (record,) = measured(f"http://127.0.0.1:{port}/v1", load=load)
        said = record.failure.message if record.failure else ""
        if tokens_of(record) >= least and fault.says in said:  # else the server had not got to send anything
            break
    assert record.category == fault.category
    assert record.status is STATUS_OF_CATEGORY[fault.category]
    assert (record.failure is None) == (fault.category == "success")
    assert fault.says in said
    assert tokens_of(record) >= 2 if fault.tokens == SOME else tokens_of(record) == fault.tokens
    assert record.stamps.send_end is not None, "the request was sent, and that is kept"
    assert record.stamps.end is not None


def test_what_is_endless_is_not_kept():
    """An event without end and headers without end cost no memory."""
    code = (
        "import resource, sys; sys.path[:0] = sys.argv[1:]\n"
        "from test_faults import FAULTS, measured, serving\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for fault in FAULTS:\n"
        "    if 'without end' in fault.name and not fault.load:\n"
        "        with serving(fault.steps) as port:\n"
        "            measured(f'http://127.0.0.1:{port}/v1')\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    here = Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", code, here, here.parent], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 60_000, "KiB: an event may grow to 16 MiB before it is refused"


def test_nobody_listens():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        (record,) = measured(f"http://127.0.0.1:{probe.getsockname()[1]}/v1")
    assert (record.category, record.failure.type) == ("network_error", "connect")
    assert "refused" in record.failure.message


def test_a_name_that_does_not_exist():
    (record,) = measured("http://nobody.invalid/v1")
    assert (record.category, record.failure.type) == ("network_error", "dns")
    assert "nobody.invalid" in record.failure.message
    assert record.stamps.dns_end >= record.stamps.dns_start


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def tls_of(authority, *names, **more):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **more).configure_cert(context)
    return context


@pytest.mark.parametrize("fault", ["expired", "another host's", "an unknown authority's"])
def test_a_certificate_that_is_not_good(authority, tmp_path, fault):
    trusted = trustme.CA() if fault == "an unknown authority's" else authority
    trusted.cert_pem.write_to_path(tmp_path / "ca.pem")
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    more = {"not_before": yesterday - datetime.timedelta(days=1), "not_after": yesterday} if fault == "expired" else {}
    context = tls_of(authority, "elsewhere.example" if fault == "another host's" else "127.0.0.1", **more)
    with serving((WHOLE,), context=context) as port:
        (record,) = measured(f"https://127.0.0.1:{port}/v1", cacert=str(tmp_path / "ca.pem"), load={"retries": 3})
    assert (record.category, record.failure.type) == ("network_error", "tls")
    assert record.tries == (), "a bad certificate is not worth a retry"
    assert record.stamps.tcp_end is not None


def test_a_tls_connection_that_is_cut(authority, tmp_path):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    steps = (HEAD + chunk(event("a") + event("b")), Wait(0.05), Close)
    with serving(steps, context=tls_of(authority, "127.0.0.1")) as port:
        (record,) = measured(f"https://127.0.0.1:{port}/v1", cacert=str(tmp_path / "ca.pem"))
    assert record.category == "truncated"
    assert tokens_of(record) == 2


@pytest.mark.parametrize(
    ("last", "end", "category"),
    [(b"", Close, "truncated"), (FINISH, Close, "success"), (FINISH, Notify, "success")],
    ids=["cut", "the protocol has ended", "close_notify"],
)
def test_a_body_that_lasts_until_the_close_over_tls(authority, tmp_path, last, end, category):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    steps = (PLAIN_HEAD + b"\r\n" + event("a") + event("b") + last, Wait(0.05), end)
    with serving(steps, context=tls_of(authority, "127.0.0.1")) as port:
        (record,) = measured(f"https://127.0.0.1:{port}/v1", cacert=str(tmp_path / "ca.pem"))
    assert record.category == category
    assert ("no close_notify" in (record.failure.message if record.failure else "")) is (category == "truncated")
    assert tokens_of(record) == 2


def test_a_tls_alert_in_the_middle_of_the_stream(authority, tmp_path):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    steps = (HEAD + chunk(event("a") + event("b")), Wait(0.05), Alert)
    with serving(steps, context=tls_of(authority, "127.0.0.1")) as port:
        (record,) = measured(f"https://127.0.0.1:{port}/v1", cacert=str(tmp_path / "ca.pem"))
    assert record.category == "truncated"
    assert "inside the body: alert bad record mac" in record.failure.message
    assert tokens_of(record) == 2


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_certificate_that_is_wanted(authority, tmp_path, version):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = tls_of(authority, "127.0.0.1")
    context.maximum_version, context.verify_mode = version, ssl.CERT_REQUIRED
    with serving((WHOLE,), context=context) as port:
        (record,) = measured(f"https://127.0.0.1:{port}/v1", cacert=str(tmp_path / "ca.pem"))
    assert (record.category, record.failure.type) == ("network_error", "tls")
    assert "does it want a client certificate (--cert FILE)?" in record.failure.message


def test_a_proxy_that_refuses():
    with serving((b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", Close)) as port:
        (record,) = measured("https://api.example/v1", proxy=f"http://127.0.0.1:{port}")
    assert (record.category, record.failure.type) == ("network_error", "proxy")
    assert "403" in record.failure.message


LENGTH_BODY = PLAIN_HEAD + b"Content-Length: %d\r\n\r\n" % len(STREAM) + STREAM
REUSE = {"connection": "reuse", "concurrency": 1, "connections": 0}


def test_a_kept_connection_that_died():
    done = []
    with serving((LENGTH_BODY, Close), (LENGTH_BODY,), done=done) as port:
        load = {**REUSE, "concurrency": None, "rate_per_s": 5.0}
        url, closed = f"http://127.0.0.1:{port}/v1", partial(wait_until, lambda: done)
        first, second = measured(url, requests=2, load=load, after=closed)
    assert first.status == second.status == "Success"
    assert not second.connection.reused
    assert second.tries == (), "that is no retry: the request had never been taken"


@pytest.mark.parametrize("end", [Close, Reset])
def test_a_kept_connection_that_ends_after_the_request_was_read(end):
    read = []
    with serving((LENGTH_BODY,), (Wait(0.1), end), read=read) as port:
        first, second = measured(f"http://127.0.0.1:{port}/v1", requests=2, load=REUSE)
    assert (first.category, second.category) == ("success", "network_error")
    assert "without an answer" in second.failure.message
    assert len(read) == 2, "it is not sent again in silence"


def test_what_was_sent_again_before_a_retry_is_said():
    refused = b"HTTP/1.1 429 Slow\r\nRetry-After: 0\r\nContent-Length: 2\r\n\r\n{}"
    for _ in range(20):  # a reset that comes late is no end of an idle connection: then nothing is sent again
        read = []
        with serving((LENGTH_BODY,), (Reset,), (refused,), (LENGTH_BODY,), read=read) as port:
            records = measured(f"http://127.0.0.1:{port}/v1", requests=2, load={**REUSE, "retries": 2})
        assert len(read) == sum(1 + len(one.tries) + resends_of(one) for one in records)
        if records[1].tries[0].resent:
            break
    second = records[1]
    assert (second.category, [one.category for one in second.tries]) == ("success", ["rate_limited"])
    assert second.tries[0].resent == 1
    assert any("sent again over a new connection" in one for one in second.warnings)


def test_a_timeout_of_the_server_ends_a_kept_connection():
    timeout = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"
    done = []
    with serving((LENGTH_BODY, Wait(0.02), timeout), (LENGTH_BODY,), done=done) as port:
        load = {**REUSE, "concurrency": None, "rate_per_s": 5.0}
        url, came = f"http://127.0.0.1:{port}/v1", partial(wait_until, lambda: done)
        first, second = measured(url, requests=2, load=load, after=came)
    assert (first.category, second.category) == ("success", "success")
    assert not second.connection.reused


@pytest.mark.parametrize("connections", [0, 1], ids=["of an earlier answer", "opened ahead"])
def test_garbage_on_a_kept_connection_is_the_answer(connections):
    read = []
    steps = ((b"hello\n", Close),) if connections else ((LENGTH_BODY,), (b"hello\n", Close))
    with serving(*steps, read=read) as port:
        load = {**REUSE, "connections": connections}
        *_, last = measured(f"http://127.0.0.1:{port}/v1", requests=len(steps), load=load)
    assert (last.category, last.connection.reused) == ("protocol_error", True)
    assert "is not HTTP/1.1" in last.failure.message
    assert len(read) == len(steps), "it is not sent again"


@pytest.mark.parametrize("wait_s", [0, 0.02], ids=["at once", "after many times the round trip"])
def test_a_408_on_a_kept_connection_is_its_end_however_soon_it_comes(wait_s):
    timeout = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    with serving((LENGTH_BODY,), (Wait(wait_s), timeout, Close), (LENGTH_BODY,)) as port:
        first, second = measured(f"http://127.0.0.1:{port}/v1", requests=2, load=REUSE)
    assert (first.category, second.category, second.connection.reused) == ("success", "success", False)
    assert "the peer had ended the idle connection with HTTP 408" in second.warnings[0]


def test_a_success_before_the_request_was_sent_is_none():
    sent_ns = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            peer, _ = listener.accept()
            with contextlib.suppress(OSError), peer:
                peer.sendall(WHOLE)
                sent_ns.append(now_ns())
                while peer.recv(65536):
                    pass

        request = WireRequest(path="/v1", headers=(), body=b"{}", signals=SignalRules(rules=()))
        endpoint = parse_endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")

        async def ask(at_ns):
            async with open_pool() as pool:
                with trio.fail_after(HANG_S):
                    return await perform(pool, endpoint, request, before_send_at_ns=at_ns)

        for ahead_s in limits(0.2):
            threading.Thread(target=serve, daemon=True).start()
            at_ns = now_ns() + int(ahead_s * 1e9)
            exchange = trio.run(ask, at_ns)
            wait_until(lambda: sent_ns)
            if sent_ns.pop() < at_ns:  # else the server was late
                break
    assert exchange.category == "protocol_error"
    assert "came before the request was sent" in exchange.failure.message


def test_no_file_descriptors_left(tmp_path):
    out = tmp_path / "run.json"
    with serving((HEAD + chunk(STREAM), Wait(0.5), b"0\r\n\r\n")) as port:
        words = ["--base-url", f"http://127.0.0.1:{port}/v1", "-m", "m", "-n", "60", "-c", "60", "--ui", "none"]
        done = subprocess.run(
            [sys.executable, "-m", "lens", "benchmark", *words, "--connection", "fresh", "-o", str(out)],
            capture_output=True, text=True, timeout=HANG_S,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48)),
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())["requests"]
    assert len(found) == 60
    failed = [one for one in found if one["status"] != "Success"]
    assert 0 < len(failed) < 60
    assert all("ulimit -n" in one["error"] for one in failed)


def test_a_slow_reader_of_an_export():
    read = []
    with serving((HEAD + chunk(STREAM), b"0\r\n\r\n"), read=read) as port:
        words = ["--base-url", f"http://127.0.0.1:{port}/v1", "-m", "m", "-n", "400", "-c", "4", "--ui", "none"]
        process = subprocess.Popen(
            [sys.executable, "-m", "lens", "benchmark", *words, "-e", "jsonl"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        # Nobody reads: the pipe is full long before, and the requests go on.
        wait_until(lambda: len(read) >= 400)
        text, _ = process.communicate(timeout=HANG_S)
    rows = [json.loads(line) for line in text.splitlines()]
    requests = [row for row in rows if "ttft_ms" in row]
    assert process.returncode == 0
    assert len(requests) == 400, "the pipe held nothing up"
    assert sum(len(line) for line in text.splitlines()) > 1 << 16, "more than a pipe takes"


def test_the_page_is_made_from_the_table():
    assert (ROOT / "docs" / "faults.md").read_text() == page(), "run: make faults"


@pytest.mark.parametrize("one", ELSEWHERE, ids=lambda one: one.name)
def test_what_is_tested_elsewhere_is_there(one):
    path, _, name = one.test.partition("::")
    assert f"def {name}" in (ROOT / path).read_text()


def test_a_proxy_that_sends_1xx_without_end():
    with serving((Endless(b"HTTP/1.1 100 Continue\r\n\r\n" * 2000), Close)) as port:
        (record,) = measured("https://api.example/v1", proxy=f"http://127.0.0.1:{port}")
    assert (record.category, record.failure.type) == ("network_error", "proxy")
    assert "more than 100 informational answers" in record.failure.message


HELLO_REQUEST = b"\x16\x03\x03\x00\x04" + bytes(4)  # which a client passes over, however many come
HALF_HELLO = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc"  # the beginning of a ServerHello that is long


@pytest.mark.parametrize("last", [HELLO_REQUEST * 5000, b"\x03"], ids=["flood", "trickle"])
def test_a_tls_handshake_that_never_ends(last):
    """Neither a flood of records nor one that trickles outlasts --connect-timeout."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with contextlib.suppress(OSError):
                peer, _ = listener.accept()
                with peer:
                    peer.recv(65536)
                    peer.sendall(b"" if len(last) > 1 else HALF_HELLO)
                    while True:
                        peer.sendall(last)
                        time.sleep(0 if len(last) > 1 else 0.02)

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/v1"
        (record,) = measured(url, load={"connect_timeout_ns": 300_000_000})
        server.join(HANG_S)
    assert record.category == "timeout"
    assert "(--connect-timeout); it was in the TLS handshake" in record.failure.message
