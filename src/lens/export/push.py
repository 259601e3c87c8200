"""Pushes of a run to where metrics are kept: Pushgateway, Prometheus remote write, InfluxDB, OTLP over HTTP.

A push is bounded in time and tried again only where the backend says so. It happens after the files are
written, so that a backend that is away loses nothing. Credentials come from the URL or the environment
and appear in no message.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import os
import ssl
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from lens.errors import ConfigError, TransportError
from lens.export.influx import Influx
from lens.export.otlp import Otlp
from lens.export.prometheus import CONTENT_TYPE, Gathered, exposition
from lens.export.remote_write import write_request
from lens.metrics.summary import Summary
from lens.model import Record, RunInfo
from lens.pricing import PriceBook

JOB = "llm_latency_lens"
TIMEOUT_S = 10.0
TRIES = 3
# Lines of InfluxDB's protocol in one request, as its documentation recommends.
INFLUX_LINES = 5000
INFLUX_DATABASE = "llm_metrics"
_AGAIN = frozenset((429, 500, 502, 503, 504))


class Push(NamedTuple):
    """One backend: which kind, and where."""

    kind: str
    url: str
    database: str | None = None


class Request(NamedTuple):
    """What is sent to it."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


def requests_of(
    push: Push, info: RunInfo, records: Iterable[Record], summary: Summary, book: PriceBook, environ: Mapping[str, str]
) -> list[Request]:
    """All requests that bring a run to a backend.

    Raises:
        ConfigError: there is no such kind, the URL is none, or an extra is missing.
    """
    if urlsplit(push.url).scheme not in ("http", "https") or not urlsplit(push.url).hostname:
        raise ConfigError(f"--{push.kind}: {shown(push.url)} is no address; write http://host:port")
    if push.kind in ("push-gateway", "export-prometheus"):
        gathered = Gathered(book)
        for record in records:
            gathered.add(record)
        if push.kind == "push-gateway":
            return [_to_gateway(push.url, exposition(gathered.families()), info)]
        return [_to_remote_write(push.url, gathered)]
    if push.kind == "influx":
        return _to_influx(push, info, records, summary, book, environ)
    if push.kind == "otlp":
        return _to_otlp(push.url, info, records, summary, book, environ)
    raise ConfigError(f"no backend {push.kind!r}; there are push-gateway, export-prometheus, influx, otlp")


def _to_gateway(url: str, text: bytes, info: RunInfo) -> Request:
    """PUT replaces what this instance pushed before; the instance is the host."""
    base = url.rstrip("/")
    if "/metrics/job/" not in base:
        instance = info.machine.hostname if info.machine else "unknown"
        base += f"/metrics/job/{JOB}/instance/{quote(instance, safe='')}"
    return Request("PUT", base, {"Content-Type": CONTENT_TYPE}, text)


def _to_remote_write(url: str, gathered: Gathered) -> Request:
    path = urlsplit(url).path.rstrip("/")
    full = url if path else f"{url.rstrip('/')}/api/v1/write"
    headers = {
        "Content-Type": "application/x-protobuf",
        "Content-Encoding": "snappy",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    }
    return Request("POST", full, headers, write_request(gathered.families(), round(time.time() * 1000), JOB))


