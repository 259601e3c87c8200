"""Claim: the stamp of a token is off by less than 100 us (p99) and TTFT by less than 50 us (mean), over HTTP and TLS,
from one stream to 5,000; measuring adds less than 1 % to either.

What `lll selftest` measures, with more streams: stamps against the simulator's log of its own writes. The baseline is
the time at which the same client read the same token, which is what a client without kernel stamps would say. Where the
simulator itself is half a gap late or more (it has but one processor), a case says so and is held to nothing but its
comparison. Prints one line of JSON a case, and one for what measuring adds.
"""

import trio
from common import claim

from lens.calibration.cases import ITL_NS, TTFT_NS, Case, measured
from lens.calibration.verdicts import OVERHEAD, TOKEN_P99_US, TTFT_BIAS_US

STREAMS = (1, 200, 1000, 5000)
OVERHEAD_STREAMS = 200


def tell(case: Case) -> None:
    tokens, read, ttft, itl, late = case.tokens, case.read_tokens, case.ttft, case.itl, case.simulator_late
    assert None not in (tokens, read, ttft, itl, late), case
    kept = tokens.p99_us <= TOKEN_P99_US and abs(ttft.bias_us) <= TTFT_BIAS_US
    busy = late.p50_us * 1e3 > ITL_NS / 2
    streams = "1 stream" if case.streams == 1 else f"{case.streams:,} streams"
    claim(
        f"{case.scheme.upper()}, {streams}: token stamps are off by (p99)",
        tokens.p99_us,
        "us",
        baseline="when read (no kernel stamps)",
        baseline_figure=read.p99_us,
        ratio=read.p99_us / tokens.p99_us,
        holds=(kept or busy) and not case.failed and tokens.p99_us <= read.p99_us,
        also=f"TTFT bias {ttft.bias_us:.1f} us; stamps p50 {tokens.p50_us:.1f} us, max {tokens.max_us:.1f} us"
        + (f"; the simulator is {late.p50_us / 1000:,.0f} ms late (p50)" if busy else ""),
        scheme=case.scheme,
        streams=case.streams,
        ttft_bias_us=ttft.bias_us,
        p50_us=tokens.p50_us,
        max_us=tokens.max_us,
    )


def tell_overhead(case: Case) -> None:
    """Of the script's own TTFT and gap."""
    assert case.ttft is not None
    assert case.itl is not None
    of_ttft, of_gap = abs(case.ttft.bias_us) * 1e5 / TTFT_NS, case.itl.p99_us * 1e5 / ITL_NS
    most = max(of_ttft, of_gap)
    claim(
        f"{case.scheme.upper()}, {case.streams:,} streams: less than {OVERHEAD:.0%} is added to TTFT and gaps (p99)",
        most,
        "%",
        baseline="the claim",
        baseline_figure=OVERHEAD * 100,
        ratio=OVERHEAD * 100 / most,
        holds=most < OVERHEAD * 100,
        also=f"TTFT {of_ttft:.4f} %, a gap {of_gap:.4f} %",
    )


def main() -> None:
    for scheme in ("http", "tls"):
        for streams in STREAMS:
            case = trio.run(measured, scheme, streams)
            tell(case)
            if streams == OVERHEAD_STREAMS:
                tell_overhead(case)


if __name__ == "__main__":
    main()
