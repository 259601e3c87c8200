"""What other load tools would have said of the same records: their zero, their first token, their divisors.

The formulas are those of METRICS.md, "Dialects". Like those tools, a dialect speaks of successes only; and
where they interpolate between two values for a percentile, so does it. A record keeps of each event when it
came and what it carried, not its JSON: an event without content, usage, finish or error is taken for one
with an empty delta, which is what these tools see first from most servers.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from lens.errors import ConfigError
from lens.metrics.distribution import percentile, percentile_name
from lens.model import CONTENT, Record, Signal, Status
from lens.units import NS_PER_MS

if TYPE_CHECKING:
    from numpy.typing import NDArray

PERCENTS = (50.0, 90.0, 95.0, 99.0)
_TEXT = int(Signal.TEXT | Signal.REFUSAL)
_DONE, _ERROR, _USAGE, _FINISH = (int(s) for s in (Signal.DONE, Signal.ERROR, Signal.USAGE, Signal.FINISH))


class Seen(NamedTuple):
    """One answer in a tool's eyes, in ns after Stamps.start."""

    zero: int
    first: int | None  # the first token
    last: int | None  # the last one
    end: int | None
    gaps: NDArray[Any]
    tokens: int | None  # of the output, as the server counted them


Look = Callable[[Record], Seen]
Of = Callable[[Seen], float | None]  # in ms


class Figure(msgspec.Struct, frozen=True):
    """One figure that a tool shows; `of` is None where all gaps are pooled."""

    name: str  # as the tool calls it
    formula: str
    ours: str  # the metric of ours that stands nearest
    of: Of | None


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """A tool's definitions."""

    name: str
    zero: str
    first: str
    end: str
    look: Look
    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = ()
    interpolates: bool = True  # its percentiles lie between two values (numpy's default)


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A figure over a run, as the tool would have shown it, in ms."""

    name: str
    ours: str
    n: int
    mean: float
    percentiles: dict[str, float]


def _column(values: array[int]) -> NDArray[Any]:
    import numpy as np

    return np.frombuffer(values, dtype=values.typecode).astype(np.int64)


def _seen(
    record: Record, which: NDArray[Any], *, zero: int = 0, end: int | None = None, last_is_end: bool = False
) -> Seen:
    """Tokens are the events of `which`; the end is the body's, unless said otherwise."""
    import numpy as np

    at = _column(record.events.arrived_ns)[which]
    first, last = (int(at[0]), int(at[-1])) if len(at) else (None, None)
    stamps = record.stamps
    if end is None:
        end = last if last_is_end else None if stamps.end is None else stamps.end - stamps.start
    tokens = record.usage.output_tokens if record.usage else None
    return Seen(zero, first, last, end, np.diff(at), tokens)


def _carries(record: Record, bits: int) -> NDArray[Any]:
    """Events with one of these, and at least one character of it."""
    carried: NDArray[Any] = ((_column(record.events.signals) & bits) != 0) & (_column(record.events.chars) > 0)
    return carried


def _vllm(record: Record) -> Seen:
    signals = _column(record.events.signals)
    choice = (signals == 0) | ((signals & (int(CONTENT) | _FINISH)) != 0)
    # The message that opens the answer has a choice; under continuous usage it has token counts too.
    choice[:1] |= (signals[:1] & (_ERROR | _DONE)) == 0
    return _seen(record, choice, last_is_end=True)


def _sglang(record: Record) -> Seen:
    at = record.events.arrived_ns
    return _seen(record, _carries(record, _TEXT | int(Signal.REASONING)), end=at[-1] if len(at) else None)


def _aiperf(record: Record) -> Seen:
    return _seen(record, _carries(record, int(CONTENT)), last_is_end=True)


def _guidellm(record: Record) -> Seen:
    stamps = record.stamps
    zero = 0 if stamps.send_start is None else stamps.send_start - stamps.start
    return _seen(record, _carries(record, int(CONTENT)), zero=zero)


def _text_only(record: Record) -> Seen:
    return _seen(record, _carries(record, _TEXT))


def _otel(record: Record) -> Seen:
    return _seen(record, (_column(record.events.signals) & _DONE) == 0)


def _ms(start: int | None, end: int | None, by: int = 1) -> float | None:
    return None if start is None or end is None or by < 1 else (end - start) / by / NS_PER_MS


def _ttft(s: Seen) -> float | None:
    return _ms(s.zero, s.first)


def _e2e(s: Seen) -> float | None:
    return _ms(s.zero, s.end)


def _tpot_to_end(s: Seen) -> float | None:
    """vllm, sglang, aiperf: (latency - TTFT) / (n - 1)."""
    return None if s.tokens is None else _ms(s.first, s.end, s.tokens - 1)


def _tpot_to_last(s: Seen) -> float | None:
    return None if s.tokens is None else _ms(s.first, s.last, s.tokens - 1)


def _per_token_to_last(s: Seen) -> float | None:
    return None if s.tokens is None else _ms(s.zero, s.last, s.tokens)


def _per_token_to_end(s: Seen) -> float | None:
    return None if s.tokens is None else _ms(s.zero, s.end, s.tokens)


_COUNTS = "counts tokens with a tokenizer of its own where the server sends no usage; here they are the server's"
_ONE = "(end - first token) / (n - 1)"
_LAST = "(last token - first token) / (n - 1)"

