"""The course of a run: what was open, answered and streamed in each slice of its time.

The page and the terminal draw from here, so that both say the same. Slices are of one width;
the last ends with the run, and its rates are over the part that there was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lens.metrics.timeline import timeline
from lens.model import Record, Status
from lens.units import NS_PER_S

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A last slice may be short; a rate over less than this share of a slice says nothing.
LEAST_SHARE = 0.02


class Course(NamedTuple):
    """A value a slice."""

    open: NDArray[Any]  # requests open, mean
    requests: NDArray[Any]  # complete answers a second
    tokens: NDArray[Any]  # tokens a second, as they arrived
    failed: NDArray[Any]  # requests that ended without success


class Arrivals(NamedTuple):
    """Tokens of many requests: absolute arrival in ns, and how many came with each event."""

    at_ns: NDArray[Any]
    tokens: NDArray[Any]


def arrivals(records: Iterable[Record]) -> Arrivals:
    """The content events of these requests, in no order."""
    import numpy as np

    at, tokens = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for record in records:
        line = timeline(record)
        if len(line.at_ns):
            at.append(line.at_ns + record.stamps.start)
            tokens.append(line.tokens)
    return Arrivals(np.concatenate(at), np.concatenate(tokens))


def span_ns(records: Sequence[Record], zero_ns: int) -> int:
    """From there to the last end."""
    ends = [r.stamps.end or r.stamps.start for r in records]
    return max(max(ends, default=zero_ns) - zero_ns, 1)


def course_of(records: Sequence[Record], came: Arrivals, *, zero_ns: int, step_ns: int) -> Course:
    """The run in slices of step_ns from zero_ns on."""
    import numpy as np

    span = span_ns(records, zero_ns)
    n = -(-span // step_ns)
    starts = np.array([r.stamps.start - zero_ns for r in records], dtype=np.float64)
    ends = np.array([(r.stamps.end or r.stamps.start) - zero_ns for r in records], dtype=np.float64)
    good = np.array([r.status is Status.SUCCESS for r in records], dtype=bool)
    edges = np.arange(n + 1, dtype=np.float64) * step_ns
    busy = np.diff(_time_since(np.sort(starts), edges) - _time_since(np.sort(ends), edges))
    widths = np.full(n, step_ns / NS_PER_S)
    widths[-1] *= max((span - (n - 1) * step_ns) / step_ns, LEAST_SHARE)

    def counted(at: NDArray[Any], weights: NDArray[Any] | None = None) -> NDArray[Any]:
        where = np.clip(at // step_ns, 0, n - 1).astype(np.int64)
        return np.bincount(where, weights, minlength=n)

    return Course(
        open=busy / NS_PER_S / widths,
        requests=counted(ends[good]) / widths,
        tokens=counted(came.at_ns - zero_ns, came.tokens) / widths,
        failed=counted(ends[~good]),
    )


def _time_since(ordered: NDArray[Any], at: NDArray[Any]) -> NDArray[Any]:
    """Sum over all earlier instants of the time since: its growth is the number of instants passed."""
    import numpy as np

    total = np.concatenate(([0.0], np.cumsum(ordered)))
    passed = np.searchsorted(ordered, at)
    result: NDArray[Any] = passed * at - total[passed]
    return result
