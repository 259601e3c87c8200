"""Sum up a table: counts, distributions, throughput, money, warnings.

A failed request is counted, never dropped, and speaks only for what it still measured. Requests of warm-up
and cool-down are not part of the figures. Rates of several runs are over the sum of their windows. What the end of a
run cut neither succeeded nor failed: it counts in the window and as open alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Context, Decimal
from typing import Any

import msgspec

from lens.arrays.dispatch import np
from lens.history.read import RunStream
from lens.metrics.builder import table_of, table_of_stream
from lens.metrics.cold_start import cold_start
from lens.metrics.columns import SLICE, Column
from lens.metrics.definitions import metric_named, request_metrics
from lens.metrics.distribution import PERCENTILES, SURE_OF, Distribution, distribution, distribution_of_pieces
from lens.metrics.formulas import coalesced_events
from lens.metrics.goodput import Slo, keep_slos
from lens.metrics.prefill import LEAST_REQUESTS, PrefillFit, fit_prefill
from lens.metrics.quality_warnings import quality_warnings
from lens.metrics.session_summary import SessionSummary, cache_read_share, session_summary
from lens.metrics.stages import pacing_warnings, stage_rows
from lens.metrics.summary import Summary
from lens.metrics.table import Table
from lens.metrics.token_counts import EVIDENCE
from lens.metrics.windows import window_of
from lens.model import Record, RunInfo
from lens.pricing import PriceBook

# An answer of more tokens than this that came in one event was not streamed.
PIECE_TOKENS = 5
# Digits of a cost per request, which is a quotient; more are noise.
_EACH = Context(prec=12)
# What people decide by: these get intervals.
SURE = ("ttft_ms", "ttft_from_schedule_ms", "ttfo_ms", "itl_ms", "tpot_ms", "total_latency_ms", "tokens_per_second")


def summarize(
    requests: Table | RunStream | Iterable[Record],
    info: RunInfo | None = None,
    book: PriceBook | None = None,
    *,
    slos: Sequence[Slo] = (),
    percents: Sequence[float] = PERCENTILES,
    metrics: Iterable[str] | None = None,
) -> Summary:
    """Return the summary of requests.

    info: of the run, whose warnings are told too; book: of prices, where `requests` are no table, which has its own;
    slos: what a request must keep to count as good (goodput); percents: the percentiles that are given;
    metrics: those whose distributions are given, None: all. Warnings need `quality_warnings.READ_FROM`.
    """
    if isinstance(requests, RunStream):
        requests, _ = table_of_stream(requests, book)
        info = info or requests.info
    table = requests if isinstance(requests, Table) else table_of(requests, info, book)
    measured = table.measured()
    cut = len(measured.with_interrupted) - len(measured)
    found = _summary(measured, slos, distributions(measured, percents, metrics), server_times(measured, percents))
    found = msgspec.structs.replace(found, interrupted=cut)
    warnings = (*(info.warnings if info else ()), *quality_warnings(found))
    if len(list(measured.by_run())) == 1:
        rows = stage_rows(measured, found.distributions)
        warnings = (*pacing_warnings(rows), *warnings)  # a client that was overloaded is named first
        found = msgspec.structs.replace(found, stages=rows, cold_start=cold_start(measured) or None)
    return msgspec.structs.replace(found, warnings=warnings)


def distributions(
    table: Table, percents: Sequence[float] = PERCENTILES, metrics: Iterable[str] | None = None
) -> dict[str, Distribution]:
    """Return how the values of each metric are spread; of those that may speak for it. metrics: None: all."""
    found = {}
    wanted = [*request_metrics()] if metrics is None else [*map(metric_named, metrics)]
    for metric in table.evaluate_ahead(wanted):
        sure_of = SURE_OF if metric.name in SURE else ()
        if metric.pooled is not None and len(table) > SLICE:
            one = distribution_of_pieces(metric.name, metric.unit, table.pieces(metric.name), percents, sure_of=sure_of)
        else:
            values = table.values(metric.name)
            one = distribution(metric.name, metric.unit, values, percents, sure_of=sure_of, own=True)
        if one:
            found[metric.name] = one
    return found


def server_times(table: Table, percents: Sequence[float] = PERCENTILES) -> dict[str, Distribution]:
    """Return how the times that servers told are spread, by their source."""
    sources, source, took = table.sources, table.listed("timing", "source"), table.listed("timing", "ms")
    order = np.argsort(source, kind="stable")
    ends = np.searchsorted(source[order], list(range(len(sources))), side="right")
    parts = np.split(took[order], ends)
    found = {name: distribution(name, "ms", part, percents) for name, part in zip(sources, parts, strict=False)}
    return {name: one for name, one in found.items() if one}


def _summary(
    table: Table, slos: Sequence[Slo], spread: dict[str, Distribution], told: dict[str, Distribution]
) -> Summary:
    success = table.success
    requests, successes = len(table), int(success.sum())
    window = window_of(table)
    window_s = window.window_s
    costs = table.costs
    output = _total(table, "output_tokens")
    sessions = session_summary(table, slos)
    good = int((keep_slos(table, slos) & success).sum()) if slos else None
    content = int(table.n[success].sum())
    reused = table.codes("reused")
    pieces = success & (table.n == 1) & (table.column("streamed") > PIECE_TOKENS) & table.column("stream")
    encodings = table.codes("content_encoding")
    return Summary(
        requests=requests,
        successes=successes,
        by_status=_counts(table, "status"),
        by_category=_counts(table, "category"),
        examples=_examples(table),
        window_s=window_s,
        success_rate=successes / requests if requests else None,
        requests_per_second=successes / window_s if window_s else None,
        output_tokens_per_second=output / window_s if window_s and output is not None else None,
        concurrency_mean=window.open_mean,
        input_tokens=_total(table, "input_tokens"),
        output_tokens=output,
        total_cost=costs.total,
        cost_per_request=_EACH.divide(costs.total, Decimal(costs.priced)) if costs.total is not None else None,
        unpriced=costs.unpriced,
        unpriced_reason=costs.reason,
        distributions=spread,
        retries=int(table.column("tries").sum()),
        connections_opened=int(reused.equal(False).sum()),
        coalesced_share=_coalesced(table) / content if content else None,
        stamp_kinds=_stamp_kinds(table),
        token_evidence=_evidence(table),
        server_timing_ms=told,
        ttft_of_successes=_ttft_of_successes(table, spread),
        goodput_rps=good / window_s if good is not None and window_s else None,
        good=good,
        slos=tuple([str(slo) for slo in slos]),
        cached_tokens=_total(table, "cache_read_tokens"),
        cache_read_share=cache_read_share(table),
        prefill=prefill_fit(table),
        **_session_figures(sessions, window_s),
        clock_stepped=int(table.column("clock_stepped").sum()),
        compressed=int(((encodings.codes >= 0) & ~encodings.equal("identity")).sum()),
        one_piece=int(pieces.sum()),
        without_content=int(table.empty.sum()),
        retransmitting=int((success & (table.column("retransmits") > 0)).sum()),
        served_models=_counts(table, "served_model"),
        valid_rate=_mean(table.column("valid")[success]),
        invalid=_counts(table.take(success), "invalid"),
        price_age_days=costs.stale_days,
        estimated_costs=int((costs.estimated & success).sum()),
        uncounted=tuple(map(str, costs.uncounted)),
    )


def _coalesced(table: Table) -> float:
    """Return how many content events of the successes came in the read of the one before."""
    return float(sum([float(coalesced_events(part)[part.success].sum()) for part in table.slices()]))


def _ttft_of_successes(table: Table, spread: dict[str, Distribution]) -> Distribution | None:
    """Return the TTFT of the successes, where requests that failed have one too; None where it was not asked for."""
    found = spread.get("ttft_ms")
    if found is None or bool(table.success.all()):
        return None
    values = table.take(table.success).values("ttft_ms")
    return distribution("ttft_ms", "ms", values, PERCENTILES, own=True) if 0 < len(values) < found.n else None


def _mean(values: Column) -> float | None:
    """Return the mean of the values that were measured; None where none was."""
    known = values[~np.isnan(values)]
    return float(known.sum()) / len(known) if len(known) else None


def _session_figures(sessions: SessionSummary | None, window_s: float | None) -> dict[str, Any]:
    """Return the fields of a summary that are about sessions."""
    if sessions is None:
        return {}
    complete, ended = sessions.complete, sessions.complete + sessions.failed
    return {
        "sessions": sessions,
        "sessions_per_second": complete / window_s if window_s else None,
        "session_success_rate": complete / ended if ended else None,
        "goodput_sessions_per_second": sessions.good / window_s if sessions.good is not None and window_s else None,
    }


def prefill_fit(table: Table) -> PrefillFit | None:
    """Return what tokens of the prompt cost of one target; None where the counts or the stamps do not tell it."""
    if len(table) < LEAST_REQUESTS or len(table.codes("target").used()) != 1:
        return None
    uncached, cached = table.counted("uncached_tokens"), table.counted("cached_tokens")
    if np.isnan(cached).all():  # what is not told was not cached
        uncached, cached = table.counted("input_tokens"), np.zeros_like(cached)
    return fit_prefill(table.counted("ttft_from_send_ms"), uncached, cached, table.codes("session_id").codes)


def _counts(table: Table, name: str) -> dict[str, int]:
    """Return how many requests have each value, the most frequent first."""
    return dict(sorted(table.codes(name).used().items(), key=lambda item: -item[1]))


def _examples(table: Table) -> dict[str, str]:
    """Return of each category of failure the first message."""
    categories, messages = table.codes("category"), table.codes("failure")
    failed = np.flatnonzero(messages.codes >= 0)
    found, first = np.unique(categories.codes[failed], return_index=True)
    rows = failed[first]
    ordered = sorted(zip(rows.tolist(), found.tolist(), strict=True))
    return {categories.values[category]: messages.values[messages.codes[row]] for row, category in ordered}


def _total(table: Table, name: str) -> int | None:
    """Return the tokens of all successes; None where no answer told them."""
    told = table.usage(name)[table.success]
    known = told[~np.isnan(told)]
    return int(known.astype(np.int64).sum()) if len(known) else None


def _stamp_kinds(table: Table) -> dict[str, int]:
    """Return how many answers have the kernel's stamps, and how many those of this client's reads."""
    answered = table.success & (table.n > 0)
    counts = {"kernel": int((answered & table.kernel).sum()), "read": int((answered & ~table.kernel).sum())}
    return {name: n for name, n in counts.items() if n}


def _evidence(table: Table) -> dict[str, int]:
    """Return who said how many tokens each event brought, and of how many answers."""
    told = table.column("evidence")[table.success]
    counts = np.bincount(told[told >= 0], minlength=len(EVIDENCE)).tolist()
    return {name: n for name, n in zip(EVIDENCE, counts, strict=True) if n}
