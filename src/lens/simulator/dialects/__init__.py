"""Every provider's dialect, chosen by the request's path: one simulator speaks all."""

from lens.simulator.dialects.base import Dialect
from lens.simulator.dialects.route import dialect_for

__all__ = ["Dialect", "dialect_for"]
