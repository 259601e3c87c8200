"""The server of pages: where it listens, what it answers, and who cannot take it down."""

import errno
import resource
from contextlib import AsyncExitStack, suppress

import h11
import pytest
import trio
import trio.testing
from waiting import HANG_S

from lens import server as serving
from lens.errors import ConfigError
from lens.server import (
    HEAD_S,
    MOST_CONNECTIONS,
    Asked,
    EventStream,
    Page,
    handler_of,
    is_this_machine,
    open_listeners,
    parse_listen,
    serve,
    url_of,
)

PAGES = handler_of({"/metrics": lambda: Page(200, "text/plain", b"up 1\n")})


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        (":9464", ("0.0.0.0", 9464)),
        ("[::1]:9464", ("::1", 9464)),
        ("9464", ("127.0.0.1", 9464)),  # this machine alone, unless more is said
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_an_address_is_read_as_it_is_meant(text, address):
    assert parse_listen(text) == address


@pytest.mark.parametrize("text", ["", "localhost", "localhost:", "1.2.3.4:65536", ":\u00b3", ":" + "9" * 5000, ":-1"])
def test_what_is_no_address_is_refused_with_an_example(text):
    with pytest.raises(ConfigError, match=r"like 127\.0\.0\.1:9464"):
        parse_listen(text)


async def test_an_address_that_is_taken_is_reported():
    (taken,) = await open_listeners("127.0.0.1:0")
    async with taken:
        port = taken.socket.getsockname()[1]
        with pytest.raises(ConfigError, match=f"--listen 127.0.0.1:{port}: .*take another port"):
            await open_listeners(f"127.0.0.1:{port}")


@pytest.mark.parametrize(("listen", "host"), [("256.1.1.1:0", "256.1.1.1"), ("192.0.2.1:0", "192.0.2.1")])
async def test_an_address_of_another_machine_is_reported_as_one(listen, host):
    with pytest.raises(ConfigError, match=f"--listen {listen}: {host} is no address of this machine"):
        await open_listeners(listen)


@pytest.mark.parametrize(
    ("address", "url"), [(("127.0.0.1", 80), "http://127.0.0.1:80"), (("::1", 9464), "http://[::1]:9464")]
)
def test_the_url_of_an_address_can_be_opened(address, url):
    assert url_of(address) == url


@pytest.fixture
async def connect(nursery):
    """Opens a connection to the page."""
    listeners = await open_listeners("127.0.0.1:0")
    nursery.start_soon(serve, listeners, PAGES)
    async with AsyncExitStack() as opened:

        async def one():
            return await opened.enter_async_context(await trio.open_tcp_stream(*listeners[0].socket.getsockname()))

        yield one


async def ask(stream, http, method, target):
    """(status, headers, body) of one exchange."""
    event = h11.Request(method=method, target=target, headers=[("Host", "x")])
    await stream.send_all(http.send(event) + http.send(h11.EndOfMessage()))
    response, body = None, b""
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await stream.receive_some(65536))
        elif isinstance(event, h11.Response):
            response = event
        elif isinstance(event, h11.Data):
            body += event.data
        else:
            return response.status_code, dict(response.headers), body


async def test_one_connection_serves_one_request_after_another(connect):
    stream, http = await connect(), h11.Connection(h11.CLIENT)
    for method, target, status, body in (
        ("GET", "/metrics", 200, b"up 1\n"),
        ("GET", "/metrics?name=x", 200, b"up 1\n"),
        ("HEAD", "/metrics", 200, b""),
        ("GET", "/", 404, b"there are /metrics and /healthz\n"),
        ("POST", "/metrics", 405, b"only GET and HEAD\n"),
    ):
        found, headers, content = await ask(stream, http, method, target)
        assert (found, content) == (status, body)
        assert headers[b"cache-control"] == b"no-store"
        http.start_next_cycle()


@pytest.mark.parametrize(
    "sent",
    [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000, b"", b"GET /metr", b"\x16\x03\x01"],
)
async def test_who_sends_something_else_ends_only_its_own_connection(connect, sent):
    rude = await connect()
    with suppress(trio.BrokenResourceError), trio.fail_after(HANG_S):
        await rude.send_all(sent)
        await rude.send_eof()
        assert b"up 1" not in b"".join([part async for part in rude])
    status, _, body = await ask(await connect(), h11.Connection(h11.CLIENT), "GET", "/metrics")
    assert (status, body) == (200, b"up 1\n")


async def test_silent_clients_keep_nobody_out(connect):
    silent = [await connect() for _ in range(3 * MOST_CONNECTIONS)]
    with trio.fail_after(HANG_S):
        status, _, body = await ask(await connect(), h11.Connection(h11.CLIENT), "GET", "/metrics")
        assert (status, body) == (200, b"up 1\n")
        assert await silent[0].receive_some(1) == b"", "the one that was silent for longest had to leave"


