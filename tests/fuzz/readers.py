"""Every reader of files and of words: how it is run on bytes, and seeds that it reads well."""

import zlib
from pathlib import Path

from made_run import made_run

from lens.analysis.explore.filters import compile_filter
from lens.analysis.gates.sla import gates_of
from lens.analysis.gates.thresholds import parse_threshold
from lens.config.file import parsed
from lens.config.load import load_config
from lens.errors import LensError
from lens.export.formats import FORMATS
from lens.history.read import read_run
from lens.metrics.goodput import parse_slos
from lens.metrics.summarize import summarize
from lens.monitor.burn import parse_objective
from lens.orchestrator.prompts import read_prompts
from lens.orchestrator.sessions.history import turn_prompt
from lens.orchestrator.sessions.sources import read_sessions
from lens.orchestrator.traces import read_trace_ns
from lens.pricing import parse_price
from lens.pricing.book import read_prices
from lens.server import parse_listen
from lens.simulator import make_script
from lens.units import parse_duration_ns, parse_rate_per_s

FILES = Path(__file__).parent.parent / "fixtures" / "sessions"
CONFIG = b"""
[providers.openai]
model = "gpt-4"
base_url = "https://api.openai.com/v1"
temperature = 0.7
[test_pattern]
type = "constant_rate"
requests_per_second = 5.0
duration_seconds = 120
[export]
format = "prometheus"
[thresholds]
ttft_p95_ms = 1000.0
[monitoring]
interval = "60s"
slos = ["ttft<1000 99%"]
"""
YAML = b"""
providers:
  - name: openai
    model: gpt-4
    api_key: ${HOME:-none}
monitoring: {interval: 60s, test_prompts: [&a "Hello", *a]}
export: [{type: influxdb, endpoint: "http://influxdb:8086", database: llm}]
"""
TRACE = (
    b'{"timestamp": 0, "input_length": 60, "output_length": 5, "hash_ids": [1, 2]}\n'
    b'{"timestamp": 27, "input_length": 6}\n'
)
JSON = b'{"providers": [{"name": "vllm", "model": "m"}], "load": {"iterations": 3}}'
SLA = b"thresholds: [ttft_p95<1000]\ntargets: {openai: [itl<5]}"
SHAREGPT = b'[{"id": "a", "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}]'
AZURE = b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,374,44\n"
SESSIONS = [path.read_bytes() for path in sorted(FILES.glob("*.json*")) if ".expected" not in path.name]
PRICES = b'[{"provider": "openai", "model": "gpt-5*", "input": "1.25", "output": "10", "cache_read": "0.3"}]'


def file_of(suffix, read, *seeds):
    """A target that reads a file."""

    def run(data, folder):
        path = folder / f"seed{suffix}"
        path.write_bytes(data)
        read(path)

    return run, seeds


def words_of(read, *seeds):
    """A target that reads words."""
    return lambda data, _: read(data.decode("utf-8", "surrogateescape")), [seed.encode() for seed in seeds]


def script_of(text):
    make_script(**dict(part.partition("=")[::2] for part in text.split(",")))


def read_conversations(path):
    for session in read_sessions(path, "auto", [])[0]:
        for number in range(len(session.turns)):
            turn_prompt(session, number)


def read_summed(path):
    """A summary takes twenty times as long as reading: one of so many runs that can be read is summed up."""
    run = read_run(path)
    if zlib.crc32(path.read_bytes()) % 16 == 0:
        summarize(run.records, run.info)


# Run files of three requests, in the formats that are read again.
RUNS = {name: made_run(FORMATS[name]) for name in ("json", "jsonl", "msgpack")}
TARGETS = {
    "config.toml": file_of(".toml", load_config, CONFIG),
    "config.yaml": file_of(".yaml", load_config, YAML),
    "config.json": file_of(".json", load_config, JSON),
    "sla.yaml": file_of(".yaml", lambda path: gates_of(parsed(path)), SLA),
    "run.json": file_of(".json", read_summed, RUNS["json"]),
    "run.jsonl": file_of(".jsonl", read_summed, RUNS["jsonl"]),
    "run.msgpack": file_of(".msgpack", read_summed, RUNS["msgpack"]),
    "prompts.txt": file_of(".txt", read_prompts, b"Hello\nHow are you?\n"),
    "prompts.jsonl": file_of(".jsonl", read_prompts, TRACE, b'{"prompt": "Hi", "max_tokens": 5}\n'),
    "prompts.json": file_of(".json", read_prompts, SHAREGPT, b'[{"id": "a", "prompt": "Hi"}]'),
    "prompts.csv": file_of(".csv", read_prompts, b'id,prompt,max_tokens\na,"Hi, you",5\n'),
    "trace": file_of(".jsonl", read_trace_ns, TRACE),
    "trace.csv": file_of(".csv", read_trace_ns, AZURE),
    "sessions": file_of(".jsonl", read_conversations, TRACE, SHAREGPT, *SESSIONS),
    "prices": file_of(".json", read_prices, PRICES),
    "thresholds": words_of(parse_threshold, "ttft_p95<1000", "p99.9_ttft_ms=<=1s", "success_rate>=99%"),
    "filters": words_of(compile_filter, "provider == 'openai' and ttft_ms > 500", "not (model in ('a', 'b')) or index"),
    "promises": words_of(parse_objective, "ttft<1000 99%", "success 99.9%"),
    "slos": words_of(parse_slos, "ttft:200 tpot:50 e2el:1s"),
    "durations": words_of(parse_duration_ns, "1m30s", "500ms", "0.5h"),
    "rates": words_of(parse_rate_per_s, "10/s", "600/m", "0.5"),
    "prices in words": words_of(parse_price, "in=3,out=15,cached=0.3"),
    "listen": words_of(parse_listen, "127.0.0.1:9464", "[::1]:1"),
    "scripts": words_of(script_of, "ttft=50ms,tokens=10,stall=3:5ms"),
}  # fmt: skip
# What may be raised besides our own errors: a script's wrong words are a ValueError or a TypeError of the caller.
ALLOWED = {"scripts": (ValueError, TypeError), "durations": (ValueError,), "rates": (ValueError,)}


def refused(name, error):
    """Whether a reader may raise this: one of our own errors that says something."""
    return isinstance(error, (LensError, *ALLOWED.get(name, ()))) and str(error).strip()
