"""Every route to an endpoint, on real sockets: each phase is stamped, each refusal is one clear line."""

import datetime
import re
import socket
import threading

import pytest
import trio
import trustme
from waiting import HANG_S

from lens._core.clock import now_ns
from lens.config.settings import LoadConfig, PromptConfig, RunConfig, TargetConfig
from lens.errors import ConfigError
from lens.orchestrator.engine import run_plan
from lens.orchestrator.plan import make_plan
from lens.simulator import make_script, start_thread
from lens.simulator.proxy import ProxyScript, start_proxy
from lens.simulator.server import make_tls_context
from lens.transport.endpoint import parse_endpoint, proxy_from_environment
from lens.transport.http1 import perform
from lens.transport.pool import open_pool
from lens.wire import SignalRules, WireRequest

QUICK = {"ttft": "5ms", "itl": "1ms", "tokens": 8}


@pytest.fixture
def simulator():
    """A simulator for each script a test asks for; all of them end with the test."""
    running = []

    def begin(*, tls=False, unix=None, host="127.0.0.1", **script):
        running.append(start_thread(make_script(**{**QUICK, **script}), tls=tls, unix=unix, host=host))
        return running[-1]

    yield begin
    for handle in running:
        handle.stop()


async def measure(url, *, count=1, fallback=False, load=None, **route):
    """The records of `count` requests, one after the other."""
    target = TargetConfig(provider="openai", model="m", base_url=url, **{"proxy": "", **route})
    config = RunConfig(
        targets=(target,),
        load=LoadConfig(iterations=count, concurrency=1, **(load or {})),
        prompts=PromptConfig(texts=("hi",)),
    )
    records = []
    with trio.fail_after(HANG_S):
        await run_plan(make_plan(config, {}), on_record=records.append, fallback=fallback)
    return records


@pytest.mark.parametrize("fallback", [False, True])
@pytest.mark.parametrize("tls", [False, True])
async def test_both_loops_and_both_schemes_measure_the_same_things(simulator, tls, fallback):
    handle = simulator(tls=tls)
    load = {"connection": "fresh"}
    (record,) = await measure(f"{handle.url}/v1", cacert=handle.ca_file, fallback=fallback, load=load)
    stamps = record.stamps
    assert record.category == "success"
    assert record.stamp_kind == ("read" if fallback else "kernel")
    assert sum(1 for chars in record.events.chars if chars) == 8
    assert stamps.start <= stamps.tcp_start <= stamps.tcp_end <= stamps.send_start <= stamps.first_byte <= stamps.end
    assert (stamps.tls_end is not None) is tls
    assert (record.connection.tls_version is not None) is tls
    assert record.connection.tcp_at_end.rtt_us >= 0


async def test_a_second_tls_connection_is_resumed(simulator):
    handle = simulator(tls=True)
    records = await measure(f"{handle.url}/v1", count=2, cacert=handle.ca_file, load={"connection": "fresh"})
    assert [r.connection.tls_resumed for r in records] == [False, True]


async def test_a_reused_connection_has_no_connect_phases(simulator):
    records = await measure(f"{simulator().url}/v1", count=3)
    assert [r.connection.reused for r in records] == [True, True, True]
    assert all(r.stamps.tcp_start is None for r in records)


async def test_a_connection_closed_while_idle_is_replaced_and_recorded_as_an_attempt():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        answer = b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(answer)
        taken, closed = threading.Event(), threading.Event()

        def serve() -> None:
            # The first connection answers once, and is closed when the next request is about to be sent over it.
            for _ in range(2):
                peer, _ = listener.accept()
                with peer:
                    peer.recv(65536)
                    peer.sendall(head + answer)
                    taken.wait(HANG_S)
                closed.set()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        request = WireRequest(path="/v1", headers=(), body=b"{}", signals=SignalRules(rules=(), done=b"[DONE]"))
        endpoint = parse_endpoint(url)
        exchanges = []
        with trio.fail_after(HANG_S):
            async with open_pool() as pool, trio.open_nursery() as nursery:
                exchanges.append(await perform(pool, endpoint, request))

                async def second() -> None:
                    later = now_ns() + 300_000_000
                    exchanges.append(await perform(pool, endpoint, request, before_send_at_ns=later))

                nursery.start_soon(second)
                while pool.idle_count(endpoint):
                    await trio.sleep(0.001)
                taken.set()
                closed.wait(HANG_S)  # and hold up this thread, so that nothing is sent before
        thread.join(HANG_S)
    assert [e.failure for e in exchanges] == [None, None]
    assert exchanges[1].connection.reused is False
    (stale,) = [a for a in exchanges[1].connection.attempts if a.error]
    assert "closed" in stale.error
    assert not stale.resent, "nothing was sent over it"


