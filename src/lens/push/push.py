"""Pushes of records to backends of metrics: Pushgateway, Prometheus, InfluxDB, OpenTelemetry over HTTP.

A Pusher takes records one by one and sends their metrics when it is flushed: once at the end of a run, or
regularly while a monitor runs. Nothing is sent before a flush, and what a backend did not accept is kept for
the next one, up to a limit. Credentials come from the URL or the environment and appear in no message.
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
from lens.export.prometheus import CONTENT_TYPE, PrometheusMetrics, Units, exposition
from lens.metrics.builder import BATCH, table_of
from lens.metrics.table import Table
from lens.model import Record, RunInfo
from lens.pricing import PriceBook
from lens.push.connection import basic_credentials
from lens.push.http import BUDGET_S, Request, send
from lens.push.remote_write import write_request
from lens.secrets import bare_url

JOB = "llm_latency_lens"
# Where a Pushgateway listens by convention.
GATEWAY_PORT = 9091
# Lines of InfluxDB's protocol in one request, as its documentation recommends.
INFLUX_LINES = 5000
INFLUX_DATABASE = "llm_metrics"
# Lines or spans that are kept for a backend which is away; beyond it the oldest are dropped.
WAITING_MOST = 200_000


class Push(NamedTuple):
    """A backend to push to."""

    kind: str  # push-gateway, export-prometheus, influx, otlp
    url: str  # may hold user:password@
    database: str | None = None  # of InfluxDB 1
    units: Units = "ms"  # of Prometheus metrics


class Pusher(Protocol):
    """One backend during a run or a monitor."""

    def add(self, record: Record) -> None:
        """Take a record without sending anything."""

    def add_table(self, table: Table) -> None:
        """Take requests without sending anything."""

    def flush(self) -> None:
        """Send what is pending.

        Raises:
            TransportError: the backend did not accept it; it is sent again with the next flush.
        """


class _TablePusher(abc.ABC):
    """Takes records one by one and evaluates them as tables."""

    def __init__(self, info: RunInfo, book: PriceBook) -> None:
        self._info, self._book = info, book
        self._records: list[Record] = []

    def add(self, record: Record) -> None:
        self._records.append(record)
        if len(self._records) >= BATCH:
            self._evaluate()

    def _evaluate(self) -> None:
        """Evaluate the records that came since the last time."""
        if self._records:
            records, self._records = self._records, []
            self.add_table(table_of(records, self._info, self._book))

    @abc.abstractmethod
    def add_table(self, table: Table) -> None: ...


class _PrometheusPusher(_TablePusher):
    """Pushgateway and remote write: every flush sends the whole exposition so far."""

    def __init__(self, push: Push, info: RunInfo, book: PriceBook) -> None:
        super().__init__(info, book)
        self._push = push
        self._metrics = PrometheusMetrics(push.units)

    def add_table(self, table: Table) -> None:
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


class _InfluxPusher(_TablePusher):
    """InfluxDB, a point a request: version 2 where the URL or the environment names a bucket, else version 1."""

    def __init__(self, push: Push, info: RunInfo, book: PriceBook, environ: Mapping[str, str]) -> None:
        super().__init__(info, book)
        self._url, self._headers = influx_address(push, environ)
        self._points = InfluxPoints()
        self._lines: list[bytes] = []

    def add_table(self, table: Table) -> None:
        for part in table.slices():
            self._lines += self._points.lines(part)
            del self._lines[:-WAITING_MOST]

    def flush(self) -> None:
        self._evaluate()
        until = time.monotonic() + BUDGET_S
        while self._lines:
            body = gzip.compress(b"".join(self._lines[:INFLUX_LINES]))
            send(Request("POST", self._url, self._headers, body), budget_s=until - time.monotonic())
            del self._lines[:INFLUX_LINES]


class _OtlpPusher(_TablePusher):
    """An OpenTelemetry collector: new spans, and the metrics so far, in the JSON encoding of OTLP."""

    def __init__(self, push: Push, info: RunInfo, book: PriceBook, environ: Mapping[str, str]) -> None:
        super().__init__(info, book)
        self._base = push.url.rstrip("/").removesuffix("/v1/traces").removesuffix("/v1/metrics")
        self._headers = {"Content-Type": "application/json"}
        for pair in (environ.get("OTEL_EXPORTER_OTLP_HEADERS") or "").split(","):
            name, _, value = pair.partition("=")
            if name.strip():
                self._headers[unquote(name.strip())] = unquote(value.strip())
        self._signals = OtlpSignals(info)
        self._pending: list[bytes] = []  # encoded messages of spans

    def add_table(self, table: Table) -> None:
        for message in self._signals.add(table):
            self._pending.append(message)
            del self._pending[: -WAITING_MOST // SPANS_A_LINE]

    def flush(self) -> None:
        self._evaluate()
        until = time.monotonic() + BUDGET_S
        while self._pending:
            self._send("traces", self._pending[0], until - time.monotonic())
            del self._pending[0]
        metrics = self._signals.metrics()
        if metrics:
            self._send("metrics", metrics, until - time.monotonic())

    def _send(self, signal: str, body: bytes, budget_s: float) -> None:
        send(Request("POST", f"{self._base}/v1/{signal}", self._headers, body), budget_s=budget_s)


def gateway_url(url: str, info: RunInfo) -> str:
    """Return the URL of this host's group, which a PUT replaces; a URL that names a group is returned as it is."""
    base = url.rstrip("/")
    if "/metrics/job" in base:
        return base
    return f"{base}/metrics/job/{JOB}/instance/{quote(_instance(info), safe='')}"