async def test_a_client_that_never_sends_its_head_is_shown_out(autojump_clock):
    """In virtual time: a head that comes a byte at a time has no more time than one that does not come."""
    client, server = trio.testing.memory_stream_pair()
    begun = trio.current_time()
    async with trio.open_nursery() as nursery:
        door = serving._Door(1)
        await door.wait_for_place()
        nursery.start_soon(serving._connection, PAGES, door, server)
        with suppress(trio.BrokenResourceError):
            for byte in b"GET /metrics HTTP/1.1\r\nX: " + b"y" * 100:
                await client.send_all(bytes([byte]))
                await trio.sleep(1)
    assert trio.current_time() - begun <= HEAD_S + 2
    assert trio.current_time() - begun >= HEAD_S


async def test_a_page_that_cannot_be_made_is_an_answer(nursery):
    def broken():
        raise RuntimeError("no figures")

    listeners = await open_listeners("127.0.0.1:0")
    nursery.start_soon(serve, listeners, handler_of({"/metrics": broken}))
    async with await trio.open_tcp_stream(*listeners[0].socket.getsockname()) as stream:
        status, _, body = await ask(stream, h11.Connection(h11.CLIENT), "GET", "/metrics")
    assert (status, body) == (500, b"this page cannot be made: RuntimeError\n")


async def test_a_stream_of_events_goes_on_until_the_client_leaves(nursery):
    left = trio.Event()

    async def events():
        try:
            while True:
                yield b"data: 1\n\n"
                await trio.sleep(0)
        finally:
            left.set()

    async def answer(asked):
        assert (asked.method, asked.path, asked.query) == ("GET", "/live", {"a": ["1", "2"], "b": [""]})
        assert asked.first("a") == "1"
        assert asked.first("c", "otherwise") == "otherwise"
        assert asked.headers == {"host": "x"}
        return EventStream(events(), (("X-More", "yes"),))

    listeners = await open_listeners("127.0.0.1:0")
    nursery.start_soon(serve, listeners, answer)
    with trio.fail_after(HANG_S):
        async with await trio.open_tcp_stream(*listeners[0].socket.getsockname()) as stream:
            await stream.send_all(b"GET /live?a=1&a=2&b= HTTP/1.1\r\nHost: x\r\nCookie: no\r\n\r\n")
            data = b""
            while data.count(b"data: 1") < 3:
                data += await stream.receive_some()
        await left.wait()
    head = data.partition(b"\r\n\r\n")[0].lower()
    assert b"content-type: text/event-stream" in head
    assert b"x-more: yes" in head


async def test_a_query_of_too_many_fields_is_no_page(nursery):
    listeners = await open_listeners("127.0.0.1:0")
    nursery.start_soon(serve, listeners, PAGES)
    async with await trio.open_tcp_stream(*listeners[0].socket.getsockname()) as stream:
        status, _, _ = await ask(stream, h11.Connection(h11.CLIENT), "GET", "/metrics?" + "a=1&" * 500)
    assert status == 500


async def test_a_listener_out_of_descriptors_waits_for_one(autojump_clock):
    class Starved:
        accepted = 0

        async def accept(self):
            await trio.lowlevel.checkpoint()
            self.accepted += 1
            raise OSError(errno.EMFILE, "too many open files")

        async def aclose(self):
            await trio.lowlevel.checkpoint()

        async def __aenter__(self):
            return self

        async def __aexit__(self, *_):
            await self.aclose()

    starved = Starved()
    with trio.move_on_after(10):
        await serve([starved], PAGES)
    assert 50 < starved.accepted < 200, "asked again, but not without a pause"


def test_probes_keep_most_descriptors(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (80, 80))
    assert serving.most_connections() == 20
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2, 2))
    assert serving.most_connections() == 1
    monkeypatch.setattr(resource, "getrlimit", lambda _: (-1, -1))
    assert serving.most_connections() == MOST_CONNECTIONS


@pytest.mark.parametrize(
    ("host", "only_here"),
    [("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("10.1.2.3", False), ("fe80::1%lo", False)],
)
def test_an_address_that_others_reach_is_known(host, only_here):
    assert is_this_machine(host) is only_here


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/metrics", {}, 401),
        ("/metrics", {"authorization": "Bearer wrong"}, 401),
        ("/metrics", {"authorization": "Basic t0ken"}, 401),
        ("/metrics", {"authorization": "Bearer t\xf6ken"}, 401),
        ("/metrics", {"authorization": "bearer t0ken"}, 200),
        ("/none", {}, 401),
        ("/healthz", {}, 200),
    ],
)
async def test_a_token_is_asked_for_but_of_the_page_for_probes(path, headers, status):
    pages = dict.fromkeys(["/metrics", "/healthz"], lambda: Page(200, "text/plain", b"up 1\n"))
    page = await handler_of(pages, token="t0ken", without=["/healthz"])(Asked("GET", path, {}, headers))
    assert page.status == status
    assert b"t0ken" not in page.body
