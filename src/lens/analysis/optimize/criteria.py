"""What a target must keep to be chosen at all: bounds on its figures, joined by and, or, not.

    Criteria.LatencyUnder(500).and_(Criteria.CostBelow(0.01)).and_(Criteria.ThroughputAbove(20))

A bound has three answers: kept, not kept, and not known, where its figure was not measured. They are joined
as Kleene (1938) joined them, so that the opposite of an unknown is unknown too. Only what is known to be
kept is kept.
"""

from __future__ import annotations

from collections.abc import Callable

from lens.analysis.gates.thresholds import Threshold, parse_threshold

Truth = bool | None
# Answers for the figures of one target.
Asked = Callable[[Threshold], Truth]


class Criteria:
    """Base of all: they are joined by and_, or_, not_, or by &, |, ~."""

    def truth(self, of: Asked) -> Truth:  # noqa: ARG002
        """Return whether it holds for a target, of which `of` answers for one bound; None: not known."""
        return True

    def bounds(self) -> tuple[Threshold, ...]:
        """Return all bounds within, from left to right."""
        return ()

    @staticmethod
    def LatencyUnder(limit_ms: float, figure: str = "ttft_p95") -> Criteria:  # noqa: N802 - the name of the class
        """Return a limit in milliseconds on the time to the first token, or on another figure."""
        return LatencyUnder(limit_ms, figure)

    @staticmethod
    def CostBelow(limit_usd: float) -> Criteria:  # noqa: N802
        """Return a limit in USD a request."""
        return CostBelow(limit_usd)

    @staticmethod
    def ThroughputAbove(tokens_per_second: float) -> Criteria:  # noqa: N802
        """Return a least number of tokens a second of one answer."""
        return ThroughputAbove(tokens_per_second)

    @staticmethod
    def ReliabilityAbove(share: float) -> Criteria:  # noqa: N802
        """Return a least share of requests that succeed."""
        return ReliabilityAbove(share)

    def and_(self, other: Criteria) -> Criteria:
        """Return criteria that both must hold."""
        return Both(self, other)

    def or_(self, other: Criteria) -> Criteria:
        """Return criteria of which one must hold."""
        return Either(self, other)

    def not_(self) -> Criteria:
        """Return criteria that hold where these do not."""
        return Opposite(self)

    __and__, __or__, __invert__ = and_, or_, not_

    def __str__(self) -> str:
        return "anything"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Criteria) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


class Bound(Criteria):
    """A limit on one figure, as thresholds are written: Bound("ttft_p95<500")."""

    def __init__(self, threshold: Threshold | str) -> None:
        """
        Raises:
            ConfigError: the text is no threshold.
        """
        self.threshold = parse_threshold(threshold) if isinstance(threshold, str) else threshold

    def truth(self, of: Asked) -> Truth:
        return of(self.threshold)

    def bounds(self) -> tuple[Threshold, ...]:
        return (self.threshold,)

    def __str__(self) -> str:
        return str(self.threshold)


class LatencyUnder(Bound):
    """Milliseconds; of the time to the first token at its 95th percentile, where no other figure is named."""

    def __init__(self, limit_ms: float, figure: str = "ttft_p95") -> None:
        super().__init__(f"{figure}<{limit_ms!r}")


class CostBelow(Bound):
    """USD a request, on average."""

    def __init__(self, limit_usd: float) -> None:
        super().__init__(f"total_cost_mean<{limit_usd!r}")


class ThroughputAbove(Bound):
    """Tokens a second of one answer, on average."""

    def __init__(self, tokens_per_second: float) -> None:
        super().__init__(f"tokens_per_second_mean>{tokens_per_second!r}")


class ReliabilityAbove(Bound):
    """The share of requests that succeed, 0 to 1."""

    def __init__(self, share: float) -> None:
        super().__init__(f"success_rate>{share!r}")


class Both(Criteria):
    def __init__(self, left: Criteria, right: Criteria) -> None:
        self.left, self.right = left, right

    def truth(self, of: Asked) -> Truth:
        found = (self.left.truth(of), self.right.truth(of))
        return False if False in found else None if None in found else True

    def bounds(self) -> tuple[Threshold, ...]:
        return self.left.bounds() + self.right.bounds()

    def __str__(self) -> str:
        return " and ".join(f"({one})" if isinstance(one, Either) else str(one) for one in (self.left, self.right))


class Either(Criteria):
    def __init__(self, left: Criteria, right: Criteria) -> None:
        self.left, self.right = left, right

    def truth(self, of: Asked) -> Truth:
        found = (self.left.truth(of), self.right.truth(of))
        return True if True in found else None if None in found else False

    def bounds(self) -> tuple[Threshold, ...]:
        return self.left.bounds() + self.right.bounds()

    def __str__(self) -> str:
        return f"{self.left} or {self.right}"


class Opposite(Criteria):
    def __init__(self, inner: Criteria) -> None:
        self.inner = inner

    def truth(self, of: Asked) -> Truth:
        found = self.inner.truth(of)
        return None if found is None else not found

    def bounds(self) -> tuple[Threshold, ...]:
        return self.inner.bounds()

    def __str__(self) -> str:
        return f"not ({self.inner})"


def conjuncts(criteria: Criteria | None) -> tuple[Criteria, ...]:
    """Return the parts that must each hold, so that a page can tell what each of them excludes."""
    if criteria is None:
        return ()
    if isinstance(criteria, Both):
        return conjuncts(criteria.left) + conjuncts(criteria.right)
    return (criteria,)


def all_of(parts: list[Criteria]) -> Criteria | None:
    """Return all of these together; None where there is none."""
    found: Criteria | None = None
    for part in parts:
        found = part if found is None else found.and_(part)
    return found
