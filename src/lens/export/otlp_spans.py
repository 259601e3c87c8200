"""One request as an OpenTelemetry span, after the conventions for generative AI clients.

Encoded as OTLP's own JSON mapping wants it: 64-bit numbers as text, ids as hexadecimal. No
prompt and no answer is ever part of a span.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from lens.export.wallclock import end_unix_ns, start_unix_ns
from lens.history.lean import MISSING
from lens.metrics.columns import Codes, Column
from lens.metrics.definitions import added_metrics
from lens.metrics.raw_events import RawEvents
from lens.metrics.rows import codes_of, combinations, error_texts, file_name, plain_values
from lens.metrics.table import Table
from lens.model import Record, RunInfo, Status
from lens.units import NS_PER_S

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
# Our own figures that a span carries, so that a trace can be searched by them; beside those that were added.
_FIGURES = (
    "ttft_ms",
    "ttfo_ms",
    "ttft_from_send_ms",
    "itl_ms",
    "tpot_ms",
    "tokens_per_second",
    "longest_gap_ms",
    "total_cost",
)


def attributes_of(values: Attributes) -> list[dict[str, Any]]:
    """Return a dict as OTLP's list of KeyValue."""
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
    """Return who reports: this program, this run, this machine."""
    named: Attributes = {
        "service.name": "llm-latency-lens",
        "service.version": info.version,
        "service.instance.id": info.run_id,
    }
    if info.machine:
        named["host.name"] = info.machine.hostname
    return {"attributes": attributes_of({**info.labels, **named})}


def scope_of(info: RunInfo) -> dict[str, str]:
    """Return the instrumentation scope of a run."""
    return {"name": "lens", "version": info.version}


class Kind(NamedTuple):
    """What a request's span and its metrics are told apart by."""

    operation: str
    model: str
    attributes: Attributes


def kinds_of(table: Table, info: RunInfo) -> tuple[list[Kind], Column]:
    """Return the kinds of requests in a table, and which of them each is."""
    names = ("target", "labels", "provider", "model", "served_model", "status", "http_status", "category")
    found = combinations(codes_of(table.column("target_index")), *[table.codes(name) for name in names])
    return [_kind(info, *values) for values in found.values], found.codes


def _kind(
    info: RunInfo,
    number: int,
    name: str,
    labels: tuple[tuple[str, str], ...],
    provider: str,
    model: str,
    served_model: str | None,
    status: str,
    http_status: int | None,
    category: str,
) -> Kind:
    target = next((one for one in info.targets if one.name == name), None)
    if target is None and number < len(info.targets):
        target = info.targets[number]
    operation = _OPERATIONS.get((target.api if target else None) or "", "chat")
    found: Attributes = {
        **dict(labels),
        "target": name,
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": _PROVIDERS.get(provider, provider),
        "gen_ai.request.model": model,
    }
    if served_model:
        found["gen_ai.response.model"] = served_model
    if target:
        found.update(_server(target.url))
    if status != Status.SUCCESS:
        found["error.type"] = str(http_status) if http_status is not None and http_status >= 400 else category
    return Kind(operation, model, found)


def _server(url: str) -> Attributes:
    parts = urlsplit(url)
    try:
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:  # not a number
        port = None
    found: Attributes = {"server.address": parts.hostname} if parts.hostname else {}
    return {**found, "server.port": port} if found and port else found


def spans_of(table: Table, records: Sequence[Record], events: RawEvents, info: RunInfo) -> Iterator[dict[str, Any]]:
    """Yield the span of each request; its ids follow from the request's own, so that a second export is the same.

    records: of the same requests; events: theirs, all of them.
    """
    kinds, of = kinds_of(table, info)
    common = [attributes_of(kind.attributes) for kind in kinds]
    starts, ends = (np.where(at == MISSING, 0, at).tolist() for at in (start_unix_ns(table), end_unix_ns(table)))
    details, marks, errors = _details(table, records, events), _marks(table), error_texts(table)
    for row, (number, record) in enumerate(zip(of.tolist(), records, strict=True)):
        kind = kinds[number]
        trace_id = record.request_id.replace("-", "").lower()
        if len(trace_id) != 32 or not all(c in "0123456789abcdef" for c in trace_id):
            trace_id = hashlib.sha256(record.request_id.encode()).hexdigest()[:32]
        start_ns = starts[row]
        own = {name: value for name, values in details.items() if (value := values[row]) is not None}
        span: dict[str, Any] = {
            "traceId": trace_id,
            "spanId": hashlib.sha256(trace_id.encode()).hexdigest()[:16],
            "name": f"{kind.operation} {kind.model}",
            "kind": KIND_CLIENT,
            "startTimeUnixNano": str(start_ns),
            "endTimeUnixNano": str(ends[row]),
            "attributes": common[number] + attributes_of(own),
            "events": [
                {"name": name, "timeUnixNano": str(start_ns + at)}
                for name, after_start in marks.items()
                if (at := after_start[row]) is not None
            ],
        }
        if record.status is not Status.SUCCESS:
            span["status"] = {"code": STATUS_ERROR, "message": errors[row] or record.category}
        yield span


def _details(table: Table, records: Sequence[Record], events: RawEvents) -> dict[str, list[Any]]:
    """Return what each request's span says beside its kind, None where it does not."""
    first = events.first_at()
    first_chunk_s = np.where(table.column("stream") & (first != MISSING), first, np.nan) / NS_PER_S
    finish = table.codes("finish_reason")
    found: dict[str, list[Any]] = {
        "gen_ai.request.stream": table.column("stream").tolist(),
        "gen_ai.response.id": [record.provider_request_id for record in records],
        "gen_ai.response.finish_reasons": Codes(
            finish.codes, tuple([[reason] if reason else None for reason in finish.values])
        ).listed(),
        "gen_ai.response.time_to_first_chunk": plain_values(first_chunk_s),
        "gen_ai.usage.input_tokens": plain_values(table.usage("input_tokens"), whole=True),
        "gen_ai.usage.output_tokens": plain_values(table.usage("output_tokens"), whole=True),
        "gen_ai.usage.cache_read.input_tokens": plain_values(table.usage("cache_read_tokens"), whole=True),
        "gen_ai.usage.cache_creation.input_tokens": plain_values(table.usage("cache_write_tokens"), whole=True),
        "http.response.status_code": table.codes("http_status").listed(),
        "llm_latency_lens.request_id": [record.request_id for record in records],
        "llm_latency_lens.status": [record.status.value for record in records],
        "llm_latency_lens.retries": table.column("tries").tolist(),
        "llm_latency_lens.connection_reused": table.codes("reused").listed(),
    }
    added = {metric.name: file_name(metric) for metric in added_metrics()}
    for name, shown in {**{name: name for name in _FIGURES}, **added}.items():
        found[f"llm_latency_lens.{shown}"] = plain_values(table.metric(name))
    # Where a tokenizer of ours counted the tokens, not the server.
    found["llm_latency_lens.cost_estimated"] = [guessed or None for guessed in table.costs.estimated.tolist()]
    return found


def _marks(table: Table) -> dict[str, list[int | None]]:
    """Return the stamps of the answers in order of time, ns after the start."""
    columns = {
        "sent": table.stamp("send_end"),
        "first byte": table.stamp("first_byte"),
        "first token": table.first_at,
        "last token": table.last_at,
    }
    return {name: [None if at == MISSING else at for at in column.tolist()] for name, column in columns.items()}
