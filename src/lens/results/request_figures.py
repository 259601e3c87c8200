"""The metrics of a request as typed attributes. Made by tools/typed_names.py; not to be edited."""

from __future__ import annotations

from decimal import Decimal


class RequestFigures:
    """Every metric of a request by its names; None is not measured."""

    dns_resolution_ms: float | None
    """In ms: dns_end - dns_start."""
    dns_ms: float | None
    """The same as `dns_resolution_ms`."""

    tcp_connection_ms: float | None
    """In ms: tcp_end - tcp_start."""
    tcp_ms: float | None
    """The same as `tcp_connection_ms`."""

    proxy_ms: float | None
    """In ms: proxy_end - proxy_start."""

    tls_handshake_ms: float | None
    """In ms: tls_end - tls_start."""
    tls_ms: float | None
    """The same as `tls_handshake_ms`."""

    connect_ms: float | None
    """In ms: last phase end - first phase start; absent on reuse."""

    send_ms: float | None
    """In ms: send_end - send_start."""

    ttfb_ms: float | None
    """In ms: first_byte - start."""
    ttfb: float | None
    """The same as `ttfb_ms`."""

    ttft_ms: float | None
    """In ms: first_token - start."""
    ttft: float | None
    """The same as `ttft_ms`."""

    ttft_from_send_ms: float | None
    """In ms: first_token - send_end."""

    ttft_from_schedule_ms: float | None
    """In ms: first_token - intended."""

    ttfo_ms: float | None
    """In ms: first_output_token - start."""
    ttfo: float | None
    """The same as `ttfo_ms`."""

    thinking_ms: float | None
    """In ms: first_output_token - first reasoning token;
    where thinking has no text, its blocks from start to stop."""

    inter_chunk_ms: float | None
    """In ms, the mean over the request: gaps between successive token events."""

    itl_ms: float | None
    """In ms, the mean over the request: a gap before an event of k tokens is k gaps of gap/k."""
    itl: float | None
    """The same as `itl_ms`."""

    tpot_ms: float | None
    """In ms: (last_token - first_token) / (output_tokens - tokens of the first event)."""
    tpot: float | None
    """The same as `tpot_ms`."""

    total_latency_ms: float | None
    """In ms: end - start."""
    e2e: float | None
    """The same as `total_latency_ms`."""
    e2el: float | None
    """The same as `total_latency_ms`."""
    latency: float | None
    """The same as `total_latency_ms`."""
    total_latency: float | None
    """The same as `total_latency_ms`."""

    total_latency_from_schedule_ms: float | None
    """In ms: end - intended."""

    tokens_per_second: float | None
    """In tokens/s: output_tokens / total_latency."""
    tps: float | None
    """The same as `tokens_per_second`."""

    decode_tokens_per_second: float | None
    """In tokens/s: 1000 / tpot_ms."""

    stall_count: int | None
    """A count: gaps > max(4 x median gap, 200 ms)."""

    stall_ms: float | None
    """In ms: sum of the stalls."""

    longest_gap_ms: float | None
    """In ms: longest gap between token events."""

    longest_gap_text_ms: float | None
    """In ms: longest gap before a token event of text."""

    longest_gap_thinking_ms: float | None
    """In ms: longest gap before a token event of thinking."""

    longest_gap_tool_ms: float | None
    """In ms: longest gap before a token event of tool."""

    tool_first_ms: float | None
    """In ms, the mean over the request: first event of a tool call - start;
    of a request that of its first call."""

    tool_ready_ms: float | None
    """In ms, the mean over the request: event that completed a tool call's arguments, valid JSON, - start;
    of a request that of its last call."""

    tool_deltas: float | None
    """A count, the mean over the request: events that brought a fragment of a tool call;
    of a request of all its calls."""

    tool_silence_before_ms: float | None
    """In ms, the mean over the request: first event of a tool call - the token event before it;
    of a request the longest of its calls."""

    tool_silence_inside_ms: float | None
    """In ms, the mean over the request: longest gap between events of one tool call;
    of a request the longest of its calls."""

    first_sentence_ms: float | None
    """In ms: event that completed the first sentence - start; where the text is read."""

    first_line_ms: float | None
    """In ms: event that completed the first line that is not blank - start; where the text is read."""

    first_code_block_ms: float | None
    """In ms: event that completed the first fenced code block - start; where the text is read."""

    valid: float | None
    """A share: 1 where the answer is what --expect says, else 0."""

    time_to_valid_ms: float | None
    """In ms: event that completed all that --expect wants - start; of valid answers."""

    reading_misses_5: int | None
    """In tokens: tokens later than a reader of 5 tokens a second wanted them."""

    reading_misses_10: int | None
    """In tokens: tokens later than a reader of 10 tokens a second wanted them."""

    reading_misses_20: int | None
    """In tokens: tokens later than a reader of 20 tokens a second wanted them."""

    coalescing: float | None
    """A share: token events in the same read as the one before / all."""

    schedule_lag_us: float | None
    """In us: send_start - intended; not of retries."""

    client_lag_us: float | None
    """In us, the mean over the request: seen - arrived."""

    rtt_ms: float | None
    """In ms: smoothed round trip at the end."""

    min_rtt_ms: float | None
    """In ms: shortest round trip seen."""

    retransmits: int | None
    """A count: segments sent again."""

    server_ms: float | None
    """In ms: the longest time that the server names for the request; each also under its source."""

    input_tokens: int | None
    """In tokens: all of the prompt, cached or not."""

    output_tokens: int | None
    """In tokens: all billed as output, thinking too."""

    thinking_tokens: int | None
    """In tokens: a part of output_tokens."""

    cached_tokens: int | None
    """In tokens: a part of input_tokens."""

    uncached_tokens: int | None
    """In tokens: input_tokens - cached_tokens."""

    cached_share: float | None
    """A share: cached_tokens / input_tokens of a request."""

    cache_missed_tokens: int | None
    """In tokens: prompt of the turn before - cached_tokens;
    0 where half of that prompt or more was cached."""

    task_ms: float | None
    """In ms: last end - first start of a session; at its last turn."""
    task: float | None
    """The same as `task_ms`."""

    task_from_schedule_ms: float | None
    """In ms: last end - planned start of a session; at its last turn."""

    task_model_ms: float | None
    """In ms: part of task_ms: requests on the critical path."""

    task_tool_ms: float | None
    """In ms: part of task_ms: tools on the critical path."""

    task_think_ms: float | None
    """In ms: part of task_ms: pauses of the person on the critical path."""

    task_client_ms: float | None
    """In ms: part of task_ms: turns on the critical path started late."""

    critical_ms: float | None
    """In ms: what a turn adds to task_ms; 0 beside the critical path."""

    input_cost: Decimal | None
    """In USD: input tokens x price."""

    output_cost: Decimal | None
    """In USD: output tokens x price."""

    thinking_cost: Decimal | None
    """In USD: thinking tokens x price; a part of output_cost."""

    total_cost: Decimal | None
    """In USD: input_cost + output_cost + fees of tools, or what the provider says it billed."""
    cost: Decimal | None
    """The same as `total_cost`."""
    cost_per_request: Decimal | None
    """The same as `total_cost`."""

    session_cost: float | None
    """In USD: sum of total_cost of all turns of a session; at its last turn."""
    cost_per_session: float | None
    """The same as `session_cost`."""

    cost_per_token: float | None
    """In USD: total_cost / (input_tokens + output_tokens)."""