_ALL = (
    Dialect(
        name="vllm", look=_vllm, zero="before the post; contains the connection",
        first="first message with choices, role-only and empty ones too", end="last message with choices",
        figures=(
            Figure("TTFT", "first token - zero", "ttft_ms", _ttft), Figure("TPOT", _ONE, "tpot_ms", _tpot_to_end),
            Figure("ITL", "gaps between such messages, the finish message too", "itl_ms", None),
            Figure("E2EL", "end - zero", "total_latency_ms", _e2e),
        ),
        notes=("a message without content, usage, finish or error is taken to have choices", _COUNTS),
    ),
    Dialect(
        name="sglang", look=_sglang, zero="before a new session for each request",
        first="first text or reasoning that is not empty", end="last line received",
        figures=(
            Figure("TTFT", "first token - zero", "ttft_ms", _ttft), Figure("TPOT", _ONE, "tpot_ms", _tpot_to_end),
            Figure("ITL", "gaps between such chunks", "itl_ms", None),
            Figure("E2E latency", "end - zero", "total_latency_ms", _e2e),
        ),
        notes=("it connects anew for each request; measure with --connection fresh to compare", _COUNTS),
    ),
    Dialect(
        name="aiperf", look=_aiperf, zero="before the request; contains a fresh connection",
        first="first text, reasoning or tool call that is not empty", end="last such event",
        figures=(
            Figure("Time to First Token", "first token - zero", "ttft_ms", _ttft),
            Figure("Inter Token Latency", _ONE, "tpot_ms", _tpot_to_end),
            Figure("Inter Chunk Latency", "gaps between such events", "inter_chunk_ms", None),
            Figure("Request Latency", "end - zero", "total_latency_ms", _e2e),
        ),
        notes=(_COUNTS,),
    ),
    Dialect(
        name="guidellm", look=_guidellm, zero="the request's head is being sent; never contains the connection",
        first="first text, reasoning or tool delta", end="the response's end", interpolates=False,
        figures=(
            Figure("TTFT", "first token - zero", "ttft_from_send_ms", _ttft),
            Figure("ITL", _LAST, "tpot_ms", _tpot_to_last),
            Figure("TPOT", "(last token - zero) / n", "tpot_ms", _per_token_to_last),
            Figure("Request latency", "end - zero", "total_latency_ms", _e2e),
        ),
    ),
    Dialect(
        name="inference-perf", look=_text_only, zero="after the body is built; contains the connection",
        first="first text that is not empty, not reasoning", end="the request's end",
        figures=(
            Figure("TTFT", "first token - zero", "ttfo_ms", _ttft), Figure("TPOT", _LAST, "tpot_ms", _tpot_to_last),
            Figure("NTPOT", "(end - zero) / n", "tpot_ms", _per_token_to_end),
            Figure("ITL", "gaps between such chunks", "itl_ms", None),
            Figure("Request latency", "end - zero", "total_latency_ms", _e2e),
        ),
        notes=(_COUNTS,),
    ),
    Dialect(
        name="llmperf", look=_text_only, zero="before a new connection for each request",
        first="first text", end="the request's end",
        figures=(
            Figure("ttft", "first token - zero", "ttfo_ms", _ttft),
            Figure("inter token latency", "(end - zero) / n", "tpot_ms", _per_token_to_end),
            Figure("end to end latency", "end - zero", "total_latency_ms", _e2e),
        ),
        notes=(
            "it connects anew for each request; measure with --connection fresh to compare",
            "it counts every model's tokens with Llama's tokenizer; here they are the server's",
        ),
    ),
    Dialect(
        name="otel", look=_otel, zero="the request is issued",
        first="first chunk of any kind", end="the response's end", interpolates=False,
        figures=(
            Figure("time_to_first_chunk", "first chunk - zero", "ttft_ms", _ttft),
            Figure("time_per_output_chunk", "gaps between chunks of any kind", "inter_chunk_ms", None),
            Figure("operation.duration", "end - zero", "total_latency_ms", _e2e),
        ),
        notes=("it keeps histograms, so its percentiles are those of the nearest bounds",),
    ),
)  # fmt: skip
DIALECTS: dict[str, Dialect] = {one.name: one for one in _ALL}


def dialect_named(name: str) -> Dialect:
    """The definitions of a tool.

    Raises:
        ConfigError: it is not known.
    """
    if name not in DIALECTS:
        raise ConfigError(f"definitions {name!r}: there are {', '.join(DIALECTS)}")
    return DIALECTS[name]


def in_dialect(dialect: Dialect, records: Iterable[Record]) -> tuple[Told, ...]:
    """What the tool would have shown of this run; a figure without values is left out."""
    import numpy as np

    pools: dict[str, array[float]] = {figure.name: array("d") for figure in dialect.figures}
    for record in records:
        if record.warmup or record.status is not Status.SUCCESS:
            continue
        seen = dialect.look(record)
        for figure in dialect.figures:
            if figure.of is None:
                pools[figure.name].frombytes((seen.gaps / NS_PER_MS).tobytes())
            elif (value := figure.of(seen)) is not None:
                pools[figure.name].append(value)
    found = []
    for figure in dialect.figures:
        values = np.sort(np.frombuffer(pools[figure.name]))
        if len(values):
            at = [float(np.percentile(values, p)) if dialect.interpolates else percentile(values, p) for p in PERCENTS]
            tail = dict(zip(map(percentile_name, PERCENTS), at, strict=True))
            mean = float(values.mean())
            found.append(Told(name=figure.name, ours=figure.ours, n=len(values), mean=mean, percentiles=tail))
    return tuple(found)
