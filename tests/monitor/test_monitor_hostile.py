"""A monitor with one target that means harm beside a good one: rounds, pages and the good one's figures go on."""

import contextlib
import json
import socket
import threading

import pytest
import trio
from waiting import HANG_S, limits

from lens.config.settings import LoadConfig, MonitorConfig, PromptConfig, RunConfig, TargetConfig
from lens.model import Status
from lens.monitor.daemon import Monitor, Settings, check_monitor, probe
from lens.orchestrator.stop import Stop
from lens.pricing import PriceBook
from lens.server import open_listeners
from lens.simulator import make_script, start

HEAD = b"HTTP/1.1 200 OK\r\n"
HELLO_REQUEST = b"\x16\x03\x03\x00\x04" + bytes(4)  # a record of a handshake that a client passes over
ROUNDS = 3
SOON_NS = 300_000_000


@contextlib.contextmanager
def endless(first, again, pause_s):
    """The port of a server that answers every connection with bytes that never end."""
    over = threading.Event()

    def pour(peer):
        with contextlib.suppress(OSError), peer:
            peer.recv(65536)
            peer.sendall(first)
            while not over.wait(pause_s):
                peer.sendall(again)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=pour, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        over.set()
        with contextlib.suppress(OSError):  # not every system lets go of a listener so
            listener.shutdown(socket.SHUT_RDWR)


async def page(port, path):
    """What a page says now."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return b"".join([data async for data in stream]).partition(b"\r\n\r\n")[2].decode()


async def watched(scheme, first, again, pause_s, interval_s):
    """The records of an evil target beside a good one, whether /healthz was ok meanwhile, and /metrics at the end."""
    records, healthy = [], []
    with endless(first, again, pause_s) as evil, start(make_script(ttft="5ms", itl="1ms", tokens=3)) as good:
        targets = tuple(
            TargetConfig(provider="openai-compatible", model="m", name=name, base_url=url, proxy="")
            for name, url in (("evil", f"{scheme}://127.0.0.1:{evil}/v1"), ("good", f"{good.url}/v1"))
        )
        limits = LoadConfig(connect_timeout_ns=SOON_NS, ttft_timeout_ns=SOON_NS)  # of all: a minute, as always
        config = RunConfig(
            targets=targets,
            prompts=PromptConfig(texts=("hi",)),
            load=limits,
            monitor=MonitorConfig(interval_ns=round(interval_s * 1e9), jitter=0),
        )
        monitor = Monitor(Settings(config=config, book=PriceBook()), check_monitor(config), probe, print)
        stop, listeners = Stop(), await open_listeners("127.0.0.1:0")
        port = listeners[0].socket.getsockname()[1]
        take = monitor.take
        monitor.take = lambda record: (records.append(record), take(record))

        def answered(name, *status):
            return sum(one.target == name and (not status or one.status in status) for one in records)

        with trio.fail_after(HANG_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(monitor.run, stop, listeners)
                # A busy machine may make the good one late as well; held up by the other it would never succeed.
                while min(answered("evil"), answered("good", Status.SUCCESS)) < ROUNDS or not healthy[-1]:
                    healthy.append(json.loads(await page(port, "/healthz"))["ok"])
                metrics = await page(port, "/metrics")
                ended = tuple(records)
                stop.ask("that is enough")
    return ended, healthy, metrics


@pytest.mark.parametrize(
    ("scheme", "first", "again", "pause_s"),
    [
        pytest.param("http", b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2000, 0, id="1xx without end"),
        pytest.param("http", b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", 0.01, id="1xx now and then"),
        pytest.param("https", b"", HELLO_REQUEST * 2000, 0, id="handshake records without end"),
        pytest.param("http", HEAD, b"X-More: and more\r\n", 0.01, id="a head that never ends"),
        pytest.param("http", HEAD + b"\r\n", b"data: {}\n\n" * 5000, 0, id="events without end"),
    ],
)
async def test_a_target_that_never_ends_an_answer_stops_neither_the_others_nor_the_pages(scheme, first, again, pause_s):
    for interval_s in limits(0.05):  # of a busy machine no target may answer for three short intervals
        ended, healthy, metrics = await watched(scheme, first, again, pause_s, interval_s)
        if all(healthy):
            break
    assert {one.category for one in ended if one.target == "good"} <= {"success", "timeout"}
    assert Status.SUCCESS not in {one.status for one in ended if one.target == "evil"}
    assert all(healthy)
    assert 'target="good"' in metrics
