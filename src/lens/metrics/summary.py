"""From records to a summary: counts, distributions, throughput, money, doubts.

One pass over any iterable of records; a failed request is counted, never dropped, and speaks
only for what it still measured. Records are taken in batches, whose figures are columns: a million
of them take seconds, and less than a gigabyte where they come one by one from a RunStream.
"""

from __future__ import annotations

import gc
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from lens.history.read import MISSING, RunStream
from lens.metrics.cold_start import ColdStart, cold_start
from lens.metrics.definitions import METRICS, PER_REQUEST
from lens.metrics.distribution import (
    PERCENTILES,
    SURE_OF,
    Distribution,
    Histogram,
    distribution,
    percentile,
    percentile_name,
    values_needed,
)
from lens.metrics.goodput import Slo, met
from lens.metrics.quality_warnings import doubts
from lens.metrics.stages import StageRow, pacing_doubts, stage_rows
from lens.model import Record, RunInfo, Status
from lens.pricing import PriceBook
from lens.units import NS_PER_MS, NS_PER_S, NS_PER_US

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lens.metrics.batch import Batch

__all__ = [
    "PERCENTILES",
    "Collector",
    "Distribution",
    "Histogram",
    "Summary",
    "distribution",
    "percentile",
    "percentile_name",
    "summarize",
    "values_needed",
]