def _to_influx(
    push: Push, info: RunInfo, records: Iterable[Record], summary: Summary, book: PriceBook, environ: Mapping[str, str]
) -> list[Request]:
    """Version 2 where the URL or the environment names a bucket, else version 1."""
    parts = urlsplit(push.url)
    asked = dict(parse_qsl(parts.query))
    bucket = asked.get("bucket") or environ.get("INFLUX_BUCKET")
    headers = {"Content-Type": "text/plain; charset=utf-8", "Content-Encoding": "gzip"}
    token = environ.get("INFLUX_TOKEN")
    if bucket:
        org = asked.get("org") or environ.get("INFLUX_ORG", "")
        query, path = {"org": org, "bucket": bucket, "precision": "ns"}, "/api/v2/write"
        headers |= {"Authorization": f"Token {token}"} if token else {}
    else:
        query, path = {"db": asked.get("db") or push.database or INFLUX_DATABASE, "precision": "ns"}, "/write"
        user = environ.get("INFLUX_USERNAME")
        headers |= _basic(user, environ.get("INFLUX_PASSWORD", "")) if user else {}
    base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or ''}"
    url = f"{base if base.endswith(path) else base + path}?{urlencode(query)}"
    writer = Influx(info, book)
    lines = [line for record in records if (line := writer.add(record))]
    lines.append(writer.end(info, summary))
    batches = [b"".join(lines[i : i + INFLUX_LINES]) for i in range(0, len(lines), INFLUX_LINES)]
    return [Request("POST", url, headers, gzip.compress(batch)) for batch in batches if batch]


def _to_otlp(
    url: str, info: RunInfo, records: Iterable[Record], summary: Summary, book: PriceBook, environ: Mapping[str, str]
) -> list[Request]:
    """Traces and metrics in the protocol's JSON form, each to its own path."""
    headers = {"Content-Type": "application/json"}
    for pair in (environ.get("OTEL_EXPORTER_OTLP_HEADERS") or "").split(","):
        name, _, value = pair.partition("=")
        if name.strip():
            headers[unquote(name.strip())] = unquote(value.strip())
    writer = Otlp(info, book)
    lines = b"".join([*[writer.add(record) for record in records], writer.end(info, summary)]).splitlines()
    base = url.rstrip("/").removesuffix("/v1/traces").removesuffix("/v1/metrics")
    return [
        Request("POST", f"{base}/v1/{'traces' if b'resourceSpans' in line[:40] else 'metrics'}", headers, line)
        for line in lines
    ]


def send(request: Request, *, timeout_s: float = TIMEOUT_S, tries: int = TRIES) -> None:
    """Send one request; a backend that is busy is asked again after a moment.

    Raises:
        TransportError: it was not taken; the message holds the status and the backend's words.
    """
    parts = urlsplit(request.url)
    headers = dict(request.headers)
    if parts.username:
        headers |= _basic(unquote(parts.username), unquote(parts.password or ""))
    why = ""
    for attempt in range(tries):
        if attempt:
            time.sleep(0.5 * 2**attempt)
        try:
            status, words = _exchange(request, headers, timeout_s)
        except (OSError, http.client.HTTPException) as error:
            why = f"{type(error).__name__}: {error}"
            continue
        if 200 <= status < 300:
            return
        why = f"HTTP {status}{': ' + words if words else ''}"
        if status not in _AGAIN:
            break
    raise TransportError(f"push to {shown(request.url)}: {why}")


def _exchange(request: Request, headers: Mapping[str, str], timeout_s: float) -> tuple[int, str]:
    parts = urlsplit(request.url)
    host, port = parts.hostname or "", parts.port
    made: http.client.HTTPConnection
    if parts.scheme == "https":
        made = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=ssl.create_default_context())
    else:
        made = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        made.request(request.method, target, body=request.body, headers=dict(headers))
        answer = made.getresponse()
        return answer.status, " ".join(answer.read(2000).decode("utf-8", "replace").split())[:200]
    finally:
        made.close()


def push_run(
    push: Push,
    info: RunInfo,
    records: Iterable[Record],
    summary: Summary,
    book: PriceBook,
    environ: Mapping[str, str] = os.environ,
) -> int:
    """Bring a run to a backend; how many requests that took.

    Raises:
        ConfigError: it cannot be written for this backend.
        TransportError: the backend did not take it.
    """
    wanted = requests_of(push, info, records, summary, book, environ)
    for request in wanted:
        send(request)
    return len(wanted)


def shown(url: str) -> str:
    """The URL without credentials and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
