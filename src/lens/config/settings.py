"""The settings: targets, load, prompts, output; one typed struct each, read from every source.

The rule: every source (flags, environment, file) becomes the same plain tree of sections and fields,
the trees are laid over each other (flag before environment before file before default), and one
conversion checks the result. A key that nothing knows is an error that names the nearest one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from lens.units import MOST_PER_S, NS_PER_S
from lens.wire import Secret

# What answers at an address of which nothing else is said.
COMPATIBLE = "openai-compatible"
Pattern = Literal["single", "iterations", "burst", "rate", "ramp", "sweep", "replay", "idle"]
Arrival = Literal["constant", "poisson", "gamma"]
ConnectionPolicy = Literal["reuse", "fresh", "both"]
Tree = dict[str, Any]
AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[float, msgspec.Meta(gt=0)]
# Below it all gaps but one in a thousand are 0, which is one burst; far below, numpy draws nothing but 0 and nan.
Shape = Annotated[float, msgspec.Meta(ge=0.001)]
RatePerS = Annotated[float, msgspec.Meta(gt=0, le=MOST_PER_S)]
PositiveNs = Annotated[int, msgspec.Meta(gt=0)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every section."""


class CustomConfig(Section, frozen=True):
    """A protocol described in settings: the template of a request, and the paths of an answer's parts.

    In `body` and `headers`, {{prompt}}, {{messages}}, {{system}}, {{model}}, {{max_tokens}}, {{temperature}},
    {{seed}}, {{stream}} and {{key}} are filled in; a field whose only text is one that is absent is left out.
    Paths are keys joined by dots, [] after a key for every element: "choices[].delta.content".
    """

    path: str = ""  # behind the base URL
    method: Literal["POST", "PUT", "GET"] = "POST"
    headers: dict[str, str] = {}
    body: dict[str, Any] = {}
    framing: Literal["sse", "ndjson", "json_array"] = "sse"
    text: tuple[str, ...] = ()
    reasoning: tuple[str, ...] = ()
    tool: tuple[str, ...] = ()
    finish: str | None = None
    error: str | None = None
    done: str | None = None  # the data of the event that ends the stream, like [DONE]
    done_path: str | None = None  # or a path that has a value in the last event
    served_model: str | None = None
    input_tokens: str | None = None
    output_tokens: str | None = None
    cached_tokens: str | None = None
    reasoning_tokens: str | None = None
    whole_text: tuple[str, ...] = ()  # of an answer in one piece; else as text


class TargetConfig(Section, frozen=True):
    """One endpoint and model: how it is reached, and with what parameters it is asked."""

    provider: str  # as `lll providers` lists them
    name: str | None = None  # the target's name in results; None: provider/model
    model: str = ""  # as the endpoint knows it
    labels: dict[str, str] = {}  # labels of its requests, beside those of the run: region, tier
    api: str | None = None  # chat, completions, responses, messages, embeddings; None: the provider's first
    base_url: str | None = None  # of the API: http://host:8000/v1; None: the provider's own
    # The key: the first of these that is given; where none is, the provider's own variable, such as OPENAI_API_KEY.
    api_key: Secret | None = None  # API key, used before any other source of one
    api_key_env: str | None = None  # environment variable that holds the key
    api_key_file: str | None = None  # file that holds the key
    api_key_command: str | None = None  # command whose first line of output is the key: "pass show openai"
    api_key_keyring: str | None = None  # "service/user" of the desktop's keyring
    # The way there.
    unix_socket: str | None = None  # path of a Unix domain socket to connect through
    connect_to: tuple[str, ...] = ()  # "H:P:H2:P2": connect to H2:P2 for requests to H:P, as curl does
    resolve: tuple[str, ...] = ()  # "H:P:ADDRESS": use this address for H:P, without DNS
    family: Literal["any", "ipv4", "ipv6"] = "any"  # which addresses are used
    proxy: str | None = None  # URL of an HTTP proxy; None: as the environment says; "": none
    cacert: str | None = None  # file of CA certificates to trust, PEM; None: the system's
    cert: str | None = None  # file of the client certificate, PEM
    client_key: str | None = None  # file of its private key; None: it is in the same file
    insecure: bool = False  # do not verify the server's certificate; the result records it
    server_name: str | None = None  # name that is asked for in TLS (SNI) and verified; None: the host's
    # The asking.
    stream: bool = True  # False: the answer is requested in one piece
    max_tokens: AtLeastOne | None = None  # limit of the completion; None: the provider's
    temperature: float | None = None  # sampling temperature; None: the provider's
    seed: int | None = None  # seed sent to the provider; None: none is sent
    extra_body: dict[str, Any] = {}  # merged into the request body
    headers: tuple[tuple[str, str], ...] = ()  # extra request headers; override the default of that name
    custom: CustomConfig | None = None  # the protocol of the provider "custom"
    connection: Literal["reuse", "fresh"] | None = None  # of this target alone; None: as the load says
    novel: Literal["schema", "tool"] | None = None  # a schema in each request that none had before; None: the same


