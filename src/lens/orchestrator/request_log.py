"""What a run tells the logger of its requests: retries and outcomes at debug, what was sent and came back at trace."""

from __future__ import annotations

import logging

from lens.model import Record
from lens.secrets import mask_headers, mask_secrets
from lens.units import human_duration
from lens.wire import Exchange, WireRequest

LOG = logging.getLogger(__name__)
TRACE = 5
# Of a body; prompts may be long.
SHOWN_BYTES = 1000


def log_request(index: int, request: WireRequest, label: str, key: str | None) -> None:
    """Tell what is sent: method, path, headers and the beginning of the body, without secrets."""
    if not LOG.isEnabledFor(TRACE):
        return
    headers = mask_headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers])
    shown = "; ".join(f"{name}: {value}" for name, value in headers)
    body = request.body[:SHOWN_BYTES].decode("utf-8", "replace")
    text = f"request {index}: {request.method} {label}{request.path} [{shown}] {len(request.body)} bytes: {body}"
    LOG.log(TRACE, "%s", mask_secrets(text.replace(key, "***") if key else text))


def log_answer(index: int, exchange: Exchange) -> None:
    """Tell the head of an answer and how much came."""
    if not LOG.isEnabledFor(TRACE):
        return
    shown = "; ".join(f"{name}: {value}" for name, value in mask_headers(exchange.headers))
    LOG.log(TRACE, "answer %d: %s [%s] %d events, %d bytes", index, exchange.status or "no head", shown,
            len(exchange.events), exchange.wire_bytes)  # fmt: skip


def log_outcome(record: Record) -> None:
    """Tell how a request ended."""
    if not LOG.isEnabledFor(logging.DEBUG):
        return
    took = human_duration(record.stamps.end - record.stamps.start) if record.stamps.end is not None else "no end"
    why = f": {record.failure.message}" if record.failure else ""
    LOG.debug("request %d: %s, http %s, %s%s", record.index, record.category, record.http_status, took, why)


def log_retry(record: Record, wait_ns: int) -> None:
    """Tell that a request is tried again, and after what wait."""
    why = record.failure.message if record.failure else record.http_status
    LOG.debug("request %d: %s (%s): tried again in %s", record.index, record.category, why, human_duration(wait_ns))
