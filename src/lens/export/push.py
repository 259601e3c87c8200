"""Pushes of records to where metrics are kept: Pushgateway, Prometheus, InfluxDB, OTLP over HTTP.

A Pusher takes records one by one and sends what they came to whenever it is told to: once at the end of a
run, or again and again while a monitor goes on. Nothing is sent before flush, and nothing that a backend
did not take is forgotten, up to a limit. Credentials come from the URL or the environment and appear in no
message.
"""

from __future__ import annotations

import abc
import gzip
import os
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from lens.errors import ConfigError
from lens.export.influx import InfluxPoints
from lens.export.otlp import SPANS_A_LINE, OtlpSignals
from lens.export.post import BUDGET_S, Request, basic, send, shown
from lens.export.prometheus import CONTENT_TYPE, PrometheusMetrics, Units, exposition
from lens.export.remote_write import compressor, write_request
from lens.metrics.builder import BATCH, table_of
from lens.metrics.table import Table
from lens.model import Record, RunInfo
from lens.pricing import PriceBook

JOB = "llm_latency_lens"
# Lines of InfluxDB's protocol in one request, as its documentation recommends.
INFLUX_LINES = 5000
INFLUX_DATABASE = "llm_metrics"  # PLAN 6.1.3
# Lines or spans that wait for a backend which is away; then the oldest go.
WAITING_MOST = 200_000


class Push(NamedTuple):
    """One backend: which kind, and where."""

    kind: str
    url: str
    database: str | None = None
    units: Units = "ms"


class Pusher(Protocol):
    """One backend while a run or a monitor goes on."""

    def add(self, record: Record) -> None:
        """Take a record; nothing is sent."""

    def flush(self) -> None:
        """Send what has come.

        Raises:
            TransportError: the backend did not take it; it is tried again with the next flush.
        """


class _Tables(abc.ABC):
    """Records come one by one and are evaluated as tables."""

    def __init__(self, info: RunInfo, book: PriceBook) -> None:
        self._info, self._book = info, book
        self._come: list[Record] = []

    def add(self, record: Record) -> None:
        self._come.append(record)
        if len(self._come) >= BATCH:
            self._evaluate()

    def _evaluate(self) -> None:
        """Take what has come since the last time."""
        if self._come:
            come, self._come = self._come, []
            self._take(table_of(come, self._info, self._book))

    @abc.abstractmethod
    def _take(self, table: Table) -> None: ...


class _State(_Tables):
    """Backends that are told the state so far: every flush says all of it again."""

    def __init__(self, push: Push, info: RunInfo, book: PriceBook) -> None:
        super().__init__(info, book)
        self._push = push
        self._metrics = PrometheusMetrics(push.units)

    def _take(self, table: Table) -> None:
        self._metrics.add(table)

    def flush(self) -> None:
        self._evaluate()
        send(self._request())

    def _request(self) -> Request:
        families = self._metrics.families()
        if self._push.kind == "push-gateway":
            url = gateway_url(self._push.url, self._info)
            return Request("PUT", url, {"Content-Type": CONTENT_TYPE}, exposition(families))
        path = urlsplit(self._push.url).path.rstrip("/")
        url = self._push.url if path else f"{self._push.url.rstrip('/')}/api/v1/write"
        headers = {
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "snappy",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
        }
        body = write_request(families, round(time.time() * 1000), {"job": JOB, "instance": _instance(self._info)})
        return Request("POST", url, headers, body)


class _Points(_Tables):
    """InfluxDB: version 2 where the URL or the environment names a bucket, else version 1."""

    def __init__(self, push: Push, info: RunInfo, book: PriceBook, environ: Mapping[str, str]) -> None:
        super().__init__(info, book)
        self._url, self._headers = influx_address(push, environ)
        self._points = InfluxPoints()
        self._lines: list[bytes] = []

    def _take(self, table: Table) -> None:
        self._lines += self._points.lines(table)
        del self._lines[:-WAITING_MOST]

    def flush(self) -> None:
        self._evaluate()
        until = time.monotonic() + BUDGET_S
        while self._lines:
            body = gzip.compress(b"".join(self._lines[:INFLUX_LINES]))
            send(Request("POST", self._url, self._headers, body), budget_s=until - time.monotonic())
            del self._lines[:INFLUX_LINES]