async def test_a_unix_socket_is_a_route(simulator, tmp_path):
    handle = simulator(unix=str(tmp_path / "s"))
    (record,) = await measure("http://localhost/v1", unix_socket=handle.unix, load={"connection": "fresh"})
    assert record.category == "success"
    assert record.connection.family == "unix"


async def test_resolve_and_connect_to_replace_the_address(simulator):
    port = simulator().port
    fresh = {"connection": "fresh"}
    (one,) = await measure(f"http://no.such.host:{port}/v1", resolve=(f"no.such.host:{port}:127.0.0.1",), load=fresh)
    (two,) = await measure("http://no.such.host:99/v1", connect_to=(f"no.such.host:99:127.0.0.1:{port}",), load=fresh)
    assert one.category == two.category == "success"


async def test_a_name_is_looked_up_and_every_address_kept(simulator):
    (record,) = await measure(f"http://localhost:{simulator().port}/v1", load={"connection": "fresh"})
    assert record.category == "success"
    assert record.stamps.dns_start <= record.stamps.dns_end <= record.stamps.tcp_start
    assert "127.0.0.1" in record.connection.addresses


@pytest.mark.parametrize("tls", [False, True])
async def test_a_proxy_is_a_phase_of_its_own(simulator, tls):
    handle = simulator(tls=tls)
    with start_proxy(ProxyScript(delay_ns=30_000_000, credentials="me:secret")) as proxy:
        (record,) = await measure(
            f"{handle.url}/v1",
            cacert=handle.ca_file,
            proxy=f"http://me:secret@127.0.0.1:{proxy.port}",
            load={"connection": "fresh"},
        )
    assert record.category == "success"
    assert record.connection.via_proxy == f"http://127.0.0.1:{proxy.port}"
    if tls:
        assert record.stamps.proxy_end - record.stamps.proxy_start >= 30_000_000
    else:  # it relays the request: there is no tunnel to wait for
        assert record.stamps.proxy_start is None
        assert record.stamps.first_byte - record.stamps.send_end >= 30_000_000
    assert [tunnel.method for tunnel in proxy.tunnels] == ["CONNECT" if tls else "POST"]
    assert "secret" not in repr(record)


async def test_plain_http_goes_through_a_tunnel_where_the_proxy_shall_reach_another_host(simulator):
    handle = simulator()
    with start_proxy() as proxy:
        records = await measure("http://other.invalid:1/v1", proxy=proxy.url, count=2,
                                connect_to=(f"other.invalid:1:127.0.0.1:{handle.port}",))  # fmt: skip
    assert [record.category for record in records] == ["success"] * 2
    assert [tunnel.method for tunnel in proxy.tunnels] == ["CONNECT"]


async def test_a_connection_to_a_relay_is_reused(simulator):
    with start_proxy() as proxy:
        records = await measure(f"{simulator().url}/v1", proxy=proxy.url, count=3)
    assert [record.category for record in records] == ["success"] * 3
    assert len(proxy.tunnels) == 1


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize(("status", "credentials"), [(403, ""), (200, "me:other")])
async def test_a_proxy_refusal_is_reported_without_the_password(simulator, status, credentials, tls):
    with start_proxy(ProxyScript(status=status, credentials=credentials)) as proxy:
        url = f"http://me:secret@127.0.0.1:{proxy.port}"
        (record,) = await measure(f"{simulator(tls=tls).url}/v1", proxy=url, load={"connection": "fresh"})
    if tls or status == 200:
        assert record.category == "network_error"
        assert "proxy" in record.failure.message
    else:  # a relay's refusal looks like the server's own
        assert record.http_status == 403
    assert "secret" not in repr(record)


async def test_an_address_with_a_zone_is_reached_and_named_without_it(simulator):
    port = simulator(host="::1").port
    (record,) = await measure(f"http://[::1%25lo]:{port}/v1")
    assert record.category == "success"
    assert parse_endpoint(f"http://[fe80::1%25eth0]:{port}").authority == f"[fe80::1]:{port}"
    (record,) = await measure(f"http://[fe80::1%25none0]:{port}/v1")
    assert "no interface is named 'none0'" in record.failure.message


async def test_an_unknown_authority_is_refused_and_the_fix_named(simulator):
    handle = simulator(tls=True)
    (record,) = await measure(f"{handle.url}/v1", load={"connection": "fresh"})
    assert record.category == "network_error"
    assert "--cacert" in record.failure.message
    (insecure,) = await measure(f"{handle.url}/v1", insecure=True, load={"connection": "fresh"})
    assert insecure.category == "success"
    assert insecure.connection.verified is False


