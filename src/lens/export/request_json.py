"""A request as a JSON object: its figures first, then all of its record, so that it can be analyzed again.

`jq .ttft_ms` works, and so does `lll analyze`, which reads the record and computes everything anew. The fields of
HEAD are always there, null where not measured; other metrics are left out then.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec

from lens.history.write import encode_json
from lens.metrics.columns import Codes
from lens.metrics.definitions import Metric, request_metrics
from lens.metrics.rows import cost_texts, error_texts, figure_names, file_name, token_timings, values_of
from lens.metrics.table import Table
from lens.metrics.token_counts import EVIDENCE
from lens.model import Record

HEAD = (
    "request_id", "provider", "model", "timestamp", "ttfb_ms", "ttft_ms", "total_latency_ms", "input_tokens",
    "output_tokens", "thinking_tokens", "tokens_per_second", "input_cost", "output_cost", "thinking_cost", "total_cost",
    "dns_resolution_ms", "tcp_connection_ms", "tls_handshake_ms", "status", "error",
)  # fmt: skip
# Requests whose figures are in memory as Python objects at once.
AT_ONCE = 2048


def encode_requests(table: Table, *, timings: bool = False) -> Iterator[bytes]:
    """Yield each request as a JSON object; timings: with those of its content events."""
    kind = _kind(figure_names())
    fields = [name for name in Record.__struct_fields__ if name in kind.__struct_fields__]
    for part in table.slices(AT_ONCE) if len(table) else ():
        columns: dict[str, Any] = dict(
            zip(fields, zip(*map(attrgetter(*fields), part.records()), strict=True), strict=True)
        )
        figures = {file_name(metric): _figures(part, metric) for metric in request_metrics()}
        columns |= {name: values for name, values in figures.items() if name not in columns}
        columns["error"] = error_texts(part)
        costs = part.costs
        columns["cost_source"] = costs.source_of.texts_of_each()
        columns["cost_estimated"] = [estimated or None for estimated in costs.estimated.tolist()]
        columns["cost_lacks"] = costs.lack_of.texts_of_each()
        columns["cost_reason"] = costs.reason_of.texts_of_each()
        columns["token_evidence"] = [EVIDENCE[code] if code >= 0 else None for code in part.column("evidence").tolist()]
        columns["token_timings"] = token_timings(part) if timings else [None] * len(part)
        rows = map(kind, *[columns[name] for name in kind.__struct_fields__])
        yield from map(encode_json, rows)


@lru_cache(8)
def _kind(figures: tuple[str, ...]) -> type[msgspec.Struct]:
    """Return the struct of an object with these figures, its fields in their order; what is absent is left out."""
    fields: list[Any] = [(name, Any) for name in HEAD]
    own = {one.name: one for one in msgspec.structs.fields(Record)}
    fields += [(name, Any, None) for name in figures if name not in HEAD and name not in own]
    for name, field in own.items():
        if name in HEAD:
            continue
        if field.required:
            fields.append((name, Any, msgspec.UNSET))
        elif field.default is not msgspec.NODEFAULT:
            fields.append((name, Any, field.default))
        else:
            fields.append((name, Any, msgspec.field(default_factory=field.default_factory)))
    fields += [(name, Any, None) for name in ("cost_source", "cost_estimated", "cost_lacks", "cost_reason")]
    fields += [("token_evidence", Any, None), ("token_timings", Any, None)]
    return msgspec.defstruct("RequestRow", fields, omit_defaults=True, gc=False)


def _figures(table: Table, metric: Metric) -> list[Any]:
    """Return the values of a metric; money as JSON numbers with all their digits and without exponents."""
    if metric.kind != "cost":
        return values_of(table, metric)
    costs = cost_texts(table, metric.name)
    return Codes(costs.codes, tuple([msgspec.Raw(text.encode()) for text in costs.values])).listed()