def _instance(info: RunInfo) -> str:
    return info.machine.hostname if info.machine else "unknown"


def influx_address(push: Push, environ: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return the URL to write points to, and the headers with credentials of the environment or the query."""
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
        headers |= basic_credentials(f"{user}:{asked.get('p', password)}") if user else {}
    base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}".removesuffix(path)
    return f"{base}{path}?{urlencode({**query, 'precision': 'ns'})}", headers


def prometheus_kind(url: str) -> str:
    """Return which kind of backend a Prometheus address means: a Pushgateway, or else a receiver of remote writes."""
    gateway = f":{GATEWAY_PORT}" in url or "/metrics/job" in url
    return "push-gateway" if gateway else "export-prometheus"


def check_push(push: Push) -> None:
    """Check what can be known before anything is measured.

    Raises:
        ConfigError: the URL is not http(s)://host[:port], or a library is missing.
    """
    try:
        parts = urlsplit(push.url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ConfigError(f"--{push.kind}: the port is not valid; write http://host:port") from None
    if not fits:
        raise ConfigError(f"--{push.kind}: {bare_url(push.url)} is not an address; write http://host:port")


def open_push(push: Push, info: RunInfo, book: PriceBook, environ: Mapping[str, str] = os.environ) -> Pusher:
    """Return the pusher of a backend.

    Raises:
        ConfigError: no backend is of that kind, the URL is not http(s)://host[:port], or an extra is missing.
    """
    check_push(push)
    if push.kind in ("push-gateway", "export-prometheus"):
        return _PrometheusPusher(push, info, book)
    if push.kind == "influx":
        return _InfluxPusher(push, info, book, environ)
    if push.kind == "otlp":
        return _OtlpPusher(push, info, book, environ)
    raise ConfigError(f"no backend {push.kind!r}; there are push-gateway, export-prometheus, influx, otlp")


def push_run(
    push: Push,
    info: RunInfo,
    requests: Table | Iterable[Record],
    book: PriceBook,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Push a whole run to a backend.

    book: of prices, where `requests` are no table, which has its own.

    Raises:
        ConfigError: the URL is not http(s)://host[:port], or an extra is missing.
        TransportError: the backend did not accept it.
    """
    pusher = open_push(push, info, book, environ)
    pusher.add_table(requests if isinstance(requests, Table) else table_of(requests, info, book))
    pusher.flush()