# Records whose columns are made at once: many enough to forget numpy's overhead, few enough for the caches.
BATCH = 1024
# An answer of more tokens than this that came in one event was not streamed.
PIECE_TOKENS = 5
# What people decide by: these get intervals.
SURE = ("ttft_ms", "ttft_from_schedule_ms", "ttfo_ms", "itl_ms", "tpot_ms", "total_latency_ms", "tokens_per_second")


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a run says, in figures."""

    requests: int
    successes: int
    by_status: dict[str, int]
    by_category: dict[str, int]
    examples: dict[str, str]  # category -> the first message of it
    window_s: float | None  # first start to last end
    success_rate: float | None
    requests_per_second: float | None
    output_tokens_per_second: float | None
    concurrency_mean: float | None  # sum of latencies / window
    input_tokens: int | None
    output_tokens: int | None
    total_cost: Decimal | None
    cost_per_request: Decimal | None
    unpriced: int  # successes without a cost
    unpriced_reason: str | None
    distributions: dict[str, Distribution]
    retries: int
    connections_opened: int
    coalesced_share: float | None  # over all content events
    stamp_kinds: dict[str, int]
    token_evidence: dict[str, int]  # who counted tokens per event -> requests
    server_timing_ms: dict[str, Distribution]
    goodput_rps: float | None = None  # requests that met every SLO / window; None: no SLO was given
    good: int | None = None  # how many they were
    slos: tuple[str, ...] = ()  # as they were read: "ttft_ms <= 200"
    cached_tokens: int | None = None  # a part of input_tokens
    clock_stepped: int = 0  # requests during which the wall clock was set
    compressed: int = 0  # answers with a content encoding
    one_piece: int = 0  # streams of which all content came in one event
    retransmitting: int = 0  # requests with segments sent again
    served_models: dict[str, int] = {}  # what the answers said they came from
    price_age_days: int | None = None  # of the oldest price that was used, where it is stale
    stages: tuple[StageRow, ...] = ()
    cold_start: ColdStart | None = None
    gpu_cost: dict[str, Decimal] = {}  # of a server of one's own, by the hour: "usd", "usd_per_million_output_tokens"
    notes: tuple[str, ...] = ()  # what the run's own goals came to, in words
    warnings: tuple[str, ...] = ()


class Collector:
    """Takes records one by one, so that a run is summarised while it goes on."""

    def __init__(self, book: PriceBook | None = None, *, slos: Sequence[Slo] = ()) -> None:
        """slos: what a request must keep to count as good (goodput)."""
        self._book = book or PriceBook()
        self._slos = tuple(slos)
        self._waiting: list[Record] = []
        self._columns: dict[str, Values] = {}
        self._server: dict[str, array[float]] = {}
        self._statuses: Counter[str] = Counter()
        self._categories: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._evidence: Counter[str] = Counter()
        self._stamp_kinds: Counter[str] = Counter()
        self._tokens: dict[str, int | None] = dict.fromkeys(("input_tokens", "output_tokens", "cache_read_tokens"))
        self._served: Counter[str] = Counter()
        self._stepped = self._compressed = self._one_piece = self._lossy = 0
        self._price_age_days: int | None = None
        self._cost: Decimal | None = None
        self._priced = self._unpriced = 0
        self._reason: str | None = None
        self._retries = self._opened = self._content = self._coalesced = self._good = 0
        self._busy_ns = 0
        self._first_ns: int | None = None
        self._last_ns: int | None = None

    def add(self, record: Record) -> None:
        """Count one request and take its figures; one of the warm-up is neither counted nor taken."""
        if record.warmup:
            return
        self._waiting.append(record)
        if len(self._waiting) >= BATCH:
            self._take()

    def extend(self, records: Iterable[Record]) -> None:
        """The same of many; the quickest way in."""
        several = iter(records)
        while some := list(islice(several, BATCH)):
            self._waiting += [record for record in some if not record.warmup]
            if len(self._waiting) >= BATCH:
                self._take()

    def _take(self) -> None:
        """The records that wait, as one batch."""
        if not self._waiting:
            return
        from lens.metrics.batch import batch_of

        records, self._waiting = self._waiting, []
        self._categories.update([record.category for record in records])
        for failed in [record for record in records if record.failure is not None]:
            self._examples.setdefault(failed.category, failed.failure.message if failed.failure else "")
        for timed in [record.server_timing_ms for record in records if record.server_timing_ms]:
            for source, took_ms in timed.items():
                self._server.setdefault(source, array("d")).append(took_ms)
        self._served.update([record.served_model for record in records if record.served_model is not None])
        self._stepped += sum([record.clock_stepped for record in records])
        self._compressed += sum([record.content_encoding not in (None, "identity") for record in records])
        self._retries += sum([len(record.tries) for record in records])
        self._opened += sum([not record.connection.reused for record in records if record.connection])
        batch = batch_of(records)
        self._outcomes(batch)
        self._span(batch)
        self._figures(batch)
        self._success(batch)

    def _outcomes(self, batch: Batch) -> None:
        good = int(batch.success.sum())
        if good:
            self._statuses[Status.SUCCESS.value] += good
        for place in (~batch.success).nonzero()[0].tolist():
            self._statuses[batch.records[place].status.value] += 1

    def _span(self, batch: Batch) -> None:
        first = int(batch.start.min())
        self._first_ns = first if self._first_ns is None else min(self._first_ns, first)
        end = batch.stamps["end"]
        ended = end != MISSING
        if ended.any():
            last = int((batch.start + end)[ended].max())
            self._last_ns = last if self._last_ns is None else max(self._last_ns, last)
            self._busy_ns += int(end[ended].sum())

    def _figures(self, batch: Batch) -> None:
        """All values of every metric, of those that may speak for it."""
        import numpy as np

        from lens.metrics.batch_figures import FIGURES, pooled
        from lens.pricing.columns import cost_columns

        costs = cost_columns(self._book, batch.records, batch.usage, batch.success)
        everyone = np.ones(len(batch), dtype=bool)
        figures: dict[str, NDArray[Any]] = {}
        for metric in PER_REQUEST:
            speaks = everyone if metric.partial else batch.success
            if metric.kind == "gap":
                values, into = pooled(batch, metric.name, speaks)
            else:
                column = costs.columns[metric.name] if metric.kind == "cost" else FIGURES[metric.name](batch)
                figures[metric.name] = column
                values, into = column[speaks & ~np.isnan(column)], None
            if len(values):
                self._columns.setdefault(metric.name, Values()).add(values, into)
        if self._slos:
            self._good += int((met(batch, figures, self._slos) & batch.success).sum())
        if costs.total is not None:
            self._cost = (self._cost or Decimal(0)) + costs.total
        self._priced += costs.priced
        self._unpriced += costs.unpriced
        self._reason = self._reason or costs.reason
        if costs.stale_days is not None:
            self._price_age_days = max(self._price_age_days or 0, costs.stale_days)

    def _success(self, batch: Batch) -> None:
        """Tokens, and the evidence that the successes bring with them."""
        import numpy as np

        from lens.metrics.batch import EVIDENCE
        from lens.metrics.batch_figures import together

        good = batch.success
        for number, name in enumerate(EVIDENCE):
            told = int((good & (batch.evidence == number)).sum())
            if told:
                self._evidence[name] += told
        for name, which in (("kernel", batch.kernel), ("read", ~batch.kernel)):
            stamped = int((good & (batch.n > 0) & which).sum())
            if stamped:
                self._stamp_kinds[name] += stamped
        pieces = good & (batch.n == 1) & (batch.streamed > PIECE_TOKENS)
        self._one_piece += sum([batch.records[i].stream for i in pieces.nonzero()[0].tolist()])
        self._lossy += int((batch.tcp[2] > 0).sum())
        self._content += int(batch.n[good].sum())
        self._coalesced += int(together(batch)[good].sum())
        for name in self._tokens:
            said = batch.usage[name][good]
            known = said[~np.isnan(said)]
            if len(known):
                self._tokens[name] = (self._tokens[name] or 0) + int(known.astype(np.int64).sum())

    def summary(self, info: RunInfo | None = None, percents: Sequence[float] = PERCENTILES) -> Summary:
        """What was taken so far."""
        self._take()
        requests, successes = self._statuses.total(), self._statuses[Status.SUCCESS.value]
        window_s = None
        if self._first_ns is not None and self._last_ns is not None and self._last_ns > self._first_ns:
            window_s = (self._last_ns - self._first_ns) / NS_PER_S
        output = self._tokens["output_tokens"]
        served = {name: distribution(name, "ms", values, percents) for name, values in self._server.items()}
        found = Summary(
            requests=requests,
            successes=successes,
            by_status=dict(self._statuses.most_common()),
            by_category=dict(self._categories.most_common()),
            examples=dict(self._examples),
            window_s=window_s,
            success_rate=successes / requests if requests else None,
            requests_per_second=successes / window_s if window_s else None,
            output_tokens_per_second=output / window_s if window_s and output is not None else None,
            concurrency_mean=self._busy_ns / NS_PER_S / window_s if window_s else None,
            input_tokens=self._tokens["input_tokens"],
            output_tokens=output,
            total_cost=self._cost,
            cost_per_request=self._cost / self._priced if self._cost is not None else None,
            unpriced=self._unpriced,
            unpriced_reason=self._reason,
            distributions=self._distributions(percents),
            retries=self._retries,
            connections_opened=self._opened,
            coalesced_share=self._coalesced / self._content if self._content else None,
            stamp_kinds=dict(self._stamp_kinds),
            token_evidence=dict(self._evidence),
            server_timing_ms={name: d for name, d in served.items() if d},
            goodput_rps=self._good / window_s if self._slos and window_s else None,
            good=self._good if self._slos else None,
            slos=tuple([str(slo) for slo in self._slos]),
            cached_tokens=self._tokens["cache_read_tokens"],
            clock_stepped=self._stepped,
            compressed=self._compressed,
            one_piece=self._one_piece,
            retransmitting=self._lossy,
            served_models=dict(self._served.most_common()),
            price_age_days=self._price_age_days,
        )
        return msgspec.structs.replace(found, warnings=(*(info.warnings if info else ()), *doubts(found)))

    def _distributions(self, percents: Sequence[float]) -> dict[str, Distribution]:
        found = {}
        for name, metric in METRICS.items():
            if name in self._columns:
                unit_ns = (NS_PER_MS if metric.unit == "ms" else NS_PER_US) if metric.kind == "gap" else 1
                values = self._columns[name].all(unit_ns)
                sure_of = SURE_OF if name in SURE else ()
                one = distribution(name, metric.unit, values, percents, sure_of=sure_of, own=True)
                if one:
                    found[name] = one
        return found


class Values:
    """Figures in the order in which they were taken; gaps in as few bytes as they fit in."""

    def __init__(self) -> None:
        self._parts: list[tuple[NDArray[Any], NDArray[Any] | None]] = []

    def add(self, values: NDArray[Any], into: NDArray[Any] | None = None) -> None:
        """At least one value. into: how many equal parts each value is; None: one."""
        self._parts.append((_narrow(values), None if into is None or (into == 1).all() else _narrow(into)))

    def all(self, per: int = 1) -> NDArray[Any]:
        """Everything as float64, divided by `per`."""
        import numpy as np

        sizes = [len(values) if into is None else int(into.sum()) for values, into in self._parts]
        found = np.empty(sum(sizes))
        at = 0
        for (values, into), size in zip(self._parts, sizes, strict=True):
            each = values / per if into is None else np.repeat(values / into / per, into)
            found[at : at + size] = each
            at += size
        return found


def _narrow(values: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers that are not below zero in 1, 2, 4 or 8 bytes; others as they are."""
    import numpy as np

    least, greatest = float(values.min()), float(values.max())
    if least < 0 or greatest > 2**53 or (values.dtype.kind == "f" and (values != np.floor(values)).any()):
        return values
    return values.astype(np.min_scalar_type(int(greatest)))


def summarize(
    records: Iterable[Record],
    info: RunInfo | None = None,
    book: PriceBook | None = None,
    *,
    slos: Sequence[Slo] = (),
) -> Summary:
    """All of a run in one go; records may come from anywhere, also from a RunStream."""
    collector = Collector(book, slos=slos)
    with _no_garbage():
        if isinstance(records, RunStream):
            collector.extend(records.packed())
            info = info or records.info
        else:
            collector.extend(records)
    return collector.summary(info)


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Records know nothing that knows them, so looking for cycles among millions of them is time for nothing."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def with_experiments(summary: Summary, records: Sequence[Record]) -> Summary:
    """The summary with what stages, pauses and connections of one run show."""
    rows = stage_rows(records)
    return msgspec.structs.replace(
        summary,
        stages=rows,
        cold_start=cold_start(records) or None,
        warnings=(*summary.warnings, *pacing_doubts(rows)),
    )
