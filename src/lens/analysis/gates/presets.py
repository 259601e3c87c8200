"""Service level agreements that are built in, each with its source."""

from __future__ import annotations

import msgspec

from lens.analysis.gates.sla import Gate
from lens.analysis.gates.thresholds import parse_threshold


class Sla(msgspec.Struct, frozen=True, kw_only=True):
    """An agreement under a name."""

    name: str
    thresholds: tuple[str, ...]
    says: str

    def gates(self) -> tuple[Gate, ...]:
        """Return its gates, for the requests of all targets."""
        return tuple([Gate(threshold=parse_threshold(text)) for text in self.thresholds])


SLAS = {
    sla.name: sla
    for sla in (
        Sla(
            name="interactive", thresholds=("ttft_p95<500", "itl_p95<50"),
            says="an answer begins before one waits, and its stream is smooth",
        ),
        Sla(
            name="chat", thresholds=("ttft_p95<1000", "itl_p95<100", "success_rate>=99%"),
            says="nobody waits for more than a second, and tokens come faster than people read",
        ),
        Sla(
            name="batch", thresholds=("success_rate>=99%", "error_rate_rate_limit<1%"),
            says="nobody waits; what counts is that requests are answered",
        ),
        # https://github.com/mlcommons/inference_policies, Llama 2 70B: interactive, and server.
        Sla(
            name="mlperf-interactive", thresholds=("ttft_p99<450", "tpot_p99<40"),
            says="the constraints of MLPerf Inference for Llama 2 70B, interactive scenario",
        ),
        Sla(
            name="mlperf-server", thresholds=("ttft_p99<2000", "tpot_p99<200"),
            says="the constraints of MLPerf Inference for Llama 2 70B, server scenario",
        ),
    )
}  # fmt: skip


def sla_named(name: str) -> Sla:
    """Return the agreement of a name.

    Raises:
        KeyError: no agreement of that name.
    """
    return SLAS[name]
