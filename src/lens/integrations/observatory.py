"""Observatory: what a program measures, pushed to where metrics are kept while it goes on measuring.

    exporter = PrometheusExporter("http://observatory:9091")
    for metrics in profiler.stream_metrics("Hello"):
        exporter.push_metrics(metrics)

Handing a request over never waits for the network: it goes into a bounded buffer, and a thread brings what
waits to the backend in batches. The thread lives only while something waits, and Python does not exit before
it has tried to send all of it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from typing import Any, Self

import trio

from lens.errors import ConfigError, TransportError
from lens.export.prometheus import Units
from lens.model import Record, RunInfo
from lens.orchestrator.run_info import new_run_info
from lens.pricing import PriceBook, standard_book
from lens.push.http import in_thread
from lens.push.push import INFLUX_DATABASE, Push, Pusher, check_push, open_push, prometheus_kind
from lens.results.request_metrics import RequestMetrics
from lens.run.async_bridge import Work, anywhere, running_library
from lens.secrets import bare_url

BATCH = 100  # requests that are sent without waiting for more
EVERY_S = 5.0  # the longest that one waits for others
WAITING_MOST = 10_000  # requests in the buffer; then the oldest go
# How soon the thread sees that the program is about to exit.
_LOOK_S = 0.2

log = logging.getLogger("lens.observatory")


class Taken:
    """What push_metrics gives: to be ignored in plain code; awaited, it waits while the buffer is over half full."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter

    def __await__(self) -> Generator[Any, Any, None]:
        return self._exporter.room().__await__()


class Exporter:
    """One backend, for as long as it is pushed to. `with` and `async with` send the rest at their end."""

    def __init__(
        self,
        push: Push,
        *,
        book: PriceBook | None = None,
        batch: int = BATCH,
        every_s: float = EVERY_S,
        waiting_most: int = WAITING_MOST,
        info: RunInfo | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """
        book: prices; by default those of the first metrics that come, or the built-in ones.
        info: who reports; by default this program on this machine.

        Raises:
            ConfigError: the URL is none, an extra is missing, or a bound is none.
        """
        check_push(push)
        if batch < 1 or waiting_most < batch or every_s < 0:
            raise ConfigError(
                f"exporter to {bare_url(push.url)}: 1 <= batch <= waiting_most and every_s >= 0 are wanted"
            )
        self._push, self._book, self._info, self._environ = push, book, info or new_run_info(), environ
        self._batch, self._every_s, self._most = batch, every_s, waiting_most
        self._pusher: Pusher | None = None
        self._waiting: deque[Record] = deque()
        self._changed = threading.Condition()
        self._sending = threading.Lock()  # one at a time speaks with the backend
        self._thread: threading.Thread | None = None
        self._held = 0  # requests that the pusher has and the backend did not take yet
        self.pushed = 0  # requests that the backend took
        self.dropped = 0  # requests that left a full buffer unsent
        self.trouble: str | None = None  # why the last batch was not taken; None when it was

    def push_metrics(self, metrics: Record | RequestMetrics) -> Taken:
        """Take one request; it is sent with the next batch. Returns at once, and may be awaited."""
        record = metrics.record if isinstance(metrics, RequestMetrics) else metrics
        with self._changed:
            if self._pusher is None:
                theirs = metrics.book if isinstance(metrics, RequestMetrics) else None
                book = self._book or theirs or standard_book()
                self._pusher = open_push(self._push, self._info, book, self._environ)
            if len(self._waiting) >= self._most:
                self._waiting.popleft()
                self.dropped += 1
            self._waiting.append(record)
            if self._thread is None:
                self._thread = threading.Thread(target=self._send_what_waits, name="lens-observatory")
                self._thread.start()
            self._changed.notify_all()
        return Taken(self)

    def flush(self) -> None:
        """Send everything that was taken, and wait for it.

        Raises:
            TransportError: the backend did not take it; it goes again with the next batch.
        """
        while self._left():
            self._send()

    async def aflush(self) -> None:
        """flush for trio and asyncio.

        Raises:
            TransportError: as flush.
        """
        await anywhere(_in_thread(self.flush))

    async def room(self) -> None:
        """Wait while the buffer is over half full: who awaits every push_metrics loses nothing to the bound."""
        if running_library() == "trio":
            await trio.lowlevel.checkpoint()
        if self._crowded():
            await anywhere(_in_thread(self._wait_for_room))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aflush()

    def __repr__(self) -> str:
        more = f", {self.dropped} dropped" if self.dropped else ""
        return f"{type(self).__name__}({bare_url(self._push.url)}, {self.pushed} pushed{more})"

    def _left(self) -> int:
        with self._changed:
            return len(self._waiting) + self._held

    def _crowded(self) -> bool:
        return len(self._waiting) > self._most // 2

    def _wait_for_room(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._crowded())

    def _send_what_waits(self) -> None:
        """Send batch after batch, until nothing waits any more or the program exits; runs in the thread."""
        while True:
            self._wait_for_batch()
            last = not threading.main_thread().is_alive()
            with suppress(TransportError):
                self._send()
            with self._changed:
                if last or not (self._waiting or self._held):
                    self._thread = None
                    break
        if self._held:
            log.warning("%d requests were never pushed: %s", self._held, self.trouble)

    def _wait_for_batch(self) -> None:
        """Wait until a batch is full, its first has waited long enough, the program exits, or a flush took all."""
        until = time.monotonic() + self._every_s
        with self._changed:
            while (left_s := until - time.monotonic()) > 0 and threading.main_thread().is_alive():
                # A backend that is away is not asked sooner because more comes.
                full = len(self._waiting) >= self._batch and self.trouble is None
                if full or not (self._waiting or self._held):
                    return
                self._changed.wait(min(left_s, _LOOK_S))

    def _send(self) -> None:
        """Bring all that waits to the backend.

        Raises:
            TransportError: it was not taken; the pusher keeps it.
        """
        with self._sending:
            with self._changed:
                taken, pusher = list(self._waiting), self._pusher
                self._waiting.clear()
                self._held += len(taken)
                self._changed.notify_all()
            if pusher is None or not self._held:
                return
            for record in taken:
                pusher.add(record)
            try:
                pusher.flush()
            except TransportError as error:
                self.trouble = str(error)
                raise
            with self._changed:
                self.pushed, self._held, self.trouble = self.pushed + self._held, 0, None
                self._changed.notify_all()


class PrometheusExporter(Exporter):
    """A Pushgateway where the port is 9091 or the path names a job, else Prometheus' remote write."""

    def __init__(self, url: str, *, gateway: bool | None = None, units: Units = "ms", **options: Any) -> None:
        """gateway: which of the two, where the address does not tell; `options` are those of Exporter."""
        kinds = {True: "push-gateway", False: "export-prometheus", None: prometheus_kind(url)}
        super().__init__(Push(kinds[gateway], url, units=units), **options)


class InfluxExporter(Exporter):
    """InfluxDB, a point a request: version 2 where the URL or the environment names a bucket, else version 1."""

    def __init__(self, url: str, database: str = INFLUX_DATABASE, **options: Any) -> None:
        super().__init__(Push("influx", url, database), **options)


class OtlpExporter(Exporter):
    """An OpenTelemetry collector over HTTP: a span a request, and the client metrics."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(Push("otlp", url), **options)


def _in_thread(call: Callable[[], None]) -> Work[None]:
    return lambda _: in_thread(call)
