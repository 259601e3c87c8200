"""Every option that more than one command takes, once, in the groups in which --help lists them.

Names are the plan's (PLAN 9.1); names that users of other tools would type are hidden aliases.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from lens.cli.command import Option
from lens.units import parse_count, parse_duration_ns, parse_rate_per_s


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


def _header(text: str) -> tuple[str, str]:
    """ "K: V" as curl takes it, or K=V."""
    colon, equals = text.find(":"), text.find("=")
    at = min((i for i in (colon, equals) if i > 0), default=-1)
    if at < 0:
        raise ValueError("a header is written 'Name: value'")
    return text[:at].strip(), text[at + 1 :].strip()


def _json_object(text: str) -> dict[str, Any]:
    """JSON, or @FILE that holds it."""
    from lens.parsing import decode_text, parse_json

    try:
        if text.startswith("@"):
            text = decode_text(Path(text[1:]).read_bytes())
        value = parse_json(text)
    except OSError as error:
        raise ValueError(f"cannot read {text[1:]}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"this is not JSON ({error}); write an object like '{{\"top_p\": 0.9}}'") from None
    if not isinstance(value, dict):
        raise ValueError(  # noqa: TRY004 - what parsers of options raise
            "a JSON object is wanted, like '{\"top_p\": 0.9}'"
        )
    return value


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ValueError(f"{text!r} is not KEY=VALUE")
    return key.strip(), value.strip()


def _numbers(text: str) -> tuple[int, ...]:
    counts = [parse_count(part) or 0 for part in text.split(",")]
    if not all(counts):
        raise ValueError(f"{text!r}: write numbers, like 1,2,4,8")
    return tuple(counts)


def _gaps(text: str) -> tuple[int, ...]:
    return tuple([parse_duration_ns(part.strip()) for part in text.split(",")])


NUMBERS = Parsed("N,N", _numbers)
GAPS = Parsed("T,T", _gaps)
DURATION = Parsed("DURATION", parse_duration_ns)
RATE = Parsed("RATE", parse_rate_per_s)
HEADER = Parsed("'K: V'", _header)
JSON_OBJECT = Parsed("JSON", _json_object)
PAIR = Parsed("K=V", _pair)

_target = partial(Option, group="Target")
TARGET = (
    _target("--target", "targets", multiple=True, metavar="NAME=P:MODEL@URL", aliases=["--target-spec"],
        help="A target under a name, once for each: fast=vllm:llama@http://gpu1:8000/v1 (or one of the config)."),
    _target("--provider", to="target.provider", once=True, metavar="NAME", aliases=["--endpoint-type", "--backend"],
        help="openai, anthropic, ...: see `lll providers`; `simulator` needs no server."),
    _target("--model", "-m", to="target.model", once=True, metavar="NAME", aliases=["--served-model-name"],
        help="Model to ask."),
    _target("--base-url", to="target.base_url", once=True, metavar="URL",
        aliases=["--url", "--api-base", "--endpoint"], help="Where the API is, e.g. http://host:8000/v1."),
    _target("--api", to="target.api", metavar="NAME",
        help="chat, completions, responses, messages or embeddings."),
    _target("--api-key", "-k", to="target.api_key", metavar="KEY", secret=True,
        help="Key; others on this machine can see it, the provider's variable is better."),
    _target("--api-key-env", to="target.api_key_env", metavar="NAME", help="Variable with the key."),
    _target("--api-key-file", to="target.api_key_file", metavar="FILE", help="File with the key."),
)  # fmt: skip

_ask = partial(Option, group="Prompt")
PROMPT = (
    _ask("--prompt", "-p", multiple=True, metavar="TEXT", help="What to ask; - reads standard input."),
    _ask("--prompt-file", "-f", to="prompts.file", metavar="FILE",
        aliases=["--test-file", "--input-file", "--dataset-path", "--data"], help="txt, jsonl, csv or ShareGPT."),
    _ask("--system", to="prompts.system", metavar="TEXT", help="System prompt."),
    _ask("--input-tokens", to="prompts.input_tokens", metavar="N|A-B",
        aliases=["--isl", "--input-len", "--random-input-len"], help="Make up prompts of about this length; or N:SD."),
    _ask("--output-tokens", to="prompts.output_tokens", metavar="N|A-B",
        aliases=["--osl", "--output-len", "--random-output-len"], help="Ask for answers of this length."),
    _ask("--max-tokens", to="target.max_tokens", type=click.IntRange(min=1), metavar="N",
        help="Longest answer."),
    _ask("--temperature", to="target.temperature", type=float, metavar="T", help="Sampling temperature."),
    _ask("--seed", to="target.seed", type=int, metavar="N", aliases=["--random-seed"],
        help="Seed of sampling and of made-up prompts."),
    _ask("--tokenizer", to="output.tokenizer", metavar="NAME|auto",
        help="Count tokens here where the server does not; marked as an estimate."),
    _ask("--no-stream", to="target.stream", is_flag=True, stands_for=False,
        help="Ask for the answer in one piece."),
    _ask("--extra-body", to="target.extra_body", type=JSON_OBJECT, metavar="JSON|@FILE",
        aliases=["--extra-inputs"], help="Fields laid over the request's body."),
    _ask("--header", "-H", to="target.headers", type=HEADER, multiple=True, metavar="'K: V'",
        help="A header more, or in place of ours."),
)  # fmt: skip

_load = partial(Option, group="Load")
LOAD = (
    _load("--iterations", "-n", to="load.iterations", type=click.IntRange(min=1), metavar="N",
        aliases=["--requests", "--num-prompts", "--request-count", "--num-requests", "--number", "--max-requests"],
        help="Requests in all (default: 10)."),
    _load("--concurrent", "-c", to="load.concurrency", type=click.IntRange(min=1), metavar="N",
        aliases=["--concurrency", "--max-concurrency", "--parallel", "--vus", "--users"],
        help="Requests at a time (default: 1; LLL_CONCURRENCY)."),
    _load("--rate", "-r", to="load.rate_per_s", type=RATE, metavar="R",
        aliases=["--request-rate", "--target-qps", "--qps"], help="Requests a second, come what may: 10, 600/m."),
    _load("--duration", "-d", to="load.duration_ns", type=DURATION, metavar="TIME",
        aliases=["--max-seconds", "--benchmark-duration"], help="For how long: 60, 60s, 1m30s."),
    _load("--max-cost", to="load.max_cost_usd", metavar="USD",
        help="Send nothing whose worst case would pass this; exit code 4 when it ends a run."),
    _load("--warn-cost", to="load.warn_cost_usd", metavar="USD", help="Warn once the run has cost more than this."),
    _load("--max-errors", to="load.max_errors", metavar="N|%",
        help="End the run when more requests than this failed: 10, or 5% (exit code 3)."),
    _load("--dry-run", is_flag=True, help="Print the plan and what it may cost; send nothing."),
    _load("--arrival", to="load.arrival", type=click.Choice(["constant", "poisson", "gamma", "trace"]), metavar="NAME",
        aliases=["--request-rate-mode"], help="How the gaps of --rate are spread: constant, poisson, gamma; or trace."),
    _load("--trace", to="load.trace", metavar="FILE",
        help="Start at the timestamps of this file (JSON Lines; Mooncake's too)."),
    _load("--speedup", to="load.speedup", type=float, metavar="X", help="Replay a trace so many times as fast."),
    _load("--ramp-to", to="load.ramp_to_per_s", type=RATE, metavar="R", help="Let the rate go to this."),
    _load("--sweep-min", to="load.sweep_min_per_s", type=RATE, metavar="R", help="Sweep rates from this"),
    _load("--sweep-max", to="load.sweep_max_per_s", type=RATE, metavar="R", help="to this,"),
    _load("--sweep-step", to="load.sweep_step_per_s", type=RATE, metavar="R",
        help="in steps of this; each takes --duration (default: 30s)."),
    _load("--sweep-concurrency", to="load.sweep_concurrency", type=NUMBERS, metavar="N,N",
        help="Sweep requests at a time; each step takes -n requests, or --duration."),
    _load("--search-slo", to="load.search_slo", multiple=True, metavar="SLO",
        help="Find the highest rate (or -c) that keeps this, like 'ttft_p95<500'."),
    _load("--search-max", to="load.search_max", type=float, metavar="X", help="Search no further than this load."),
    _load("--until", to="load.until", metavar="'M W%'",
        help="Stop when a figure is this sure: 'ttft_p95 5%'."),
    _load("--idle-gaps", to="load.idle_gaps_ns", type=GAPS, metavar="T,T",
        help="Ask after pauses of 1s,10s,1m: when does the endpoint go cold?"),
    _load("--workers", to="load.workers", type=click.IntRange(min=1), metavar="N",
        help="Processes that share the load, a core each."),
    _load("--engine", to="load.engine", type=click.Choice(["processes", "ray"]), metavar="NAME",
        help="Where workers run: processes of this machine, or ray (a cluster)."),
    _load("--ray-address", to="load.ray_address", metavar="ADDRESS", help="Of the Ray cluster: auto, or ray://host:10001."),
    _load("--adaptive", to="load.adaptive", is_flag=True, stands_for=True,
        help="Hold back under the provider's rate limits."),
    _load("--scenario", type=click.Choice(["standard"]), metavar="standard",
        help="Made-up prompts of 550 tokens, answers of 150."),
    _load("--cooldown", to="load.cooldown", metavar="N|TIME|%", help="Last requests to leave out of the figures."),
    _load("--burstiness", to="load.burstiness", type=float, metavar="B",
        help="Shape of gamma gaps; 1 is Poisson, below it burstier."),
    _load("--warmup", to="load.warmup", metavar="N|TIME|%",
        aliases=["--num-warmups", "--warmup-requests", "--warmup-request-count"],
        help="Sent first and left out of the figures: 5, 10s, 10%, or auto to find them."),
)  # fmt: skip

_way = partial(Option, group="Connection")
CONNECTION = (
    _way("--connection", to="load.connection", type=click.Choice(["reuse", "fresh", "both"]),
        metavar="reuse|fresh|both", aliases=["--connection-reuse-strategy"],
        help="Keep connections, or one for each request."),
    _way("--disable-keepalive", to="load.connection", is_flag=True, stands_for="fresh", hidden=True),
    _way("--proxy", to="target.proxy", metavar="URL", help="Proxy; '' for none, whatever the environment says."),
    _way("--connect-to", to="target.connect_to", multiple=True, metavar="H:P:H2:P2",
        help="For H:P connect to H2:P2; the request stays as it is."),
    _way("--resolve", to="target.resolve", multiple=True, metavar="H:P:ADDRESS",
        help="For H:P take this address."),
    _way("--unix-socket", to="target.unix_socket", metavar="PATH", help="Connect to a unix socket."),
    _way("--ipv4", "-4", to="target.family", is_flag=True, stands_for="ipv4", help="Only IPv4 addresses."),
    _way("--ipv6", "-6", to="target.family", is_flag=True, stands_for="ipv6", help="Only IPv6 addresses."),
    _way("--cacert", to="target.cacert", metavar="FILE", help="Trust these certificates."),
    _way("--cert", to="target.cert", metavar="FILE", help="Certificate of this client."),
    _way("--client-key", to="target.client_key", metavar="FILE", help="Key of that certificate."),
    _way("--insecure", to="target.insecure", is_flag=True, stands_for=True,
        help="Do not verify the certificate; the result says so."),
    _way("--retries", to="load.retries", type=click.IntRange(min=0), metavar="N",
        help="New attempts of a request that may succeed then (default: 0)."),
    _way("--timeout", to="load.timeout_ns", type=DURATION, metavar="TIME", help="For a whole request."),
    _way("--connect-timeout", to="load.connect_timeout_ns", type=DURATION, metavar="TIME",
        help="Until connected."),
    _way("--ttft-timeout", to="load.ttft_timeout_ns", type=DURATION, metavar="TIME",
        help="Until the first token."),
    _way("--idle-timeout", to="load.idle_timeout_ns", type=DURATION, metavar="TIME",
        help="Between two pieces of an answer."),
)  # fmt: skip

PRICE_TIERS = ("batch", "flex", "priority", "fast", "ultrafast")  # pricing.TIERS, without loading it for --help
_out = partial(Option, group="Output")
GPU = _out("--gpu-hour", metavar="USD[xN]", help="What an hour of a server of your own costs: 2.5, or 2.5x8 GPUs.")
PRICES = (
    _out("--price", metavar="in=USD,out=USD",
        help="Price for a million tokens; also cached=, thinking=, audio_in=; web_search= for a thousand."),
    _out("--prices", metavar="FILE|plan", help="Prices from a file, before those that ship: see `lll prices`."),
    _out("--price-tier", type=click.Choice(PRICE_TIERS), metavar="NAME",
        help="Tier that counts where an answer names none: batch, flex, priority, fast, ultrafast."),
)  # fmt: skip
OUTPUT = (
    _out("--export", "-e", metavar="FMT[,FMT]",
        help="One or several of json, jsonl, csv, msgpack, html, parquet, prometheus, influxdb, otlp, hdrhistogram, "
        "vllm-json, aiperf-json, guidellm-json (LLL_EXPORT_FORMAT)."),
    _out("--prometheus-units", type=click.Choice(["ms", "seconds"]), metavar="ms|seconds",
        help="Metric names as planned (_ms, default) or by Prometheus' conventions."),
    _out("--output", "-o", metavar="FILE", help="Where to write it; without it, standard output."),
    _out("--output-dir", to="output.dir", metavar="DIR",
        aliases=["--result-dir", "--artifact-dir", "--results-dir"], help="A new file in there (LLL_OUTPUT_DIR)."),
    _out("--force", is_flag=True, help="Replace files that exist."),
    *PRICES,
    GPU,
    _out("--push-gateway", metavar="URL", help="Push metrics to a Prometheus Pushgateway."),
    _out("--export-prometheus", metavar="URL", help="Write them to a Prometheus (remote write)."),
    _out("--influx", metavar="URL", help="Write points to InfluxDB: ?db=NAME, or ?org=O&bucket=B; INFLUX_TOKEN."),
    _out("--otlp", metavar="URL", help="Send spans and metrics to an OpenTelemetry collector (HTTP)."),
    _out("--real-time", to="output.real_time", is_flag=True, stands_for=True,
        help="Write what happens to standard output as JSON lines."),
    _out("--label", type=PAIR, multiple=True, metavar="K=V", aliases=["--metadata", "--tag"],
        help="Written with the run."),
    _out("--save-text", to="output.save_text", is_flag=True, stands_for=True,
        help="Keep the answers' texts in the records."),
)  # fmt: skip
UI = (
    _out("--ui", type=click.Choice(["live", "plain", "none"]), metavar="live|plain|none",
        help="Progress on standard error (default: live on a terminal)."),
    _out("--no-tui", is_flag=True, hidden=True, aliases=["--disable-tqdm"]),
)  # fmt: skip

_program = partial(Option, group="Program")
COMMON = (
    _program("--config", metavar="FILE", help="Settings from a file (LLL_CONFIG_FILE)."),
    _program("--log-level", to="output.log_level", metavar="LEVEL", help="error, warn, info, debug or trace."),
)
