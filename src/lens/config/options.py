"""Keyword arguments of the library, by the section they belong to. Made by tools/typed_names.py; not to be edited.

A time in ns and a rate have a short spelling too: duration="60s" for duration_ns=60_000_000_000.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from lens.config.settings import Arrival, ConnectionPolicy, CustomConfig, Pattern
from lens.wire import Secret


class TargetOptions(TypedDict, total=False):
    """How an endpoint is reached and asked."""

    name: str | None
    """The target's name in results; None: provider/model."""

    labels: dict[str, str]
    """Labels of its requests, beside those of the run: region, tier."""

    api: str | None
    """Chat, completions, responses, messages, embeddings; None: the provider's first."""

    base_url: str | None
    """Of the API: http://host:8000/v1; None: the provider's own."""

    api_key: Secret | str | None
    """API key, used before any other source of one."""

    api_key_env: str | None
    """Environment variable that holds the key."""

    api_key_file: str | None
    """File that holds the key."""

    api_key_command: str | None
    """Command whose first line of output is the key: 'pass show openai'."""

    api_key_keyring: str | None
    """'service/user' of the desktop's keyring."""

    unix_socket: str | None
    """Path of a Unix domain socket to connect through."""

    connect_to: tuple[str, ...] | list[str]
    """'H:P:H2:P2': connect to H2:P2 for requests to H:P, as curl does."""

    resolve: tuple[str, ...] | list[str]
    """'H:P:ADDRESS': use this address for H:P, without DNS."""

    family: Literal["any", "ipv4", "ipv6"]
    """Which addresses are used."""

    proxy: str | None
    """URL of an HTTP proxy; None: as the environment says; '': none."""

    cacert: str | None
    """File of CA certificates to trust, PEM; None: the system's."""

    cert: str | None
    """File of the client certificate, PEM."""

    client_key: str | None
    """File of its private key; None: it is in the same file."""

    insecure: bool
    """Do not verify the server's certificate; the result records it."""

    server_name: str | None
    """Name that is asked for in TLS (SNI) and verified; None: the host's."""

    stream: bool
    """False: the answer is requested in one piece."""

    max_tokens: int | None
    """Limit of the completion; None: the provider's."""

    temperature: float | None
    """Sampling temperature; None: the provider's."""

    seed: int | None
    """Seed sent to the provider; None: none is sent."""

    extra_body: dict[str, Any]
    """Merged into the request body."""

    headers: tuple[tuple[str, str], ...] | list[tuple[str, str]] | Mapping[str, str]
    """Extra request headers; override the default of that name."""

    custom: CustomConfig | None
    """The protocol of the provider 'custom'."""

    connection: Literal["reuse", "fresh"] | None
    """Of this target alone; None: as the load says."""

    novel: Literal["schema", "tool"] | None
    """A schema in each request that none had before; None: the same."""


