"""Requests and runs for other libraries: data frames, plain values, and a view in notebooks.

pyarrow, pandas and polars are imported when a frame is asked for; each is an extra.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from lens.export.extras import need

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

    from lens.metrics.summary import Summary
    from lens.metrics.table import Table
    from lens.model import Record, RunInfo


class Tabular:
    """What has a table of requests. A subclass has `info` and `table`."""

    if TYPE_CHECKING:

        @property
        def info(self) -> RunInfo | None:
            """The header of the run; None where there is none."""

        @property
        def table(self) -> Table:
            """The requests, a column for each property."""
            raise NotImplementedError

    def to_arrow(self) -> pyarrow.Table:
        """Return a pyarrow.Table: a row for each request, the columns of the CSV and Parquet exports.

        What was not measured is null; times are float64 in ms, counts int64, costs decimals in USD. `token_at_ms`,
        `token_gap_ms` and `tokens_per_event` are lists with an item for each content event.

        Raises:
            ConfigError: pyarrow is not installed.
        """
        return self._arrow("to_arrow()", "arrow")

    def to_pandas(self) -> pandas.DataFrame:
        """Return a pandas.DataFrame of `to_arrow`; what was not measured is NaN, and costs are floats.

        Raises:
            ConfigError: pandas or pyarrow is not installed.
        """
        need("pandas", "pandas", "to_pandas()")
        from lens.export.arrow import without_decimals

        found: pandas.DataFrame = without_decimals(self._arrow("to_pandas()", "pandas")).to_pandas()
        return found

    def to_polars(self) -> polars.DataFrame:
        """Return a polars.DataFrame of `to_arrow`: the same columns and types.

        Raises:
            ConfigError: polars or pyarrow is not installed.
        """
        pl = need("polars", "polars", "to_polars()")
        found: polars.DataFrame = pl.from_arrow(self._arrow("to_polars()", "polars"))
        return found

    def _arrow(self, call: str, extra: str) -> Any:
        """Return the Arrow table that a call needs; `extra` is the one to install for it."""
        pa = need("pyarrow", extra, call)
        from lens.export.arrow import arrow_table

        return arrow_table(pa, self.table, self.info)


class RunView(Tabular):
    """A run as the library gives it: unpacks as (info, records). A subclass has `summary`, `records` and `warnings`."""

    if TYPE_CHECKING:

        @property
        def records(self) -> list[Record]:
            """All requests."""
            raise NotImplementedError

        @property
        def warnings(self) -> tuple[str, ...]:
            """What a reader of the figures should know."""
            raise NotImplementedError

        @property
        def summary(self) -> Summary:
            """The figures of the run."""
            raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Return the run as plain values: totals, statistics, header and `requests`, as the JSON export has them.

        Costs are floats; for exact ones read `summary.total_cost`.
        """
        from lens.export.document import summary_fields
        from lens.export.json import document_of_run
        from lens.export.request_json import encode_requests
        from lens.history.write import encode_json

        fields = (
            summary_fields(self.summary) if self.info is None else document_of_run(self.info, self.summary, self.table)
        )
        found: dict[str, Any] = msgspec.json.decode(encode_json(fields))
        return {**found, "requests": [*map(msgspec.json.decode, encode_requests(self.table, timings=True))]}

    def _repr_html_(self) -> str:
        """Return the run for a notebook: target, outcome, throughput, latency table and warnings."""
        from lens.results.notebook import run_html

        return run_html(self.table.codes("target").used(), self.summary, self.warnings)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.info, self.records))