class _Signals(_Tables):
    """A collector: spans as they come, and the metrics as they stand, in the protocol's JSON form."""

    def __init__(self, push: Push, info: RunInfo, book: PriceBook, environ: Mapping[str, str]) -> None:
        super().__init__(info, book)
        self._base = push.url.rstrip("/").removesuffix("/v1/traces").removesuffix("/v1/metrics")
        self._headers = {"Content-Type": "application/json"}
        for pair in (environ.get("OTEL_EXPORTER_OTLP_HEADERS") or "").split(","):
            name, _, value = pair.partition("=")
            if name.strip():
                self._headers[unquote(name.strip())] = unquote(value.strip())
        self._signals = OtlpSignals(info)
        self._waiting: list[bytes] = []  # messages of spans

    def _take(self, table: Table) -> None:
        self._waiting += self._signals.add(table)
        del self._waiting[: -WAITING_MOST // SPANS_A_LINE]

    def flush(self) -> None:
        self._evaluate()
        until = time.monotonic() + BUDGET_S
        while self._waiting:
            self._send("traces", self._waiting[0], until - time.monotonic())
            del self._waiting[0]
        metrics = self._signals.metrics()
        if metrics:
            self._send("metrics", metrics, until - time.monotonic())

    def _send(self, signal: str, body: bytes, budget_s: float) -> None:
        send(Request("POST", f"{self._base}/v1/{signal}", self._headers, body), budget_s=budget_s)


def gateway_url(url: str, info: RunInfo) -> str:
    """Where to PUT, which replaces what this host pushed before; a URL with a group of its own is taken as it is."""
    base = url.rstrip("/")
    if "/metrics/job" in base:
        return base
    return f"{base}/metrics/job/{JOB}/instance/{quote(_instance(info), safe='')}"


def _instance(info: RunInfo) -> str:
    return info.machine.hostname if info.machine else "unknown"


def influx_address(push: Push, environ: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Where points are written, and the headers, with credentials from the environment or the query."""
    parts = urlsplit(push.url)
    asked = dict(parse_qsl(parts.query))
    headers = {"Content-Type": "text/plain; charset=utf-8", "Content-Encoding": "gzip"}
    bucket, token = asked.get("bucket") or environ.get("INFLUX_BUCKET"), environ.get("INFLUX_TOKEN")
    if bucket:
        path, query = "/api/v2/write", {"org": asked.get("org") or environ.get("INFLUX_ORG", ""), "bucket": bucket}
        headers |= {"Authorization": f"Token {token}"} if token else {}
    else:
        path, query = "/write", {"db": asked.get("db") or push.database or INFLUX_DATABASE}
        query |= {"rp": asked["rp"]} if "rp" in asked else {}
        user, password = asked.get("u") or environ.get("INFLUX_USERNAME"), environ.get("INFLUX_PASSWORD", "")
        headers |= basic(user, asked.get("p", password)) if user else {}
    base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}".removesuffix(path)
    return f"{base}{path}?{urlencode({**query, 'precision': 'ns'})}", headers


def check(push: Push) -> None:
    """Whether it could be pushed at all, so that a slip of the hand is told before anything is measured.

    Raises:
        ConfigError: the URL is none, or a library is missing.
    """
    try:
        parts = urlsplit(push.url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ConfigError(f"--{push.kind}: the port is none; write http://host:port") from None
    if not fits:
        raise ConfigError(f"--{push.kind}: {shown(push.url)} is no address; write http://host:port")
    if push.kind == "export-prometheus":
        compressor()


def open_push(push: Push, info: RunInfo, book: PriceBook, environ: Mapping[str, str] = os.environ) -> Pusher:
    """The pusher of a backend.

    Raises:
        ConfigError: there is no such kind, the URL is none, or an extra is missing.
    """
    check(push)
    if push.kind in ("push-gateway", "export-prometheus"):
        return _State(push, info, book)
    if push.kind == "influx":
        return _Points(push, info, book, environ)
    if push.kind == "otlp":
        return _Signals(push, info, book, environ)
    raise ConfigError(f"no backend {push.kind!r}; there are push-gateway, export-prometheus, influx, otlp")


def push_run(
    push: Push, info: RunInfo, records: Iterable[Record], book: PriceBook, environ: Mapping[str, str] = os.environ
) -> None:
    """Bring a whole run to a backend.

    Raises:
        ConfigError: it cannot be written for this backend.
        TransportError: the backend did not take it.
    """
    pusher = open_push(push, info, book, environ)
    for record in records:
        pusher.add(record)
    pusher.flush()