async def test_a_wrong_name_and_an_expired_certificate_have_different_errors(tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    for cert, word in (
        (authority.issue_cert("other.example"), "mismatch"),
        (authority.issue_cert("127.0.0.1", not_after=past), "expired"),
    ):
        context = make_tls_context(tmp_path / "unused.pem", ("localhost",))
        cert.configure_cert(context)
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve(listener=listener, context=context) -> None:
                conn, _ = listener.accept()
                conn.settimeout(HANG_S)
                try:
                    context.wrap_socket(conn, server_side=True).close()
                except OSError:
                    conn.close()

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            url = f"https://127.0.0.1:{listener.getsockname()[1]}/v1"
            (record,) = await measure(url, cacert=str(tmp_path / "ca.pem"), load={"connection": "fresh"})
            thread.join(HANG_S)
        assert record.category == "network_error"
        assert word in record.failure.message


@pytest.mark.parametrize("tls", [False, True], ids=["relayed", "tunnelled"])
@pytest.mark.parametrize(
    ("user", "says"), [("", "407.*it wants a user and a password"), ("me:wrong@", "407.*it does not accept the user")]
)
async def test_a_proxy_that_wants_another_password_says_which_lacks(simulator, tls, user, says):
    with start_proxy(ProxyScript(credentials="me:right")) as proxy:
        url = f"http://{user}127.0.0.1:{proxy.port}"
        (record,) = await measure(f"{simulator(tls=tls).url}/v1", proxy=url)
    assert re.search(says, record.failure.message)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"", "closed the connection without an answer|is no HTTP proxy"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "is no HTTP proxy"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 101, "more than 100 informational"),
    ],
    ids=["nothing", "another protocol", "1xx without end"],
)
async def test_a_tunnel_that_no_proxy_opens(answer, says):
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")

        async def answer_once(stream):
            async with stream:
                await stream.receive_some(65536)
                await stream.send_all(answer)
                stream.socket.shutdown(socket.SHUT_WR)
                await stream.receive_some(1)

        nursery.start_soon(trio.serve_listeners, answer_once, [listener])
        port = listener.socket.getsockname()[1]
        (record,) = await measure("https://other.invalid/v1", proxy=f"http://127.0.0.1:{port}")
        nursery.cancel_scope.cancel()
    assert record.failure.type == "proxy"
    assert re.search(says, record.failure.message)


@pytest.mark.parametrize(
    ("limit", "script", "option"),
    [
        ({"ttft_timeout_ns": 60_000_000}, {"ttft": "5s"}, "--ttft-timeout"),
        ({"idle_timeout_ns": 60_000_000}, {"stall": "3:5s"}, "--idle-timeout"),
        ({"timeout_ns": 80_000_000}, {"itl": "1s"}, "--timeout"),
        (
            {"connect_timeout_ns": 60_000_000, "connection": "fresh"},
            {"tls": True, "tls_delay": "5s"},
            "--connect-timeout",
        ),
    ],
)
async def test_each_timeout_names_its_option(simulator, limit, script, option):
    handle = simulator(**script)
    (record,) = await measure(f"{handle.url}/v1", cacert=handle.ca_file, load=limit)
    assert record.category == "timeout"
    assert option in record.failure.message


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("ftp://host", {}),
        ("http://", {}),
        ("http://host:99999", {}),
        ("http://host", {"connect_to": ("nonsense",)}),
        ("http://host", {"resolve": ("nonsense",)}),
        ("http://host", {"proxy": "socks5://host"}),
        ("http://host/a b", {}),
        ("http://host/\u00fc", {}),
        ("http://host/v1?k=\u00fc", {}),
    ],
)
def test_an_invalid_route_is_a_config_error(url, options):
    with pytest.raises(ConfigError):
        parse_endpoint(url, **options)


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({"HTTPS_PROXY": "http://p:1"}, ("HTTPS_PROXY", "http://p:1")),
        ({"all_proxy": "http://p:1"}, ("all_proxy", "http://p:1")),
        ({"ALL_PROXY": "socks5://p", "https_proxy": "http://p:1"}, ("https_proxy", "http://p:1")),
        ({"https_proxy": "http://p:1", "NO_PROXY": "example.com"}, None),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "*"}, None),
        ({"HTTPS_PROXY": "http://p:1", "no_proxy": "other.com"}, ("HTTPS_PROXY", "http://p:1")),
        ({"HTTP_PROXY": "http://p:1"}, None),
        ({}, None),
    ],
)
def test_the_proxy_is_read_from_the_environment(environ, proxy):
    assert proxy_from_environment("https://api.example.com/v1", environ) == proxy
