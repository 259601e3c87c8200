"""One request's figures as attributes, under the plan's names: what the library gives for a request."""

from __future__ import annotations

from typing import Any

from lens.metrics.definitions import Value
from lens.metrics.rows import all_figures, error_text, token_timings
from lens.model import Record
from lens.pricing import PriceBook


class RequestMetrics:
    """One request and its figures under the plan's names (PLAN 2.2.4); None is not measured.

    Every other metric of METRICS.md is an attribute too; `record` is all that was measured.
    """

    def __init__(self, record: Record, book: PriceBook | None = None) -> None:
        self.record = record
        self.book = book or PriceBook()  # what its costs were worked out with
        self.figures: dict[str, Value | None] = all_figures(record, self.book)

    def __getattr__(self, name: str) -> Any:
        figures = self.__dict__.get("figures", {})
        if name in figures:
            return figures[name]
        raise AttributeError(f"there is no figure {name!r}; there are {', '.join(figures)}")

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
        return error_text(self.record)

    @property
    def text(self) -> str | None:
        return self.record.text

    @property
    def token_timings(self) -> list[dict[str, Any]]:
        """The plan's TokenTiming of each content event."""
        return token_timings(self.record)
