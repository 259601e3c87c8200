"""One request as an OpenTelemetry span, after the conventions for generative AI clients.

Encoded as OTLP's own JSON mapping wants it: 64-bit numbers as text, ids as hexadecimal. No
prompt and no answer is ever part of a span.
"""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlsplit

from lens.export.wallclock import end_unix_ns, start_unix_ns
from lens.metrics.rows import all_figures, error_text
from lens.metrics.timeline import first_at_ns, last_at_ns
from lens.model import Record, RunInfo, Status
from lens.pricing import PriceBook

Attributes = dict[str, str | int | float | bool | list[str]]
KIND_CLIENT = 3
STATUS_ERROR = 2

# Well-known values of gen_ai.provider.name, where ours is spelled otherwise.
_PROVIDERS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "google": "gcp.gemini",
    "vertex": "gcp.vertex_ai",
    "mistral": "mistral_ai",
    "xai": "x_ai",
    "moonshot": "moonshot_ai",
}
_OPERATIONS = {"completions": "text_completion", "embeddings": "embeddings", "generate_content": "generate_content"}
_PORTS = {"http": 80, "https": 443}
# Our own figures that a span carries, so that a trace can be searched by them.
_FIGURES = ("ttft_ms", "ttfo_ms", "ttft_from_send_ms", "itl_ms", "tpot_ms", "tokens_per_second", "longest_gap_ms")


def attributes_of(values: Attributes) -> list[dict[str, Any]]:
    """A dict as OTLP's list of KeyValue."""
    return [{"key": key, "value": _any(value)} for key, value in values.items()]


def _any(value: str | int | float | bool | list[str]) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [{"stringValue": v} for v in value]}}
    return {"stringValue": value}


def resource_of(info: RunInfo) -> dict[str, Any]:
    """Who reports: this program, this run, this machine."""
    named: Attributes = {
        "service.name": "llm-latency-lens",
        "service.version": info.version,
        "service.instance.id": info.run_id,
    }
    if info.machine:
        named["host.name"] = info.machine.hostname
    return {"attributes": attributes_of({**info.labels, **named})}


def scope_of(info: RunInfo) -> dict[str, str]:
    return {"name": "lens", "version": info.version}


def common(record: Record, info: RunInfo) -> Attributes:
    """What a request's span and its metrics are told apart by."""
    target = info.targets[record.target] if record.target < len(info.targets) else None
    found: Attributes = {
        "gen_ai.operation.name": _OPERATIONS.get((target.api if target else None) or "", "chat"),
        "gen_ai.provider.name": _PROVIDERS.get(record.provider, record.provider),
        "gen_ai.request.model": record.model,
    }
    if record.served_model:
        found["gen_ai.response.model"] = record.served_model
    if target:
        found.update(_server(target.url))
    if record.status is not Status.SUCCESS:
        found["error.type"] = str(record.http_status) if _refused(record) else record.category
    return found


def _refused(record: Record) -> bool:
    return record.http_status is not None and record.http_status >= 400


def _server(url: str) -> Attributes:
    parts = urlsplit(url)
    try:
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:  # not a number
        port = None
    found: Attributes = {"server.address": parts.hostname} if parts.hostname else {}
    return {**found, "server.port": port} if found and port else found


def span_of(record: Record, info: RunInfo, book: PriceBook) -> dict[str, Any]:
    """The span of one request; its ids follow from the request's own, so that a second export is the same."""
    trace_id = record.request_id.replace("-", "").lower()
    if len(trace_id) != 32 or not all(c in "0123456789abcdef" for c in trace_id):
        trace_id = hashlib.sha256(record.request_id.encode()).hexdigest()[:32]
    named = common(record, info)
    start_ns = start_unix_ns(record)
    span: dict[str, Any] = {
        "traceId": trace_id,
        "spanId": hashlib.sha256(trace_id.encode()).hexdigest()[:16],
        "name": f"{named['gen_ai.operation.name']} {record.model}",
        "kind": KIND_CLIENT,
        "startTimeUnixNano": str(start_ns),
        "endTimeUnixNano": str(end_unix_ns(record) or start_ns),
        "attributes": attributes_of({**named, **_details(record, book)}),
        "events": _events(record, start_ns),
    }
    if record.status is not Status.SUCCESS:
        span["status"] = {"code": STATUS_ERROR, "message": error_text(record) or record.category}
    return span


def _details(record: Record, book: PriceBook) -> Attributes:
    usage = record.usage
    chunks = record.events.arrived_ns
    found: dict[str, str | int | float | bool | list[str] | None] = {
        "gen_ai.request.stream": record.stream,
        "gen_ai.response.id": record.provider_request_id,
        "gen_ai.response.finish_reasons": [record.finish_reason] if record.finish_reason else None,
        "gen_ai.response.time_to_first_chunk": chunks[0] / 1e9 if record.stream and len(chunks) else None,
        "gen_ai.usage.input_tokens": usage.input_tokens if usage else None,
        "gen_ai.usage.output_tokens": usage.output_tokens if usage else None,
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read_tokens if usage else None,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens if usage else None,
        "http.response.status_code": record.http_status,
        "llm_latency_lens.request_id": record.request_id,
        "llm_latency_lens.status": record.status.value,
        "llm_latency_lens.retries": len(record.tries),
        "llm_latency_lens.connection_reused": record.connection.reused if record.connection else None,
    }
    figures = all_figures(record, book)
    for name in (*_FIGURES, "total_cost"):
        value = figures[name]
        found[f"llm_latency_lens.{name}"] = None if value is None else float(value)
    return {key: value for key, value in found.items() if value is not None}


def _events(record: Record, start_ns: int) -> list[dict[str, Any]]:
    """The stamps of the answer, in order of time."""
    stamps = record.stamps
    after_start = {
        "sent": None if stamps.send_end is None else stamps.send_end - stamps.start,
        "first byte": None if stamps.first_byte is None else stamps.first_byte - stamps.start,
        "first token": first_at_ns(record),
        "last token": last_at_ns(record),
    }
    return [{"name": name, "timeUnixNano": str(start_ns + at)} for name, at in after_start.items() if at is not None]
