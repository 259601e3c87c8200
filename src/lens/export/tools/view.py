"""Requests as another load tool would have seen them: its zero, its first token, its end.

Only what those tools' result files are made of; the definitions are those of metrics/tool_definitions.py, so
that a figure in such a file, in `--definitions` and in the tool's own file can be laid side by side.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np

from lens.export.wallclock import start_unix_ns, unix_s
from lens.history.lean import MISSING
from lens.metrics.columns import Codes, Column, Lists
from lens.metrics.formulas import since
from lens.metrics.raw_events import raw_events, with_records
from lens.metrics.rows import error_codes, request_ids
from lens.metrics.table import Table
from lens.metrics.tool_definitions import ToolDefinitions
from lens.units import NS_PER_S


class ToolRequests(NamedTuple):
    """Requests in a tool's eyes, a column each; float64 seconds, as these tools have it, NaN where absent."""

    ok: Column  # bool
    start_s: Column  # Unix time of the tool's zero
    latency_s: Column
    ttft_s: Column
    gaps_s: Column  # of all requests
    gap_first: Column  # where the gaps of each begin; one more than requests
    input_tokens: Column
    output_tokens: Column
    reasoning_tokens: Column
    ttfo_s: Column
    category: Codes
    code: Codes  # HTTP status
    error: Codes
    stage: Codes
    texts: list[str]
    ids: list[str]

    def take(self, rows: Column) -> Self:
        """Return some of the requests, by row numbers."""
        gaps = Lists(self.gap_first, {})
        listed = rows.tolist()
        taken: dict[str, Any] = {}
        for name, one in self._asdict().items():
            if isinstance(one, Codes):
                taken[name] = Codes(one.codes[rows], one.values)
            elif isinstance(one, list):
                taken[name] = [one[row] for row in listed]
            elif name not in ("gaps_s", "gap_first"):
                taken[name] = one[rows]
        return type(self)(gaps_s=self.gaps_s[gaps.places_of(rows)], gap_first=gaps.first_of(rows), **taken)

    @property
    def done(self) -> Self:
        """The requests that succeeded."""
        return self.take(np.flatnonzero(self.ok))

    @property
    def tpot_s(self) -> Column:
        """(latency - TTFT) / (n - 1): how vllm and aiperf spread an answer over its tokens."""
        n = self.output_tokens
        found: Column = (self.latency_s - self.ttft_s) / np.where(n >= 2, n - 1, np.nan)
        return found

    @property
    def gap_sums_s(self) -> Column:
        """The time from the first token to the last, as the sum of the gaps."""
        of = np.repeat(np.arange(len(self.ok)), np.diff(self.gap_first))
        return np.bincount(of, weights=self.gaps_s, minlength=len(self.ok))

    @property
    def span_s(self) -> float:
        """First start to last end; 0 when nothing ended."""
        ends = self.start_s + self.latency_s
        return float(np.nanmax(ends) - self.start_s.min()) if not np.isnan(ends).all() else 0.0


def seen_by(tool: ToolDefinitions, table: Table) -> ToolRequests:
    """Return the requests of a table by a tool's definitions, without those of the warm-up."""
    # Of those tools one lists requests that the end of its run cut.
    table = table.measured(interrupted=tool.name == "guidellm")
    columns: dict[str, list[Column]] = {
        name: [] for name in ("start_s", "latency_s", "ttft_s", "ttfo_s", "gaps_s", "n")
    }
    texts: list[str] = []
    for part, records in with_records(table):
        view = tool.look(raw_events(records), part)
        # A body in one piece has no token of its own: such a tool then shows the whole latency.
        end = np.where(view.end == MISSING, part.stamp("end"), view.end)
        start = start_unix_ns(part)
        columns["start_s"].append(unix_s(np.where(start == MISSING, 0, start) + view.zero))
        columns["latency_s"].append(since(view.zero, end, NS_PER_S))
        columns["ttft_s"].append(since(view.zero, view.first, NS_PER_S))
        columns["ttfo_s"].append(since(view.zero, part.first_of(part.output), NS_PER_S))
        columns["gaps_s"].append(view.gaps / NS_PER_S)
        columns["n"].append(np.bincount(view.gap_of, minlength=len(part)))
        texts += [record.text or "" for record in records]
    joined = {name: np.concatenate(parts) if parts else np.empty(0) for name, parts in columns.items()}
    gap_first = np.concatenate(([0], np.cumsum(joined.pop("n").astype(np.int64))))
    return ToolRequests(
        ok=table.success,
        **joined,
        gap_first=gap_first,
        input_tokens=table.usage("input_tokens"),
        output_tokens=table.usage("output_tokens"),
        reasoning_tokens=table.usage("reasoning_tokens"),
        category=table.codes("category"),
        code=table.codes("http_status"),
        error=error_codes(table),
        stage=table.codes("stage"),
        texts=texts,
        ids=request_ids(table),
    )


def known(column: Column, scale: float = 1) -> Column:
    """Return the values of a column that are there, times `scale`."""
    found: Column = column[~np.isnan(column)] * scale
    return found


def total(column: Column) -> int:
    """Return the sum of token counts, those that are there."""
    return int(np.nan_to_num(column).astype(np.int64).sum())
