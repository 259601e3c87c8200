"""What a run says, in figures: the one thing that pages, documents, gates and warnings are written from."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from lens.metrics.cold_start import ColdStart
from lens.metrics.distribution import Distribution
from lens.metrics.prefill import PrefillFit
from lens.metrics.session_summary import SessionSummary
from lens.metrics.stages import StageRow


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a run says, in figures."""

    requests: int
    successes: int
    interrupted: int = 0  # cut by the end of the run, and in no other figure
    by_status: dict[str, int]
    by_category: dict[str, int]
    examples: dict[str, str]  # category -> the first message of it
    window_s: float | None  # first start to last end
    success_rate: float | None
    requests_per_second: float | None
    output_tokens_per_second: float | None
    concurrency_mean: float | None  # sum of latencies / window; None too of a killed run that left requests open
    input_tokens: int | None
    output_tokens: int | None
    total_cost: Decimal | None
    cost_per_request: Decimal | None
    unpriced: int  # successes without a cost
    unpriced_reason: str | None
    distributions: dict[str, Distribution]
    retries: int
    connections_opened: int
    coalesced_share: float | None  # over all content events
    stamp_kinds: dict[str, int]
    token_evidence: dict[str, int]  # who counted tokens per event -> requests
    server_timing_ms: dict[str, Distribution]
    # Where requests that failed got a first token too, and are in TTFT.
    ttft_of_successes: Distribution | None = None
    goodput_rps: float | None = None  # requests that met every SLO / window; None: no SLO was given
    good: int | None = None  # how many they were
    slos: tuple[str, ...] = ()  # as they were read: "ttft_ms <= 200"
    cached_tokens: int | None = None  # a part of input_tokens
    clock_stepped: int = 0  # requests during which the wall clock was set
    compressed: int = 0  # answers with a content encoding
    one_piece: int = 0  # streams of which all content came in one event
    without_content: int = 0  # streams that succeeded and brought no text, reasoning or tool call
    retransmitting: int = 0  # requests with segments sent again
    served_models: dict[str, int] = {}  # what the answers said they came from
    estimated_costs: int = 0  # successes whose cost is an estimate, for a tokenizer of ours counted their tokens
    uncounted: tuple[str, ...] = ()  # what the cost lacks: "2 web searches not counted"
    valid_rate: float | None = None  # valid answers / answers; None: nothing was expected of them
    invalid: dict[str, int] = {}  # why answers are not valid -> how many
    price_age_days: int | None = None  # of the oldest price that was used, where it is stale
    stages: tuple[StageRow, ...] = ()
    cold_start: ColdStart | None = None
    gpu_cost: dict[str, Decimal] = {}  # of a server of one's own, by the hour: "usd", "usd_per_million_output_tokens"
    cache_read_share: float | None = None  # cached tokens / input tokens, where both are told; of successes
    sessions: SessionSummary | None = None  # None: no request is a turn of a session
    sessions_per_second: float | None = None
    session_success_rate: float | None = None
    goodput_sessions_per_second: float | None = None  # None: no SLO was given
    prefill: PrefillFit | None = None
    notes: tuple[str, ...] = ()  # what the run's own goals came to, in words
    warnings: tuple[str, ...] = ()
