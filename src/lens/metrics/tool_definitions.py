"""What other load tools would have said of the same requests: their zero, their first token, their divisors.

Like those tools, these definitions speak of successes only; and where a tool interpolates between two values for a
percentile, so do they. A record keeps of each event when it came and what it carried, not its JSON: an event without
content, usage, finish or error is taken for one with an empty delta, which is what these tools see first from most
servers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np

from lens.errors import ConfigError
from lens.history.lean import MISSING
from lens.metrics.columns import Column
from lens.metrics.distribution import percentile, percentile_name
from lens.metrics.raw_events import RawEvents, raw_events, with_records
from lens.metrics.table import Table
from lens.model import CONTENT, Signal
from lens.units import NS_PER_MS

PERCENTS = (50.0, 90.0, 95.0, 99.0)
_TEXT = int(Signal.TEXT | Signal.REFUSAL)
_DONE, _ERROR, _FINISH = (int(s) for s in (Signal.DONE, Signal.ERROR, Signal.FINISH))


class ToolView(NamedTuple):
    """Some answers in a tool's eyes, a column each; int64 ns after Stamps.start, MISSING where absent."""

    zero: Column
    first: Column  # the first token
    last: Column  # the last one
    end: Column
    gaps: Column  # of all answers
    gap_of: Column  # the answer of each gap
    tokens: Column  # of the output, as the server counted them; float64, NaN where it did not


Look = Callable[[RawEvents, Table], ToolView]
Of = Callable[[ToolView], Column]  # float64 ms, NaN where it cannot be told


class ToolMetric(msgspec.Struct, frozen=True):
    """A metric that a tool shows; `of` is None where all gaps are pooled."""

    name: str  # as the tool calls it
    formula: str
    ours: str  # the metric of ours that stands nearest
    of: Of | None


class ToolDefinitions(msgspec.Struct, frozen=True, kw_only=True):
    """A tool's definitions."""

    name: str
    zero: str
    first: str
    end: str
    look: Look
    metrics: tuple[ToolMetric, ...]
    notes: tuple[str, ...] = ()
    interpolates: bool = True  # its percentiles lie between two values (numpy's default)


class ToolFigure(msgspec.Struct, frozen=True, kw_only=True):
    """A metric over a run, as the tool would have shown it, in ms."""

    name: str
    ours: str
    n: int
    mean: float
    percentiles: dict[str, float]


def _view(
    tokens: RawEvents, table: Table, *, zero: Column | None = None, end: Column | None = None, last_is_end: bool = False
) -> ToolView:
    """tokens: the events that the tool takes for tokens. The end is the body's, unless said otherwise."""
    last = tokens.last_at()
    if end is None:
        end = last if last_is_end else table.stamp("end")
    if zero is None:
        zero = np.zeros(len(table), dtype=np.int64)
    return ToolView(zero, tokens.first_at(), last, end, *tokens.gaps(), table.usage("output_tokens"))


def _carrying(events: RawEvents, bits: int) -> RawEvents:
    """Return the events with one of these signals, and at least one character of it."""
    return events.where(((events.signals & bits) != 0) & (events.chars > 0))


def _vllm(events: RawEvents, table: Table) -> ToolView:
    signals = events.signals
    choice = (signals == 0) | ((signals & (int(CONTENT) | _FINISH)) != 0)
    # The message that opens the answer has a choice; under continuous usage it has token counts too.
    choice |= events.begins & ((signals & (_ERROR | _DONE)) == 0)
    return _view(events.where(choice), table, last_is_end=True)


def _sglang(events: RawEvents, table: Table) -> ToolView:
    return _view(_carrying(events, _TEXT | int(Signal.REASONING)), table, end=events.last_at())


def _aiperf(events: RawEvents, table: Table) -> ToolView:
    return _view(_carrying(events, int(CONTENT)), table, last_is_end=True)


def _guidellm(events: RawEvents, table: Table) -> ToolView:
    sent = table.stamp("send_start")
    return _view(_carrying(events, int(CONTENT)), table, zero=np.where(sent == MISSING, 0, sent))


def _text_only(events: RawEvents, table: Table) -> ToolView:
    return _view(_carrying(events, _TEXT), table)


def _otel(events: RawEvents, table: Table) -> ToolView:
    return _view(events.where((events.signals & _DONE) == 0), table)


def _ms(start: Column, end: Column, by: Column | int = 1) -> Column:
    """Return the times from start to end over `by`; NaN where one is absent or `by` is below 1."""
    known = (start != MISSING) & (end != MISSING) & (by >= 1)
    found: Column = np.where(known, end - start, np.nan) / np.where(known, by, 1) / NS_PER_MS
    return found


def _ttft(view: ToolView) -> Column:
    return _ms(view.zero, view.first)


def _e2e(view: ToolView) -> Column:
    return _ms(view.zero, view.end)


def _tpot_to_end(view: ToolView) -> Column:
    """vllm, sglang, aiperf: (latency - TTFT) / (n - 1)."""
    return _ms(view.first, view.end, view.tokens - 1)


def _tpot_to_last(view: ToolView) -> Column:
    return _ms(view.first, view.last, view.tokens - 1)


def _per_token_to_last(view: ToolView) -> Column:
    return _ms(view.zero, view.last, view.tokens)


def _per_token_to_end(view: ToolView) -> Column:
    return _ms(view.zero, view.end, view.tokens)


_COUNTS = "counts tokens with a tokenizer of its own where the server sends no usage; here they are the server's"
_ONE = "(end - first token) / (n - 1)"
_LAST = "(last token - first token) / (n - 1)"

