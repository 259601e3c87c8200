"""What a table is made of: columns of few different values, columns of several values a request, and rows of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lens.arrays.dispatch import arange_like, np
from lens.metrics.buffer import SMALLEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Column = NDArray[Any]
else:
    Column = Any

Rows = Column | slice  # places of requests; a slice has both ends and step 1
# So many rows that follow each other are a slice.
LEAST_FOLLOWING = 64


class Codes(NamedTuple):
    """A column of few different values: of each request the number of its value, -1 where it has none."""

    codes: Column  # int32
    values: tuple[Any, ...]

    def equal(self, value: Any) -> Column:
        """Return which requests have this value, as bool."""
        number = self.values.index(value) if value in self.values else -2
        found: Column = self.codes == number
        return found

    def listed(self) -> list[Any]:
        """Return the value of each request, None where it has none."""
        by_code = [*self.values, None]  # -1 is the last
        return [by_code[code] for code in self.codes.tolist()]

    def used(self) -> dict[Any, int]:
        """Return how many requests have each value, in the order of `values`; those that none has are left out."""
        counts = np.bincount(self.codes[self.codes >= 0], minlength=len(self.values)).tolist()
        return {value: n for value, n in zip(self.values, counts, strict=True) if n}


class Lists(NamedTuple):
    """Columns with several values a request, one request's behind the other's."""

    first: Column  # int64, one more than requests: where the values of each begin
    columns: dict[str, Column]

    @classmethod
    def of_sizes(cls, sizes: Column, columns: dict[str, Column]) -> Lists:
        """Return columns with so many values a request; `first` takes no memory where many requests have none."""
        if len(sizes) >= SMALLEST and not sizes.any():
            return cls(np.broadcast_to(np.zeros(1, dtype=np.int64), len(sizes) + 1), columns)
        return cls(np.concatenate(([0], np.cumsum(sizes, dtype=np.int64))), columns)

    @property
    def sizes(self) -> Column:
        return np.diff(self.first)

    def first_of(self, rows: Rows) -> Column:
        """Return `first` of these requests."""
        if isinstance(rows, slice):
            own = self.first[rows.start : rows.stop + 1]
            first: Column = own - own[0]
        else:
            first = np.concatenate(([0], np.cumsum(self.first[rows + 1] - self.first[rows])))
        return first

    def places_of(self, rows: Rows) -> Column | slice:
        """Return the places of the values of these requests."""
        if isinstance(rows, slice):
            return slice(self.first[rows.start], self.first[rows.stop])
        begins = self.first[rows]
        sizes = self.first[rows + 1] - begins
        places: Column = np.repeat(begins - (np.cumsum(sizes) - sizes), sizes)
        places += arange_like(places)
        return places


class OutputPace(NamedTuple):
    """Events of visible output, one request's behind the other's."""

    after: Column  # ns after the first of its request
    before: Column  # tokens that came before it
    tokens: Column  # that it brought
    begins: Column  # the places of the first events
    rows: Column  # the requests of these


def as_slice(rows: Rows) -> Rows:
    """Return rows that follow each other as a slice, which needs no copies."""
    if isinstance(rows, slice) or len(rows) < LEAST_FOLLOWING or rows[-1] - rows[0] + 1 != len(rows):
        return rows
    return slice(int(rows[0]), int(rows[-1]) + 1) if bool((np.diff(rows) == 1).all()) else rows
