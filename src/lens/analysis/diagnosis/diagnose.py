"""Why is this endpoint slow? Records of a few questions in, findings out, the largest first.

Pure: nothing is asked here and no clock is read, so that a diagnosis is tested with records made by hand.
The milliseconds are those of one request: over a new connection, with the long prompt, the long answer,
and the others asking too. What cannot be told from these records is said, and not guessed.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from lens.analysis.diagnosis.causes import FIRST_TOKEN
from lens.analysis.diagnosis.failures import refusals
from lens.analysis.diagnosis.streaming import buffering, client, decode, limits
from lens.analysis.diagnosis.symptoms import Client, Finding, Served, View
from lens.analysis.diagnosis.tools import tool_arguments
from lens.model import Record

# What explains less than this share of the whole is told in a line at the end: nobody gains by it.
WORTH_SHARE = 0.03
# And nobody feels less than this.
WORTH_MS = 1.0
# A loop that woke this late, as a share of the largest cause, may have made it.
OWN_SHARE = 0.25
CAUSES = (*FIRST_TOKEN, decode, buffering, tool_arguments, limits, client)


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that was found."""

    findings: tuple[Finding, ...]  # failures first, then by time, then warnings
    fine: tuple[Finding, ...]  # looked at, and not the cause
    untold: tuple[str, ...]  # sentences
    asked: int
    answered: int
    empty: int = 0  # of the answers: they brought no text, reasoning or tool call
    total_ms: float | None = None  # of the described request


def diagnose(
    records: Sequence[Record],
    *,
    client: Client | None = None,
    served: Served | None = None,
) -> Diagnosis:
    """Return what these records say."""
    view = View(records, client)
    good, empty = len(view.good), len(view.empty)
    failures = refusals(view.records, served or Served(), view.empty)
    if good == empty:
        return Diagnosis(findings=tuple(failures), fine=(), untold=(), asked=len(records), answered=good, empty=empty)
    told = [cause(view) for cause in CAUSES]
    found = [one for one in told if isinstance(one, Finding)]
    timed = sorted((f for f in found if f.kind == "time"), key=lambda one: -(one.ms or 0))
    total = sum(one.ms or 0 for one in timed)
    timed = [msgspec.structs.replace(f, share=(f.ms or 0) / total if total else None) for f in timed]
    large = [f for f in timed if (f.ms or 0) >= WORTH_MS and (f.share or 0) >= WORTH_SHARE]
    if not large and not failures:
        large = timed[:1]
    warned = sorted((f for f in found if f.kind == "warning"), key=lambda one: one.cause != "client")
    disturbed = client is not None and bool(timed) and (client.loop_lag_ms or 0) > OWN_SHARE * (timed[0].ms or 0)
    # A client that is as late as what it found is named before anybody else is blamed.
    first = [f for f in warned if f.cause == "client"] if disturbed else []
    return Diagnosis(
        findings=(*failures, *first, *large, *[f for f in warned if f not in first]),
        fine=(*[f for f in timed if f not in large], *[f for f in found if f.kind == "fine"]),
        untold=tuple([one for one in told if isinstance(one, str)]),
        asked=len(records),
        answered=good,
        empty=empty,
        total_ms=total,
    )