_ALL = (
    ToolDefinitions(
        name="vllm", look=_vllm, zero="before the post; contains the connection",
        first="first message with choices, role-only and empty ones too", end="last message with choices",
        metrics=(
            ToolMetric("TTFT", "first token - zero", "ttft_ms", _ttft),
            ToolMetric("TPOT", _ONE, "tpot_ms", _tpot_to_end),
            ToolMetric("ITL", "gaps between such messages, the finish message too", "itl_ms", None),
            ToolMetric("E2EL", "end - zero", "total_latency_ms", _e2e),
        ),
        notes=("a message without content, usage, finish or error is taken to have choices", _COUNTS),
    ),
    ToolDefinitions(
        name="sglang", look=_sglang, zero="before a new session for each request",
        first="first text or reasoning that is not empty", end="last line received",
        metrics=(
            ToolMetric("TTFT", "first token - zero", "ttft_ms", _ttft),
            ToolMetric("TPOT", _ONE, "tpot_ms", _tpot_to_end),
            ToolMetric("ITL", "gaps between such chunks", "itl_ms", None),
            ToolMetric("E2E latency", "end - zero", "total_latency_ms", _e2e),
        ),
        notes=("it connects anew for each request; measure with --connection fresh to compare", _COUNTS),
    ),
    ToolDefinitions(
        name="aiperf", look=_aiperf, zero="before the request; contains a fresh connection",
        first="first text, reasoning or tool call that is not empty", end="last such event",
        metrics=(
            ToolMetric("Time to First Token", "first token - zero", "ttft_ms", _ttft),
            ToolMetric("Inter Token Latency", _ONE, "tpot_ms", _tpot_to_end),
            ToolMetric("Inter Chunk Latency", "gaps between such events", "inter_chunk_ms", None),
            ToolMetric("Request Latency", "end - zero", "total_latency_ms", _e2e),
        ),
        notes=(_COUNTS,),
    ),
    ToolDefinitions(
        name="guidellm", look=_guidellm, zero="the request's head is being sent; never contains the connection",
        first="first text, reasoning or tool delta", end="the response's end", interpolates=False,
        metrics=(
            ToolMetric("TTFT", "first token - zero", "ttft_from_send_ms", _ttft),
            ToolMetric("ITL", _LAST, "tpot_ms", _tpot_to_last),
            ToolMetric("TPOT", "(last token - zero) / n", "tpot_ms", _per_token_to_last),
            ToolMetric("Request latency", "end - zero", "total_latency_ms", _e2e),
        ),
    ),
    ToolDefinitions(
        name="inference-perf", look=_text_only, zero="after the body is built; contains the connection",
        first="first text that is not empty, not reasoning", end="the request's end",
        metrics=(
            ToolMetric("TTFT", "first token - zero", "ttfo_ms", _ttft),
            ToolMetric("TPOT", _LAST, "tpot_ms", _tpot_to_last),
            ToolMetric("NTPOT", "(end - zero) / n", "tpot_ms", _per_token_to_end),
            ToolMetric("ITL", "gaps between such chunks", "itl_ms", None),
            ToolMetric("Request latency", "end - zero", "total_latency_ms", _e2e),
        ),
        notes=(_COUNTS,),
    ),
    ToolDefinitions(
        name="llmperf", look=_text_only, zero="before a new connection for each request",
        first="first text", end="the request's end",
        metrics=(
            ToolMetric("ttft", "first token - zero", "ttfo_ms", _ttft),
            ToolMetric("inter token latency", "(end - zero) / n", "tpot_ms", _per_token_to_end),
            ToolMetric("end to end latency", "end - zero", "total_latency_ms", _e2e),
        ),
        notes=(
            "it connects anew for each request; measure with --connection fresh to compare",
            "it counts every model's tokens with Llama's tokenizer; here they are the server's",
        ),
    ),
    ToolDefinitions(
        name="otel", look=_otel, zero="the request is issued",
        first="first chunk of any kind", end="the response's end", interpolates=False,
        metrics=(
            ToolMetric("time_to_first_chunk", "first chunk - zero", "ttft_ms", _ttft),
            ToolMetric("time_per_output_chunk", "gaps between chunks of any kind", "inter_chunk_ms", None),
            ToolMetric("operation.duration", "end - zero", "total_latency_ms", _e2e),
        ),
        notes=("it keeps histograms, so its percentiles are those of the nearest bounds",),
    ),
)  # fmt: skip
TOOLS: dict[str, ToolDefinitions] = {one.name: one for one in _ALL}


def definitions_of(name: str) -> ToolDefinitions:
    """Return the definitions of a tool.

    Raises:
        ConfigError: no tool of that name.
    """
    if name not in TOOLS:
        raise ConfigError(f"definitions {name!r}: there are {', '.join(TOOLS)}")
    return TOOLS[name]


def tool_figures(tool: ToolDefinitions, table: Table) -> tuple[ToolFigure, ...]:
    """Return what the tool would have shown of these requests; a metric without values is left out."""
    pools: dict[str, list[Column]] = {metric.name: [] for metric in tool.metrics}
    for part, records in with_records(table.take(table.success & ~table.warmup)):
        view = tool.look(raw_events(records), part)
        for metric in tool.metrics:
            values = view.gaps / NS_PER_MS if metric.of is None else metric.of(view)
            pools[metric.name].append(values[~np.isnan(values)])
    found = []
    for metric in tool.metrics:
        values = np.sort(np.concatenate(pools[metric.name] or [np.empty(0)]))
        if len(values):
            at = [float(np.percentile(values, p)) if tool.interpolates else percentile(values, p) for p in PERCENTS]
            tail = dict(zip(map(percentile_name, PERCENTS), at, strict=True))
            mean = float(values.mean())
            found.append(ToolFigure(name=metric.name, ours=metric.ours, n=len(values), mean=mean, percentiles=tail))
    return tuple(found)
