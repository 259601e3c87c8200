"""Every option that more than one command takes, once, in the groups in which --help lists them.

Names that users of other tools would type are hidden aliases.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

import click

from lens.cli.command import Option
from lens.units import parse_count, parse_duration_ns, parse_number, parse_rate_per_s


class Parsed(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A value read by one of our parsers, whose ValueError is the message."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name, self._parse = name, parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class FiniteRange(click.FloatRange):
    """A number within bounds; click lets nan pass, which no bound excludes, and inf."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        return number if isfinite(number) else self.fail(f"{value!r} is not a finite number", param, ctx)


def _header(text: str) -> tuple[str, str]:
    """ "K: V" as curl takes it, or K=V."""
    colon, equals = text.find(":"), text.find("=")
    at = min((i for i in (colon, equals) if i > 0), default=-1)
    if at < 0:
        raise ValueError("a header is written 'Name: value'")
    return text[:at].strip(), text[at + 1 :].strip()


def _json_object(text: str) -> dict[str, Any]:
    """JSON, or @FILE that holds it."""
    from lens.parsing import decode_text, parse_json, read_small

    try:
        if text.startswith("@"):
            text = decode_text(read_small(Path(text[1:])))
        value = parse_json(text)
    except OSError as error:
        raise ValueError(f"cannot read {text[1:]}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"this is not JSON ({error}); write an object like '{{\"top_p\": 0.9}}'") from None
    if not isinstance(value, dict):
        raise ValueError(  # noqa: TRY004 - what parsers of options raise
            "expected a JSON object, like '{\"top_p\": 0.9}'"
        )
    return value


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ValueError(f"{text!r} is not KEY=VALUE")
    return key.strip(), value.strip()


def _limit(text: str) -> tuple[str, int]:
    name, number = _pair(text)
    count = parse_count(number)
    if count is None:
        raise ValueError(f"{text!r}: write a number, like events=1000000")
    return name, count


def _numbers(text: str) -> tuple[int, ...]:
    counts = [parse_count(part) or 0 for part in text.split(",")]
    if not all(counts):
        raise ValueError(f"{text!r}: write numbers, like 1,2,4,8")
    return tuple(counts)


def _gaps(text: str) -> tuple[int, ...]:
    return tuple([parse_duration_ns(part.strip()) for part in text.split(",")])


def _complete_provider(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    from lens.providers.registry import provider_names

    return [name for name in provider_names() if name.startswith(incomplete)]


NUMBERS = Parsed("N,N", _numbers)
GAPS = Parsed("T,T", _gaps)
DURATION = Parsed("DURATION", parse_duration_ns)
RATE = Parsed("RATE", parse_rate_per_s)
NUMBER = Parsed("NUMBER", parse_number)
HEADER = Parsed("'K: V'", _header)
JSON_OBJECT = Parsed("JSON", _json_object)
PAIR = Parsed("K=V", _pair)
LIMIT = Parsed("NAME=N", _limit)

_target = partial(Option, group="Target")
TARGET = (
    _target("--target", "targets", multiple=True, metavar="NAME=P:MODEL@URL", aliases=["--target-spec"],
        help="A named target, repeatable: fast=vllm:llama@http://gpu1:8000/v1; or the NAME of one in the config."),
    _target("--provider", to="target.provider", once=True, metavar="NAME",
        shell_complete=_complete_provider, aliases=["--endpoint-type", "--backend"],
        help="Provider: openai, anthropic, vllm, ... (`lll providers` lists them); `simulator` needs no server "
        "(default with --base-url: openai-compatible)."),
    _target("--model", "-m", to="target.model", once=True, metavar="NAME", aliases=["--served-model-name"],
        help="Model name, as the endpoint knows it."),
    _target("--base-url", to="target.base_url", once=True, metavar="URL",
        aliases=["--url", "--api-base", "--endpoint"],
        help="Base URL of the API: http://host:8000/v1 (default: the provider's own)."),
    _target("--api", to="target.api", metavar="NAME",
        help="API: chat, completions, responses, messages or embeddings (default: the provider's first)."),
    _target("--api-key", "-k", to="target.api_key", metavar="KEY", secret=True,
        help="API key; visible to other users of this machine (default: from the provider's environment variable)."),
    _target("--api-key-env", to="target.api_key_env", metavar="NAME",
        help="Environment variable that holds the key (default: the provider's, such as OPENAI_API_KEY)."),
    _target("--api-key-file", to="target.api_key_file", metavar="FILE", help="File that holds the key."),
)  # fmt: skip

_ask = partial(Option, group="Prompt")
PROMPT = (
    _ask("--prompt", "-p", multiple=True, metavar="TEXT",
        help="Prompt, repeatable; - reads standard input (default: 'Write a short story about a lighthouse.')."),
    _ask("--prompt-file", "-f", to="prompts.file", metavar="FILE",
        aliases=["--test-file", "--input-file", "--dataset-path", "--data"],
        help="Prompts from a file: text, JSON Lines, CSV or ShareGPT."),
    _ask("--system", to="prompts.system", metavar="TEXT", help="System prompt."),
    _ask("--input-tokens", to="prompts.input_tokens", metavar="N|A-B",
        aliases=["--isl", "--input-len", "--random-input-len"],
        help="Synthetic prompts of this length in tokens: 550, 100-900, or MEAN:SD."),
    _ask("--output-tokens", to="prompts.output_tokens", metavar="N|A-B",
        aliases=["--osl", "--output-len", "--random-output-len"],
        help="Completion length to request, in tokens: 150, 50-200, or MEAN:SD."),
    _ask("--max-tokens", to="target.max_tokens", type=click.IntRange(min=1), metavar="N",
        help="Limit of the completion, in tokens (default: the provider's; 1024 for Anthropic, which wants one)."),
    _ask("--temperature", to="target.temperature", type=NUMBER, metavar="T",
        help="Sampling temperature (default: the provider's)."),
    _ask("--seed", to="target.seed", type=int, metavar="N", aliases=["--random-seed"],
        help="Seed sent to the provider, and of synthetic prompts and random arrivals (default: 0, and none is sent)."),
    _ask("--tokenizer", to="output.tokenizer", metavar="NAME|auto",
        help="Count tokens locally where the server reports none; the count is marked as an estimate "
        "(default: none)."),
    _ask("--no-stream", to="target.stream", is_flag=True, stands_for=False,
        help="Request the answer in one piece (default: streamed)."),
    _ask("--expect", to="prompts.expect", multiple=True, metavar="WHAT",
        help="Check each answer: json, schema:FILE, tool:NAME or regex:PATTERN; gives valid_rate and time_to_valid "
        "(default: not checked)."),
    _ask("--extra-body", to="target.extra_body", type=JSON_OBJECT, metavar="JSON|@FILE",
        aliases=["--extra-inputs"], help="JSON merged into the request body: '{\"top_p\": 0.9}', or @FILE."),
    _ask("--header", "-H", to="target.headers", type=HEADER, multiple=True, metavar="'K: V'",
        help="Extra request header; overrides the default of that name."),
)  # fmt: skip

_session = partial(Option, group="Sessions")
SESSIONS = (
    _session("--sessions", to="sessions.file", metavar="FILE",
        help="Conversations or agents' tasks from a file: messages, ShareGPT, AIPerf, Mooncake, MLPerf, Weka, "
        "OpenTelemetry spans, or a run; -n counts sessions (default: each once)."),
    _session("--session-format", to="sessions.format", metavar="NAME",
        help="Format of the session file (default: auto, told by its rows)."),
    _session("--session-rate", to="sessions.rate_per_s", type=RATE, metavar="R",
        help="Open-loop arrival rate of sessions per second: 2, 30/m (default: closed loop of -c lanes)."),
    _session("--history", to="sessions.history", type=click.Choice(["live", "recorded"]), metavar="live|recorded",
        help="Answers repeated in later turns: the model's own, or the recorded ones (default: recorded where the file "
        "has them)."),
    _session("--think", to="sessions.think", metavar="PAUSE",
        help="Think time between turns: recorded, none, cap=15s, or 2s, 1s-3s, 2s:exp, MEAN:SD (default: recorded)."),
    _session("--salt", to="sessions.salt", type=click.Choice(["none", "session", "run"]), metavar="none|session|run",
        help="Make prompts unique per session or run, so that no prefix cache helps (default: none)."),
    _session("--session-header", to="sessions.header", metavar="NAME",
        help="Request header that carries the session's id: X-Session-ID (default: none)."),
    _session("--session-until", to="sessions.until", type=click.Choice(["all", "lane"]), metavar="all|lane",
        help="End with the last session, or once a lane has no session left to take (default: all)."),
    _session("--turns", to="sessions.turns", metavar="N|A-B",
        help="Synthetic sessions of so many turns: 5, 2-10, or MEAN:SD (default: none)."),
    _session("--turn-tokens", to="sessions.turn_tokens", metavar="N|A-B",
        help="Length of each synthetic turn, in tokens: 200, 100-300, or MEAN:SD (default: 200)."),
    _session("--tools", to="sessions.tools", metavar="SHARE:TIME",
        help="Share of synthetic turns that a tool call comes before, and its duration: 0.3:1s (default: none)."),
)  # fmt: skip

_load = partial(Option, group="Load")
LOAD = (
    _load("--iterations", "-n", to="load.iterations", type=click.IntRange(min=1), metavar="N",
        aliases=["--requests", "--num-prompts", "--request-count", "--num-requests", "--number", "--max-requests"],
        help="Number of requests (default: 10; compare, optimize: 50 of each target; no limit where --duration or a "
        "trace ends the run)."),
    _load("--concurrent", "-c", to="load.concurrency", type=click.IntRange(min=1), metavar="N",
        aliases=["--concurrency", "--max-concurrency", "--parallel", "--vus", "--users"],
        help="Concurrency: requests, or sessions, in flight; with --rate the most allowed (default: 1, with --rate no "
        "limit; LLL_CONCURRENCY)."),
    _load("--rate", "-r", to="load.rate_per_s", type=RATE, metavar="R",
        aliases=["--request-rate", "--target-qps", "--qps"],
        help="Open-loop arrival rate in requests per second: 10, 600/m (default: closed loop)."),
    _load("--duration", "-d", to="load.duration_ns", type=DURATION, metavar="TIME",
        aliases=["--max-seconds", "--benchmark-duration"],
        help="Length of the run: 60, 60s, 1m30s (default: until -n requests are done)."),
    _load("--max-cost", to="load.max_cost_usd", metavar="USD",
        help="Budget: stop before a request whose worst-case cost would exceed it; exit code 4 (default: none)."),
    _load("--warn-cost", to="load.warn_cost_usd", metavar="USD",
        help="Warn once the run has cost more than this (default: never)."),
    _load("--max-errors", to="load.max_errors", metavar="N|%",
        help="Stop after this many failed requests: 10, or 5%; exit code 3 (default: no limit)."),
    _load("--dry-run", is_flag=True, help="Print the schedule and the estimated cost as JSON; send nothing."),
    _load("--arrival", to="load.arrival", type=click.Choice(["constant", "poisson", "gamma", "trace"]), metavar="NAME",
        aliases=["--request-rate-mode"],
        help="Distribution of the arrivals of --rate: constant, poisson or gamma; or trace (default: constant)."),
    _load("--trace", to="load.trace", metavar="FILE",
        help="Replay the timestamps of this trace: JSON Lines, Mooncake, or the CSV of Azure and BurstGPT."),
    _load("--speedup", to="load.speedup", type=NUMBER, metavar="X", help="Speed-up factor of a trace (default: 1)."),
    _load("--ramp-to", to="load.ramp_to_per_s", type=RATE, metavar="R",
        help="Ramp the rate linearly from --rate to this over --duration."),
    _load("--sweep-min", to="load.sweep_min_per_s", type=RATE, metavar="R", help="Rate sweep: first rate."),
    _load("--sweep-max", to="load.sweep_max_per_s", type=RATE, metavar="R", help="Rate sweep: last rate."),
    _load("--sweep-step", to="load.sweep_step_per_s", type=RATE, metavar="R",
        help="Rate sweep: increment; each step runs for --duration (default: 30s)."),
    _load("--sweep-concurrency", to="load.sweep_concurrency", type=NUMBERS, metavar="N,N",
        help="Concurrency sweep: 1,2,4,8; each step runs -n requests (default: 10), or --duration."),
    _load("--search-slo", to="load.search_slo", multiple=True, metavar="SLO",
        help="Search for the highest rate (with -c: concurrency) that meets this SLO: 'ttft_p95<500'."),
    _load("--search-max", to="load.search_max", type=NUMBER, metavar="X",
        help="Upper bound of the search (default: 1000 requests/s, or 256 in flight)."),
    _load("--until", to="load.until", metavar="'M W%'",
        help="Stop once the 95% confidence interval of a metric is this narrow: 'ttft_p95 5%'."),
    _load("--idle-gaps", to="load.idle_gaps_ns", type=GAPS, metavar="T,T",
        help="Cold-start probe: one request after each of these idle gaps: 1s,10s,1m."),
    _load("--workers", to="load.workers", type=click.IntRange(min=1), metavar="N",
        help="Worker processes that share the load, one core each (default: 1)."),
    _load("--shard", to="load.shard", metavar="I/N",
        help="Send part I (0 to N-1) of N of the load, the others being sent by other machines (default: all of it, or "
        "JOB_COMPLETION_INDEX of LENS_SHARDS)."),
    _load("--start-at", to="load.start_at", metavar="TIME",
        help="Start at this time on all machines: +30s, 2026-11-29T12:00:00Z or @SECONDS (default: at once)."),
    _load("--engine", to="load.engine", type=click.Choice(["processes", "ray"]), metavar="NAME",
        help="Where workers run: processes on this machine, or ray, a cluster (default: processes)."),
    _load("--ray-address", to="load.ray_address", metavar="ADDRESS",
        help="Ray cluster: auto, or ray://host:10001 (default: a local one)."),
    _load("--adaptive", to="load.adaptive", is_flag=True, stands_for=True,
        help="Throttle on rate-limit headers and 429s."),
    _load("--scenario", type=click.Choice(["standard"]), metavar="standard",
        help="Preset workload: synthetic prompts of 550 tokens, completions of 150."),
    _load("--cooldown", to="load.cooldown", metavar="N|TIME|%",
        help="Exclude the last requests from the results: 5, 10s, 10% (default: 0)."),
    _load("--burstiness", to="load.burstiness", type=NUMBER, metavar="B",
        help="Shape of gamma arrivals; 1 is Poisson, below 1 is burstier, down to 0.001 (default: 1)."),
    _load("--warmup", to="load.warmup", metavar="N|TIME|%",
        aliases=["--num-warmups", "--warmup-requests", "--warmup-request-count"],
        help="Warm-up: send first, exclude from the results: 5, 10s, 10%, or auto to detect it (default: 0)."),
)  # fmt: skip

_way = partial(Option, group="Connection")
CONNECTION = (
    _way("--connection", to="load.connection", type=click.Choice(["reuse", "fresh", "both"]),
        metavar="reuse|fresh|both", aliases=["--connection-reuse-strategy"],
        help="Connection reuse: keep-alive, a new one per request, or measure both (default: reuse)."),
    _way("--disable-keepalive", to="load.connection", is_flag=True, stands_for="fresh", hidden=True),
    _way("--proxy", to="target.proxy", metavar="URL",
        help="HTTP proxy; '' for none (default: from HTTP_PROXY, HTTPS_PROXY and NO_PROXY)."),
    _way("--connect-to", to="target.connect_to", multiple=True, metavar="H:P:H2:P2",
        help="Connect to H2:P2 for requests to H:P, as curl does; the request itself stays the same."),
    _way("--resolve", to="target.resolve", multiple=True, metavar="H:P:ADDRESS",
        help="Use this address for H:P, without DNS."),
    _way("--unix-socket", to="target.unix_socket", metavar="PATH", help="Connect through this Unix domain socket."),
    _way("--ipv4", "-4", to="target.family", is_flag=True, stands_for="ipv4", help="Use IPv4 addresses only."),
    _way("--ipv6", "-6", to="target.family", is_flag=True, stands_for="ipv6", help="Use IPv6 addresses only."),
    _way("--cacert", to="target.cacert", metavar="FILE",
        help="CA certificates to trust, PEM (default: the system's)."),
    _way("--cert", to="target.cert", metavar="FILE", help="Client certificate, PEM."),
    _way("--client-key", to="target.client_key", metavar="FILE", help="Private key of the client certificate."),
    _way("--insecure", to="target.insecure", is_flag=True, stands_for=True,
        help="Do not verify the server's certificate; the result records it."),
    _way("--retries", to="load.retries", type=click.IntRange(min=0), metavar="N",
        help="Retries of retryable failures, with back-off; none long after --duration (default: 0)."),
    _way("--timeout", to="load.timeout_ns", type=DURATION, metavar="TIME",
        help="Timeout of a whole request; 0 is none (default: 600s)."),
    _way("--connect-timeout", to="load.connect_timeout_ns", type=DURATION, metavar="TIME",
        help="Timeout of DNS, connect and TLS (default: 30s)."),
    _way("--ttft-timeout", to="load.ttft_timeout_ns", type=DURATION, metavar="TIME",
        help="Timeout until the first token (default: none)."),
    _way("--idle-timeout", to="load.idle_timeout_ns", type=DURATION, metavar="TIME",
        help="Timeout between two reads of an answer (default: none)."),
    _way("--answer-limit", to="load.answer_limits", type=LIMIT, multiple=True, metavar="NAME=N",
        help="Limit of one answer: events=1000000, kept, inflated or head bytes, ratio; 0 is none."),
)  # fmt: skip

PRICE_TIERS = ("batch", "flex", "priority", "fast", "ultrafast")  # pricing.TIERS, without loading it for --help
_out = partial(Option, group="Output")
GPU = _out("--gpu-hour", metavar="USD[xN]",
    help="Cost of your own server per hour: 2.5, or 2.5x8 for 8 GPUs; adds the cost per million tokens.")  # fmt: skip
PRICES = (
    _out("--price", metavar="in=USD,out=USD",
        help="Price per million tokens; also cached=, thinking=, audio_in=; web_search= per thousand "
        "(default: the built-in price list)."),
    _out("--prices", metavar="FILE|plan", help="Price file, used before the built-in price list: see `lll prices`."),
    _out("--price-tier", type=click.Choice(PRICE_TIERS), metavar="NAME",
        help="Service tier where the answer names none: batch, flex, priority, fast, ultrafast (default: standard)."),
)  # fmt: skip
OUTPUT = (
    _out("--export", "-e", metavar="FMT[,FMT]",
        help="Export formats: json, jsonl, csv, msgpack, html, parquet, prometheus, influxdb, otlp, hdrhistogram, "
        "vllm-json, aiperf-json, guidellm-json (default: by the suffix of --output; LLL_EXPORT_FORMAT)."),
    _out("--prometheus-units", type=click.Choice(["ms", "seconds"]), metavar="ms|seconds",
        help="Metric unit suffix: ms or seconds (default: ms)."),
    _out("--output", "-o", metavar="FILE", help="Output file of --export (default: standard output)."),
    _out("--output-dir", to="output.dir", metavar="DIR",
        aliases=["--result-dir", "--artifact-dir", "--results-dir"],
        help="Write the export to a new file in this directory (LLL_OUTPUT_DIR)."),
    _out("--force", is_flag=True, help="Overwrite existing files."),
    *PRICES,
    GPU,
    _out("--push-gateway", metavar="URL", help="Push metrics to a Prometheus Pushgateway after the run."),
    _out("--export-prometheus", metavar="URL", help="Write metrics to Prometheus by remote write after the run."),
    _out("--influx", metavar="URL",
        help="Write points to InfluxDB: URL?db=NAME, or URL?org=O&bucket=B; token from INFLUX_TOKEN."),
    _out("--otlp", metavar="URL", help="Send spans and metrics to an OpenTelemetry collector (OTLP over HTTP)."),
    _out("--real-time", to="output.real_time", is_flag=True, stands_for=True,
        help="Stream events to standard output as JSON Lines during the run."),
    _out("--label", type=PAIR, multiple=True, metavar="K=V", aliases=["--metadata", "--tag"],
        help="Label of the run, repeatable: env=prod."),
    _out("--save-text", to="output.save_text", is_flag=True, stands_for=True,
        help="Save the text of the answers in the records (default: not saved)."),
)  # fmt: skip
UI = (
    _out("--ui", type=click.Choice(["live", "plain", "none"]), metavar="live|plain|none",
        help="Progress display on standard error (default: live on a terminal, else plain)."),
    _out("--no-tui", is_flag=True, hidden=True, aliases=["--disable-tqdm"]),
)  # fmt: skip

_program = partial(Option, group="Program")
COMMON = (
    _program(
        "--config",
        metavar="FILE",
        help="Config file: TOML, YAML or JSON (default: llm-latency-lens.toml in this directory; LLL_CONFIG_FILE).",
    ),
    _program(
        "--log-level",
        to="output.log_level",
        metavar="LEVEL",
        help="Log level: error, warn, info, debug or trace (default: warn; LLL_LOG_LEVEL).",
    ),
)

# What --help shows of a command that sends requests; --help-all has the rest.
ESSENTIAL = frozenset(
    {"provider", "model", "base_url", "prompt", "max_tokens", "iterations", "concurrent", "rate", "duration", "warmup",
     "timeout", "threshold", "export", "output", "config"}
)  # fmt: skip
