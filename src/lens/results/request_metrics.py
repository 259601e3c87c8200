"""One request's figures as attributes: what the library gives for a request."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from lens.metrics.builder import is_short, table_of
from lens.metrics.definitions import metric_named
from lens.metrics.rows import Value, error_texts, figures_of, file_name, token_timings
from lens.metrics.table import Table
from lens.model import Record
from lens.pricing import PriceBook


class RequestMetrics:
    """One request and its figures; None is not measured.

    Every metric of a request is an attribute, under its name in files (`dns_resolution_ms`) and under that of its
    definition (`dns_ms`). `record` is all that was measured. Figures are computed when the first is asked for.
    """

    def __init__(self, record: Record, book: PriceBook | None = None) -> None:
        self.record = record
        self.book = book or PriceBook()  # what its costs are worked out with

    @cached_property
    def table(self) -> Table:
        """The request as a table of one row."""
        return table_of([self.record], book=self.book)

    @cached_property
    def figures(self) -> dict[str, Value | None]:
        """Every metric of a request by its name in files."""
        return {name: values[0] for name, values in figures_of(self._listed).items()}

    @cached_property
    def _listed(self) -> Table:
        """The same table; of a short request on lists of Python, so that numpy is not loaded for it."""
        return table_of([self.record], book=self.book, few=True) if is_short(self.record) else self.table

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            metric = metric_named(name)
        except KeyError:
            metric = None
        wanted = file_name(metric) if metric is not None else name
        if wanted in self.figures:
            return self.figures[wanted]
        raise AttributeError(f"there is no figure {name!r}; there are {', '.join(self.figures)}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self.figures]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={self.figures[name]}" for name in ("ttft_ms", "total_latency_ms", "output_tokens"))
        return f"RequestMetrics({self.record.status.value}, {shown})"

    @property
    def ok(self) -> bool:
        """The answer came, whole."""
        return self.record.status.value == "Success"

    @property
    def request_id(self) -> str:
        return self.record.request_id

    @property
    def provider(self) -> str:
        return self.record.provider

    @property
    def model(self) -> str:
        return self.record.model

    @property
    def timestamp(self) -> str:
        return self.record.timestamp

    @property
    def status(self) -> str:
        return self.record.status.value

    @property
    def error(self) -> str | None:
        return error_texts(self._listed)[0]

    @property
    def text(self) -> str | None:
        return self.record.text

    @property
    def token_timings(self) -> list[dict[str, Any]]:
        """Of each content event when it came: since the start, and since the one before; in ms."""
        return next(token_timings(self._listed))
