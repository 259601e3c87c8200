"""What a user may say: targets, load, prompts, output; one typed struct each, read from every source.

The rule: every source (flags, environment, file) becomes the same plain tree of sections and fields,
the trees are laid over each other (flag before environment before file before default), and one
conversion checks the result. A key that nothing knows is an error that names the nearest one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from lens.units import NS_PER_S
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
PositiveNs = Annotated[int, msgspec.Meta(gt=0)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every section."""


class CustomConfig(Section, frozen=True):
    """A protocol told in settings: how a request is written, and where in the answer things stand.

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
    """One endpoint and model, how it is reached and how it is asked."""

    provider: str
    name: str | None = None  # what it is called in every result; None: provider/model
    model: str = ""
    labels: dict[str, str] = {}  # of each of its requests, beside those of the run: region, tier
    api: str | None = None
    base_url: str | None = None  # None: the provider's own
    api_key: Secret | None = None  # before the others of its kind, in their order; last the provider's variable
    api_key_env: str | None = None
    api_key_file: str | None = None
    api_key_command: str | None = None  # whose first line of output is the key: "pass show openai"
    api_key_keyring: str | None = None  # "service/user" of the desktop's keyring
    # The way there.
    unix_socket: str | None = None
    connect_to: tuple[str, ...] = ()
    resolve: tuple[str, ...] = ()
    family: Literal["any", "ipv4", "ipv6"] = "any"
    proxy: str | None = None  # None: as the environment says; "": none
    cacert: str | None = None
    cert: str | None = None
    client_key: str | None = None
    insecure: bool = False
    server_name: str | None = None
    # The asking.
    stream: bool = True
    max_tokens: AtLeastOne | None = None
    temperature: float | None = None
    seed: int | None = None
    extra_body: dict[str, Any] = {}
    headers: tuple[tuple[str, str], ...] = ()
    custom: CustomConfig | None = None  # of the provider "custom"


class LoadConfig(Section, frozen=True):
    """How many requests, when, over which connections, and how long to wait for them."""

    pattern: Pattern | None = None  # None: what the numbers below ask for
    # Requests; of a burst: waves; of a sweep: a step. None: 10 where nothing else ends the load; else what ends first.
    iterations: AtLeastOne | None = None
    # Requests at a time: of a closed loop, of a wave, or at most of an open loop. None: 1, and no limit.
    concurrency: AtLeastOne | None = None
    rate_per_s: Positive | None = None
    arrival: Arrival | None = None  # None: constant
    burstiness: Positive | None = None  # shape of gamma gaps: 1 is Poisson, below it burstier; None: 1
    duration_ns: PositiveNs | None = None
    ramp_to_per_s: Positive | None = None  # the rate goes from rate_per_s to this within the duration
    sweep_min_per_s: Positive | None = None
    sweep_max_per_s: Positive | None = None
    sweep_step_per_s: Positive | None = None
    sweep_concurrency: tuple[AtLeastOne, ...] = ()
    step_duration_ns: PositiveNs | None = (
        None  # of a sweep; in a sweep over concurrency `iterations` may end a step first
    )
    trace: str | None = None  # file with timestamps to replay
    speedup: Positive | None = None  # of a replay; None: 1
    warmup: str = "0"  # "3" requests, "10s" or "10%": sent, and left out of the results; "auto": found afterwards
    cooldown: str = "0"  # the last requests that are left out: "3", "10s" or "10%"
    idle_gaps_ns: tuple[PositiveNs, ...] = ()  # pauses before single requests, to see when an endpoint goes cold
    adaptive: bool = False  # hold back under the provider's rate limits
    until: str | None = None  # "ttft_p95 5%": enough when that interval is so narrow
    search_slo: tuple[str, ...] = ()  # the highest load that keeps these
    search_max: Positive | None = None
    workers: AtLeastOne = 1  # processes that share the load
    shard: str | None = None  # "0/4": this machine's part of the load; None: all, or JOB_COMPLETION_INDEX/LENS_SHARDS
    start_at: str | None = None  # "+30s", "2026-11-29T12:00:00Z": when the first request is due; None: at once
    engine: Literal["processes", "ray"] = "processes"  # where workers run
    ray_address: str | None = None  # of a Ray cluster; None: a local one
    connection: ConnectionPolicy = "reuse"
    connections: Count | None = None  # opened before measuring; None: as many as may be in flight at first
    # Limits; 0 is none. The defaults are those of the openai client, and only end what would never end.
    timeout_ns: Count = 600 * NS_PER_S
    connect_timeout_ns: Count = 30 * NS_PER_S
    ttft_timeout_ns: Count = 0
    idle_timeout_ns: Count = 0
    answer_limits: dict[str, Count] = {}  # what one answer may need at most: events, kept, inflated, ratio, head
    retries: Count = 0
    seed: int = 0
    max_cost_usd: str | None = None  # exact decimal
    max_errors: str | None = None  # "10" or "5%": more failures end the run
    warn_cost_usd: str | None = None  # exact decimal; a run that costs more says so, and goes on


class PromptConfig(Section, frozen=True):
    """What is asked: texts, a file, or made-up prompts of a given length."""

    texts: tuple[str, ...] = ()
    system: str | None = None
    file: str | None = None
    whole: bool | None = None  # a text file is one prompt, not one a line; None: where one request is all there is
    input_tokens: str | None = None  # "550", "550:50" (mean:deviation), "100-900"
    output_tokens: str | None = None
    shared_prefix_tokens: Count = 0  # of made-up prompts: the same beginning for all
    order: Literal["in_turn", "random"] = "in_turn"


class SessionConfig(Section, frozen=True):
    """Conversations and agents' tasks: from a file, or made up."""

    file: str | None = None
    format: str = "auto"  # of the file; auto: told by its rows
    rate_per_s: Positive | None = None  # open loop: sessions that start; None: a closed loop of load.concurrency lanes
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


class ExportConfig(Section, frozen=True):
    """One thing to write or to push to."""

    format: str
    file: str | None = None
    endpoint: str | None = None
    database: str | None = None


class OutputConfig(Section, frozen=True):
    """What becomes of the results."""

    exports: tuple[ExportConfig, ...] = ()
    format: str | None = None  # short for one export, where `exports` names none
    file: str | None = None  # of that export
    dir: str | None = None
    real_time: bool = False
    save_text: bool = False
    tokenizer: str | None = None  # counts the tokens of answers whose server does not
    log_level: str | None = None

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
    slos: tuple[str, ...] = ()  # "ttft<1000 99%"
    webhook: str | None = None  # a URL that alerts are posted to
    history: str | None = None  # a folder of run files
    keep_ns: PositiveNs = 30 * 86_400 * NS_PER_S
    keep_mb: AtLeastOne = 1000


class RunConfig(Section, frozen=True):
    """Everything one command does."""

    targets: tuple[TargetConfig, ...] = ()
    load: LoadConfig = LoadConfig()
    prompts: PromptConfig = PromptConfig()
    sessions: SessionConfig = SessionConfig()
    output: OutputConfig = OutputConfig()
    monitor: MonitorConfig | None = None
    thresholds: tuple[str, ...] = ()  # "ttft_p95<1000"
    labels: dict[str, str] = {}
    name: str | None = None
    description: str | None = None