class LoadOptions(TypedDict, total=False):
    """How many requests are sent, when, and how long they are waited for."""

    pattern: Pattern | None
    """Load pattern; None: the one that the other settings ask for."""

    iterations: int | None
    """Requests; of a burst: waves; of a sweep: per step. None: 10, or no limit."""

    concurrency: int | None
    """Requests in flight; with a rate the most allowed. None: 1, or no limit."""

    rate_per_s: float | None
    """Open-loop arrival rate; None: closed loop."""
    rate: str | float | None
    """The same as `rate_per_s`, with its unit: "600/m"."""

    arrival: Arrival | None
    """Distribution of the arrivals; None: constant."""

    burstiness: float | None
    """Shape of gamma arrivals: 1 is Poisson, below it burstier; None: 1."""

    duration_ns: int | None
    """Length of the run; None: until `iterations` are done."""
    duration: str | float | None
    """The same as `duration_ns`, with its unit: "60s"."""

    ramp_to_per_s: float | None
    """Ramp the rate linearly from rate_per_s to this over the duration."""
    ramp_to: str | float | None
    """The same as `ramp_to_per_s`, with its unit: "600/m"."""

    sweep_min_per_s: float | None
    """Rate sweep: first rate."""
    sweep_min: str | float | None
    """The same as `sweep_min_per_s`, with its unit: "600/m"."""

    sweep_max_per_s: float | None
    """Rate sweep: last rate."""
    sweep_max: str | float | None
    """The same as `sweep_max_per_s`, with its unit: "600/m"."""

    sweep_step_per_s: float | None
    """Rate sweep: increment."""
    sweep_step: str | float | None
    """The same as `sweep_step_per_s`, with its unit: "600/m"."""

    sweep_concurrency: tuple[int, ...] | list[int]
    """Concurrency sweep: (1, 2, 4, 8)."""

    step_duration_ns: int | None
    """Length of a step of a sweep; over concurrency `iterations` may end it."""
    step_duration: str | float | None
    """The same as `step_duration_ns`, with its unit: "60s"."""

    trace: str | None
    """File with timestamps to replay."""

    speedup: float | None
    """Speed-up factor of a trace; None: 1."""

    warmup: str
    """Sent first, excluded from the results: '3', '10s', '10%'; 'auto' detects it."""

    cooldown: str
    """The last requests, excluded from the results: '3', '10s', '10%'."""

    idle_gaps_ns: tuple[int, ...] | list[int]
    """Cold-start probe: one request after each of these idle gaps."""
    idle_gaps: tuple[str | float, ...] | list[str | float]
    """The same as `idle_gaps_ns`, with its unit: "60s"."""

    adaptive: bool
    """Throttle on rate-limit headers and 429s."""

    until: str | None
    """Stop once the 95 % interval of a metric is this narrow: 'ttft_p95 5%'."""

    search_slo: tuple[str, ...] | list[str]
    """Search for the highest load that meets these: 'ttft_p95<500'."""

    search_max: float | None
    """Upper bound of the search; None: 1000 requests/s, or 256 in flight."""

    workers: int
    """Processes that share the load, one core each."""

    shard: str | None
    """'0/4': this machine's part of the load; None: all, or JOB_COMPLETION_INDEX/LENS_SHARDS."""

    start_at: str | None
    """'+30s', '2026-11-29T12:00:00Z': when the first request is due; None: at once."""

    engine: Literal["processes", "ray"]
    """Where workers run."""

    ray_address: str | None
    """Address of a Ray cluster; None: a local one."""

    connection: ConnectionPolicy
    """Keep-alive, a new one per request (fresh), or measure both."""

    connections: int | None
    """Opened before measuring; None: as many as may be in flight at first."""

    timeout_ns: int
    """Timeout of a whole request."""
    timeout: str | float
    """The same as `timeout_ns`, with its unit: "60s"."""

    connect_timeout_ns: int
    """Timeout of DNS, connect and TLS."""
    connect_timeout: str | float
    """The same as `connect_timeout_ns`, with its unit: "60s"."""

    ttft_timeout_ns: int
    """Timeout until the first token."""
    ttft_timeout: str | float
    """The same as `ttft_timeout_ns`, with its unit: "60s"."""

    idle_timeout_ns: int
    """Timeout between two reads of an answer."""
    idle_timeout: str | float
    """The same as `idle_timeout_ns`, with its unit: "60s"."""

    answer_limits: dict[str, int]
    """Limits of one answer: events, kept, inflated, ratio, head."""

    retries: int
    """Of retryable failures, with back-off."""

    seed: int
    """Of synthetic prompts and random arrivals."""

    max_cost_usd: str | None
    """Budget, an exact decimal: stops before a request that could exceed it."""

    max_errors: str | None
    """'10' or '5%': more failed requests end the run."""

    warn_cost_usd: str | None
    """Exact decimal; a run that costs more warns once, and goes on."""


class PromptOptions(TypedDict, total=False):
    """What is asked, beside the prompt itself."""

    system: str | None
    """System prompt."""

    file: str | None
    """Prompts from a file: text, JSON Lines, CSV or ShareGPT."""

    whole: bool | None
    """A text file is one prompt, not one per line; None: for a single request."""

    input_tokens: str | None
    """Length of synthetic prompts in tokens: '550', '550:50' (mean:SD), '100-900'."""

    output_tokens: str | None
    """Completion length to request, in tokens."""

    shared_prefix_tokens: int
    """Of synthetic prompts: length of a beginning that all share."""

    order: Literal["in_turn", "random"]
    """In which prompts are sent."""

    expect: tuple[str, ...] | list[str]
    """What each answer must be: 'json', 'schema:FILE', 'tool:NAME', 'regex:PATTERN'."""
