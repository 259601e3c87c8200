"""One request's figures as attributes: what the library gives for a request."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from lens.metrics.builder import is_short, table_of
from lens.metrics.definitions import metric_named
from lens.metrics.rows import TokenTiming, Value, error_texts, figures_of, file_name, token_timings
from lens.metrics.table import Table
from lens.model import Record, RunInfo
from lens.pricing import PriceBook
from lens.results.request_figures import RequestFigures
from lens.results.tabular import Tabular


class RequestMetrics(RequestFigures, Tabular):
    """One request and its figures; None is not measured.

    Every metric of a request is an attribute, under its name in files (`dns_resolution_ms`) and under that of its
    definition (`dns_ms`). `record` is all that was measured. Figures are computed when the first is asked for.
    A metric that a program adds by `define` is an attribute too, and in `figures`.
    """

    record: Record
    """All that was measured of the request, stamps included."""
    book: PriceBook
    """Prices that its costs are computed from."""

    def __init__(self, record: Record, book: PriceBook | None = None) -> None:
        self.record = record
        self.book = book or PriceBook()

    @property
    def info(self) -> RunInfo | None:
        """None: a request by itself has no header."""
        return None

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

    if not TYPE_CHECKING:  # what a type checker knows is in RequestFigures

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
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

    def _repr_html_(self) -> str:
        """Return the request for a notebook: what it was, and every figure that was measured."""
        from lens.results.notebook import request_html

        return request_html(f"{self.provider}/{self.model}", self.status, self.error, self.figures)

    def to_dict(self) -> dict[str, Any]:
        """Return the request as plain values, figures and record, as the JSON export has them; costs are floats."""
        from lens.export.request_json import encode_requests

        found: dict[str, Any] = msgspec.json.decode(next(encode_requests(self.table, timings=True)))
        return found

    @property
    def ok(self) -> bool:
        """Whether the whole answer came."""
        return self.record.status.value == "Success"

    @property
    def request_id(self) -> str:
        """The id of the request in every output."""
        return self.record.request_id

    @property
    def provider(self) -> str:
        """The provider that was asked."""
        return self.record.provider

    @property
    def model(self) -> str:
        """The model that was asked for; `record.served_model` is what the answer names."""
        return self.record.model

    @property
    def timestamp(self) -> str:
        """When the request started by the wall clock, RFC 3339 in UTC."""
        return self.record.timestamp

    @property
    def status(self) -> str:
        """The outcome: "Success", or the kind of failure."""
        return self.record.status.value

    @property
    def error(self) -> str | None:
        """What went wrong, in one line; None where nothing did."""
        return error_texts(self._listed)[0]

    @property
    def text(self) -> str | None:
        """The text of the answer, where it was saved."""
        return self.record.text

    @property
    def token_timings(self) -> list[TokenTiming]:
        """When each content event came: since the start, and since the one before; in ms."""
        return next(token_timings(self._listed))