class LoadConfig(Section, frozen=True):
    """How many requests are sent, when, over which connections, and their timeouts."""

    pattern: Pattern | None = None  # load pattern; None: the one that the other settings ask for
    iterations: AtLeastOne | None = None  # requests; of a burst: waves; of a sweep: per step. None: 10, or no limit
    concurrency: AtLeastOne | None = None  # requests in flight; with a rate the most allowed. None: 1, or no limit
    rate_per_s: RatePerS | None = None  # open-loop arrival rate; None: closed loop
    arrival: Arrival | None = None  # distribution of the arrivals; None: constant
    burstiness: Shape | None = None  # shape of gamma arrivals: 1 is Poisson, below it burstier; None: 1
    duration_ns: PositiveNs | None = None  # length of the run; None: until `iterations` are done
    ramp_to_per_s: RatePerS | None = None  # ramp the rate linearly from rate_per_s to this over the duration
    sweep_min_per_s: RatePerS | None = None  # rate sweep: first rate
    sweep_max_per_s: RatePerS | None = None  # rate sweep: last rate
    sweep_step_per_s: RatePerS | None = None  # rate sweep: increment
    sweep_concurrency: tuple[AtLeastOne, ...] = ()  # concurrency sweep: (1, 2, 4, 8)
    step_duration_ns: PositiveNs | None = None  # length of a step of a sweep; over concurrency `iterations` may end it
    trace: str | None = None  # file with timestamps to replay
    speedup: Positive | None = None  # speed-up factor of a trace; None: 1
    warmup: str = "0"  # sent first, excluded from the results: "3", "10s", "10%"; "auto" detects it
    cooldown: str = "0"  # the last requests, excluded from the results: "3", "10s", "10%"
    idle_gaps_ns: tuple[PositiveNs, ...] = ()  # cold-start probe: one request after each of these idle gaps
    adaptive: bool = False  # throttle on rate-limit headers and 429s
    until: str | None = None  # stop once the 95 % interval of a metric is this narrow: "ttft_p95 5%"
    search_slo: tuple[str, ...] = ()  # search for the highest load that meets these: "ttft_p95<500"
    search_max: Positive | None = None  # upper bound of the search; None: 1000 requests/s, or 256 in flight
    workers: AtLeastOne = 1  # processes that share the load, one core each
    shard: str | None = None  # "0/4": this machine's part of the load; None: all, or JOB_COMPLETION_INDEX/LENS_SHARDS
    start_at: str | None = None  # "+30s", "2026-11-29T12:00:00Z": when the first request is due; None: at once
    engine: Literal["processes", "ray"] = "processes"  # where workers run
    ray_address: str | None = None  # address of a Ray cluster; None: a local one
    connection: ConnectionPolicy = "reuse"  # keep-alive, a new one per request (fresh), or measure both
    connections: Count | None = None  # opened before measuring; None: as many as may be in flight at first
    # Limits; 0 is none. The defaults are those of the openai client, and only end what would never end.
    timeout_ns: Count = 600 * NS_PER_S  # timeout of a whole request
    connect_timeout_ns: Count = 30 * NS_PER_S  # timeout of DNS, connect and TLS
    ttft_timeout_ns: Count = 0  # timeout until the first token
    idle_timeout_ns: Count = 0  # timeout between two reads of an answer
    answer_limits: dict[str, Count] = {}  # limits of one answer: events, kept, inflated, ratio, head
    retries: Count = 0  # of retryable failures, with back-off
    seed: int = 0  # of synthetic prompts and random arrivals
    max_cost_usd: str | None = None  # budget, an exact decimal: stops before a request that could exceed it
    max_errors: str | None = None  # "10" or "5%": more failed requests end the run
    warn_cost_usd: str | None = None  # exact decimal; a run that costs more warns once, and goes on


class PromptConfig(Section, frozen=True):
    """What is asked: texts, a file, or synthetic prompts of a given length."""

    texts: tuple[str, ...] = ()  # prompts, sent in turn
    system: str | None = None  # system prompt
    file: str | None = None  # prompts from a file: text, JSON Lines, CSV or ShareGPT
    whole: bool | None = None  # a text file is one prompt, not one per line; None: for a single request
    input_tokens: str | None = None  # length of synthetic prompts in tokens: "550", "550:50" (mean:SD), "100-900"
    output_tokens: str | None = None  # completion length to request, in tokens
    shared_prefix_tokens: Count = 0  # of synthetic prompts: length of a beginning that all share
    order: Literal["in_turn", "random"] = "in_turn"  # in which prompts are sent
    expect: tuple[str, ...] = ()  # what each answer must be: "json", "schema:FILE", "tool:NAME", "regex:PATTERN"


class SessionConfig(Section, frozen=True):
    """Conversations and agents' tasks: from a file, or made up."""

    file: str | None = None
    format: str = "auto"  # of the file; auto: told by its rows
    rate_per_s: RatePerS | None = None  # open loop: sessions that start; None: a closed loop of load.concurrency lanes
    history: Literal["live", "recorded"] | None = None  # whose answers are repeated; None: the recorded, if there are
    think: str | None = None  # pauses: "recorded", "none", "cap=15s", "2s:exp"; None: as recorded
    salt: Literal["none", "session", "run"] = "none"  # what has a prefix of its own, so that no cache helps
    header: str | None = None  # request header that carries the session's id
    until: Literal["all", "lane"] = "all"  # lane: no turn starts once a lane has nothing left to take
    turns: str | None = None  # of synthetic sessions: "5", "2-10", "5:2" (mean:deviation)
    turn_tokens: str | None = None  # words of each of their turns: "200", "200:50", "100-300"
    tools: str | None = None  # "0.3:1s": the share of their turns that tools come before, and how long these take

    @property
    def wanted(self) -> bool:
        """Whether a run is made of sessions."""
        return self.file is not None or self.turns is not None


class CompareConfig(Section, frozen=True):
    """Several ways to ask each target, which become targets that take turns."""

    variants: tuple[str, ...] = ()  # request bodies: "plain", 'json:{"response_format": ...}', "low:@low.json"
    factors: tuple[str, ...] = ()  # "stream", "connection", "tier", "tier=A,B", "gateway=URL", "lora=NAME"
    novel: Literal["schema", "tool"] | None = None  # each body with such a schema also with new ones; None: not


class ExportConfig(Section, frozen=True):
    """One export: a file to write, or a backend to push to."""

    format: str  # as `lll benchmark --help` names them: json, csv, prometheus, ...
    file: str | None = None  # to write; None: by the name of the output, or standard output
    endpoint: str | None = None  # URL of a backend to push to
    database: str | None = None  # of InfluxDB


class OutputConfig(Section, frozen=True):
    """Where results are written."""

    exports: tuple[ExportConfig, ...] = ()  # files and backends
    format: str | None = None  # short for one export, where `exports` names none
    file: str | None = None  # of that export
    dir: str | None = None  # folder in which exports without a file get a new one
    real_time: bool = False  # stream events to standard output as JSON Lines during the run
    save_text: bool = False  # save the text of the answers in the records
    tokenizer: str | None = None  # count tokens locally where the server reports none: a name, or "auto"
    log_level: str | None = None  # error, warn, info, debug or trace

    def __post_init__(self) -> None:
        """Write the short form out, so that nobody has to read two."""
        if self.format and not self.exports:
            msgspec.structs.force_setattr(self, "exports", (ExportConfig(format=self.format, file=self.file),))
        msgspec.structs.force_setattr(self, "format", None)
        msgspec.structs.force_setattr(self, "file", None)


class MonitorConfig(Section, frozen=True):
    """Continuous probes: interval, SLOs, alerts, history."""

    interval_ns: PositiveNs = 60 * NS_PER_S
    jitter: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.1  # the share of an interval by which rounds are spread
    listen: str = "127.0.0.1:9464"  # of /metrics and /healthz; "": nowhere
    listen_token_file: str | None = None  # file with the token that /metrics asks for; None: anybody may read it
    slos: tuple[str, ...] = ()  # "ttft<1000 99%"
    webhook: str | None = None  # a URL that alerts are posted to
    history: str | None = None  # a folder of run files
    keep_ns: PositiveNs = 30 * 86_400 * NS_PER_S
    keep_mb: AtLeastOne = 1000


class RunConfig(Section, frozen=True):
    """All settings of a run."""

    targets: tuple[TargetConfig, ...] = ()  # endpoints to measure
    load: LoadConfig = LoadConfig()
    prompts: PromptConfig = PromptConfig()
    sessions: SessionConfig = SessionConfig()
    compare: CompareConfig = CompareConfig()
    output: OutputConfig = OutputConfig()
    monitor: MonitorConfig | None = None  # of `lll monitor` alone
    thresholds: tuple[str, ...] = ()  # gates: "ttft_p95<1000"
    labels: dict[str, str] = {}  # labels of the run: env, commit
    name: str | None = None  # of the run, in its header
    description: str | None = None  # of the run, in its header
