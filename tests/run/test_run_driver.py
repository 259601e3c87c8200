"""One driver: each field of a RunConfig does the same from the command line and from the library, or both refuse it."""

from __future__ import annotations

import ast
import gc
import json
import os
import re
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
import trio

import lens
from lens.cli.commands.benchmark import command
from lens.cli.running import run_settings
from lens.cli.settings import settings_of
from lens.config.settings import (
    CompareConfig,
    LoadConfig,
    OutputConfig,
    PromptConfig,
    RunConfig,
    SessionConfig,
    TargetConfig,
)
from lens.config.spelling import in_python
from lens.errors import ConfigError
from lens.model import Status
from lens.run import driver
from lens.run.sink import Sink
from lens.simulator import make_script, start
from lens.simulator.proxy import start_proxy

SRC = Path(lens.__file__).parent
PRICED = {"base_url": "{url}", "model": "gpt-4o-mini", "max_tokens": 5, "headers": {"x-lens-script": "tokens=request"}}
SLOW = {"headers": {"x-lens-script": "ttft=30s"}}
CERTIFICATE = "/nowhere/client.pem"


class Row(msgspec.Struct, frozen=True):
    """What a file says, and what must be true of its result; or what both must refuse."""

    file: dict  # sections over those of BASE; {url}, {port}, {tls}, {ca}, {proxy} are filled in
    holds: object = None  # of the result
    refused: str | None = None  # the message of a ConfigError


def load(holds=None, refused=None, **fields):
    return Row({"load": fields}, holds, refused)


def prompts(holds, **fields):
    return Row({"prompts": {"texts": None, **fields}}, holds)


def sessions(holds=None, refused=None, load=None, prompts=None, **fields):
    said = {key: value for key, value in {"file": "sessions.jsonl", **fields}.items() if value is not None}
    others = {"load": {"iterations": 2, **(load or {})}, "prompts": {"texts": None, **(prompts or {})}}
    return Row({**others, "sessions": said}, holds, refused)


def turns(*names):
    """Whether these turns were sent, and no others: "a0" is the first of session a."""
    return lambda result: (
        succeeded(result)
        and sorted(f"{one.session.session_id}{one.session.turn}" for one in result.records) == sorted(names)
    )


def target(holds, refused=None, **fields):
    return Row({"targets": [{"base_url": "{url}", **fields}]}, holds, refused)


def succeeded(result):
    return all(one.status is Status.SUCCESS for one in result.records)


def stages(*names):
    return lambda result: list(dict.fromkeys(one.stage for one in result.records)) == list(names)


def count(number):
    return lambda result: succeeded(result) and len(result.records) == number


def says(text):
    return lambda result: any(text in note for note in result.notes)


def category(name):
    return lambda result: {one.category for one in result.records} == {name}


def inputs(result):
    return [one.usage.input_tokens for one in result.records]


def marked(number):
    return lambda result: sum(one.warmup for one in result.records) == number


BASE = {
    "targets": [{"provider": "openai", "model": "m", "api": "chat", "base_url": "{url}", "proxy": ""}],
    "load": {"iterations": 3},
    "prompts": {"texts": ["one", "two words"]},
}

ROLES = ("user", "assistant")
DIALOGUES = [
    {
        "id": name,
        "messages": [{"role": ROLES[i % 2], "content": f"{name} says {i}"} for i in range(many)],
    }
    for name, many in (("a", 3), ("b", 5))
]
LOAD = {
    "pattern": load(lambda r: len(r.records) == 2 and r.records[0].stage == "single", pattern="single"),
    "iterations": load(count(5), iterations=5),
    "concurrency": load(lambda r: 1 < max_in_flight(r.records) <= 3, iterations=9, concurrency=3),
    "rate_per_s": load(stages("40/s"), rate_per_s=40),
    "arrival": load(lambda r: gaps_differ(r.records), rate_per_s=40, arrival="poisson", iterations=5),
    "burstiness": load(lambda r: gaps_differ(r.records), rate_per_s=40, arrival="gamma", burstiness=0.5, iterations=5),
    "duration_ns": load(count(10), rate_per_s=50, duration="200ms", iterations=50),
    "ramp_to_per_s": load(stages("10/s to 50/s"), rate_per_s=10, ramp_to_per_s=50, duration="200ms"),
    "sweep_min_per_s": load(stages("20/s", "30/s", "40/s"), sweep_min_per_s=20, sweep_step_per_s=10,
        sweep_max_per_s=40, step_duration="100ms"),
    "sweep_max_per_s": load(stages("10/s", "20/s"), sweep_max_per_s=20, sweep_step_per_s=10, step_duration="100ms"),
    "sweep_step_per_s": load(stages("5/s", "10/s", "15/s"), sweep_max_per_s=15, sweep_step_per_s=5,
        step_duration="200ms"),
    "sweep_concurrency": load(stages("1 at a time", "2 at a time"), sweep_concurrency=[1, 2]),
    "step_duration_ns": load(count(6), iterations=9, sweep_min_per_s=20, sweep_max_per_s=40, sweep_step_per_s=20,
        step_duration="100ms"),
    "trace": load(count(3), trace="trace.jsonl"),
    "speedup": load(lambda r: span_s(r.records) < 0.2, trace="trace.jsonl", speedup=10),
    "warmup": load(lambda r: [one.index for one in r.records] == [2, 3, 4], warmup="2"),
    "warmup auto": load(says("warm-up: the first"), warmup="auto", iterations=45, concurrency=3),
    "cooldown": load(lambda r: marked(2)(r) and says("cool-down: the last 2")(r), cooldown="2"),
    "idle_gaps_ns": load(lambda r: "after idle 20.00 ms" in {one.stage for one in r.records}, idle_gaps=["20ms"],
        iterations=8),
    "adaptive": Row({"load": {"adaptive": True, "iterations": 2},
        "targets": [{"headers": {"x-lens-script": "status=429,retry_after=1"}}]},
        lambda r: any("held back" in one for one in r.warnings)),
    "until": load(
        lambda r: says("output_tokens mean")(r) and 30 <= len(r.records) < 400, until="output_tokens_mean 90%",
        iterations=400, concurrency=4),
    "search_slo": load(says("still met at 40"), search_slo=["ttft_p50<5000"], search_max=40, rate_per_s=40,
        duration="150ms"),
    "search_max": load(says("still met at 30"), search_slo=["ttft_p50<5000"], search_max=30, rate_per_s=30,
        duration="200ms"),
    "search_max alone": load(refused=r"load\.search_max has no effect without load\.search_slo", search_max=5),
    "workers": load(count(6), workers=2, iterations=6, concurrency=2),
    "workers warm-up": load(lambda r: len(r.records) == 4 and marked(0)(r), workers=2, iterations=4, concurrency=2,
        warmup="2"),
    "engine": load(refused="--max-cost cannot be joined with --workers", engine="ray", max_cost_usd="1"),
    "ray_address": load(refused=r"load\.ray_address has no effect without load\.engine", ray_address="ray://x:1"),
    "shard": load(lambda r: [one.index for one in r.records] == [1, 4], shard="1/3", iterations=7, concurrency=3),
    "shard of a rate": load(lambda r: [one.index for one in r.records] == [0, 2, 4, 6], shard="0/2", iterations=8,
        rate_per_s=100, arrival="poisson"),
    "shard and workers": load(lambda r: [one.index for one in r.records] == [1, 3, 5], shard="1/2", workers=2,
        rate_per_s=100, iterations=6),
    "shard that is none": load(refused="of 4 shards 0/4 to 3/4", shard="4/4"),
    "shard of too few": load(refused="3 requests cannot be shared by 4 shards", shard="0/4", rate_per_s=50),
    "shard of too few at a time": load(refused="--concurrent 1 cannot be shared", shard="0/2"),
    "shard and until": load(refused="--until cannot be joined with --shard", shard="0/2", until="ttft_p50 5%"),
    "shard and cooldown": load(refused="--cooldown cannot be joined with --shard", shard="0/2", cooldown="1"),
    "shard of a sweep": load(refused="pattern 'sweep'", shard="0/2", sweep_concurrency=[2, 4]),
    "start_at": load(lambda r: succeeded(r) and r.records[0].stamps.intended == r.info.started_ns, start_at="+300ms",
        rate_per_s=50),
    "start_at with workers": load(lambda r: succeeded(r) and len(r.records) == 4, start_at="+300ms", workers=2,
        iterations=4, concurrency=2),
    "start_at that is over": load(refused="that was .* ago", start_at="2001-01-01T00:00:00Z"),
    "start_at without a zone": load(refused="no time zone", start_at="2101-01-01T00:00:00"),
    "start_at that is no time": load(refused="this is no time", start_at="soon"),
    "start_at and search_slo": load(refused="--start-at cannot be combined", start_at="+1s", search_slo=["ttft_p50<5"]),
    "connection": load(lambda r: not any(one.connection.reused for one in r.records), connection="fresh"),
    "connections": load(lambda r: not r.records[0].connection.reused or succeeded(r), connections=0),
    "timeout_ns": Row({"load": {"timeout": "300ms"}, "targets": [SLOW]}, category("timeout")),
    "connect_timeout_ns": load(succeeded, connect_timeout="5s"),
    "answer_limits": load(category("protocol_error"), answer_limits={"events": 2}),
    "ttft_timeout_ns": Row({"load": {"ttft_timeout": "300ms"}, "targets": [SLOW]}, category("timeout")),
    "idle_timeout_ns": Row({"load": {"idle_timeout": "30ms"},
        "targets": [{"headers": {"x-lens-script": "stall=2:5s"}}]}, category("timeout")),
    "retries": Row({"load": {"retries": 1, "iterations": 1, "timeout": "5s"},
        "targets": [{"headers": {"x-lens-script": "status=503"}}]}, lambda r: len(r.records[0].tries) == 1),
    "seed": load(lambda r: gaps_differ(r.records), seed=7, rate_per_s=50, arrival="poisson"),
    "max_cost_usd": Row({"load": {"max_cost_usd": "0.00000001"}, "targets": [PRICED]},
        lambda r: not r.records and "--max-cost" in r.outcome.over_budget and r.exit_code == 4
        and r.outcome.over_budget in r.warnings),
    "warn_cost_usd": Row({"load": {"warn_cost_usd": "0.00000001", "iterations": 4}, "targets": [PRICED]},
        lambda r: len(r.records) == 4 and sum("--warn-cost" in one for one in r.summary.warnings) == 1
        and "after 1 request" in r.warnings[0]),
    "max_errors": Row({"load": {"max_errors": "1", "iterations": 9},
        "targets": [{"headers": {"x-lens-script": "status=503"}}]},
        lambda r: len(r.records) == 2 and "--max-errors 1" in r.ended_by),
    "max_cost_usd in a search": Row(
        {"load": {"max_cost_usd": "0.00000001", "search_slo": ["ttft_p50<5000"], "duration": "100ms"},
         "targets": [PRICED]}, lambda r: not r.records and r.exit_code == 4),
    "arrival in a closed loop": load(refused=r"\(load\.arrival\) has no effect without --rate", arrival="poisson"),
    "burstiness alone": load(refused="--burstiness .* without --arrival gamma", burstiness=2.0, rate_per_s=5),
    "step_duration_ns alone": load(refused=r"\(load\.step_duration_ns\) has no effect", step_duration="1s"),
    "connections of fresh ones": load(refused=r"load\.connections has no effect", connections=2, connection="fresh"),
    "search_slo and until": load(refused="--until cannot be combined", search_slo=["ttft_p50<5"], until="ttft_p50 5%"),
    "search_slo and workers": load(refused="--search-slo cannot be joined", search_slo=["ttft_p50<5"], workers=2),
    "search_slo and sweep": load(refused="pattern 'sweep'", search_slo=["ttft_p50<5"], sweep_concurrency=[1]),
}  # fmt: skip
PROMPTS = {
    "expect": Row({"prompts": {"expect": ["regex:[a-z]+"]}},
        lambda r: all(one.judged.valid and one.judged.usable_ns for one in r.records) and r.summary.valid_rate == 1),
    "expect with abort": Row({"prompts": {"expect": ["json"]}, "thresholds": ["valid_rate>0.9 abort"],
        "load": {"iterations": 40}}, lambda r: len(r.records) < 40 and r.summary.valid_rate == 0),
    "expect refused": Row({"prompts": {"expect": ["jsn"]}}, refused="--expect 'jsn'"),
    "texts": Row({"prompts": {"texts": ["a b c d e f g h"]}}, lambda r: len(set(inputs(r))) == 1),
    "system": Row({"prompts": {"system": "be brief"}}, succeeded),
    "file": prompts(lambda r: len(set(inputs(r))) == 3, file="prompts.txt"),
    "whole": prompts(lambda r: len(set(inputs(r))) == 1, file="prompts.txt", whole=True),
    "input_tokens": prompts(lambda r: min(inputs(r)) >= 30, input_tokens="40"),
    "output_tokens": Row({"prompts": {"output_tokens": "3"}, "targets": [PRICED]},
        lambda r: {one.usage.output_tokens for one in r.records} == {3}),
    "shared_prefix_tokens": prompts(succeeded, input_tokens="40", shared_prefix_tokens=20),
    "order": Row({"prompts": {"texts": ["a " * n for n in range(1, 9)], "order": "random"}, "load": {"iterations": 8}},
        lambda r: inputs(r) != sorted(inputs(r))),
}  # fmt: skip
TARGET = {
    "provider": target(lambda r: r.records[0].provider == "vllm", provider="vllm"),
    "name": target(lambda r: {one.target for one in r.records} == {"near"}, provider="vllm", name="near"),
    "labels": target(lambda r: r.records[0].labels == {"region": "eu"}, labels={"region": "eu"}),
    "model": target(lambda r: r.records[0].model == "another", model="another"),
    "api": target(succeeded, api="responses"),
    "base_url": target(lambda r: not succeeded(r) and r.info.targets[0].url == "http://127.0.0.1:9/v1", base_url="http://127.0.0.1:9/v1"),
    "api_key": target(succeeded, api_key="sk-hidden-0123456789"),
    "api_key_env": target(None, "NO_SUCH_KEY_VARIABLE", api_key_env="NO_SUCH_KEY_VARIABLE"),
    "api_key_file": target(None, "nowhere.key", api_key_file="nowhere.key"),
    "api_key_command": target(None, "no-such-program-7", api_key_command="no-such-program-7"),
    "api_key_keyring": target(None, "service/user", api_key_keyring="nowhere"),
    "unix_socket": target(category("network_error"), unix_socket="nowhere.sock", proxy=None),
    "connect_to": target(succeeded, base_url="http://example.test:80/v1",
        connect_to=["example.test:80:127.0.0.1:{port}"]),
    "resolve": target(succeeded, base_url="http://example.test:{port}/v1", resolve=["example.test:{port}:127.0.0.1"]),
    "family": target(succeeded, family="ipv4"),
    "proxy": Row(
        {"load": {"connection": "fresh"}, "targets": [{"base_url": "{tls}", "proxy": "{proxy}", "insecure": True}]},
        lambda r: succeeded(r) and r.records[0].stamps.proxy_end is not None),
    "cacert": target(succeeded, base_url="{tls}", cacert="{ca}"),
    "cert": target(None, CERTIFICATE, base_url="{tls}", cacert="{ca}", cert=CERTIFICATE),
    "client_key": target(None, "client.key", base_url="{tls}", cert="{ca}", client_key="/nowhere/client.key"),
    "insecure": target(succeeded, base_url="{tls}", insecure=True),
    "server_name": target(lambda r: not succeeded(r), base_url="{tls}", cacert="{ca}", server_name="wrong.test"),
    "stream": target(lambda r: not r.records[0].stream, stream=False),
    "max_tokens": Row({"targets": [PRICED]}, lambda r: {one.usage.output_tokens for one in r.records} == {5}),
    "temperature": target(succeeded, temperature=0.5),
    "seed": target(succeeded, seed=3),
    "extra_body": target(succeeded, extra_body={"top_p": 0.5}),
    "connection": target(lambda r: all(not one.connection.reused for one in r.records), connection="fresh"),
    "novel": target(succeeded, novel="schema", extra_body={"format": {"type": "object"}}),
    "headers": target(lambda r: {one.usage.output_tokens for one in r.records} == {4},
        headers={"x-lens-script": "tokens=4"}),
    "custom": target(lambda r: succeeded(r) and r.records[0].provider == "custom", provider="custom", custom={
        "path": "/chat/completions", "done": "[DONE]", "text": ["choices[].delta.content"], "finish":
        "choices[].finish_reason",
        "body": {"model": "{{model}}", "stream": True, "messages": [{"role": "user", "content": "{{prompt}}"}]}}),
}  # fmt: skip
OUTPUT = {
    "exports": Row({"output": {"exports": [{"format": "json", "file": "run.json"}]}},
        lambda r: [path.name for path in r.paths] == ["run.json"] and Path("run.json").stat().st_size > 1000),
    "exports to push": Row({"output": {"exports": [{"format": "prometheus", "endpoint": "http://127.0.0.1:9/x"}]}},
        lambda r: "127.0.0.1:9" in r.trouble and r.exit_code == 2),
    "exports refused": Row({"output": {"exports": [{"format": "jsonn", "file": "x"}]}}, refused="jsonn"),
    "format": Row({"output": {"format": "json", "file": "run.json"}},
        lambda r: [path.name for path in r.paths] == ["run.json"] and Path("run.json").stat().st_size > 1000),
    "file": Row({"output": {"format": "csv", "file": "run.csv"}},
        lambda r: Path("run.csv").read_text().startswith("timestamp,")),
    "dir": Row({"output": {"exports": [{"format": "jsonl"}], "dir": "out"}}, lambda r: r.paths[0].parent.name == "out"),
    "real_time": Row({"output": {"real_time": True}}, succeeded),
    "save_text": Row({"output": {"save_text": True}}, lambda r: all(one.text for one in r.records)),
    "tokenizer": Row({"output": {"tokenizer": "o200k_base"},
        "targets": [{"headers": {"x-lens-script": "usage=never"}, "provider": "vllm"}]},
        lambda r: all((one.token_source or "").startswith("estimated") or one.token_source for one in r.records)),
    "tokenizer refused": Row({"output": {"tokenizer": "papyrus"}}, refused="papyrus"),
    "log_level": Row({"output": {"log_level": "debug"}}, succeeded),
}  # fmt: skip
SESSIONS = {
    "file": sessions(turns("a0", "a1", "b0", "b1", "b2")),
    "file again": sessions(lambda r: turns("a0", "a1", "b0", "b1", "b2", "a#20", "a#21")(r) and
        any("come again" in one for one in r.warnings), load={"iterations": 3}),
    "file of more": sessions(turns("a0", "a1"), load={"iterations": 1}),
    "file and workers": sessions(turns("a0", "a1", "b0", "b1", "b2"), load={"workers": 2, "concurrency": 2}),
    "file and shard": sessions(turns("b0", "b1", "b2"), load={"shard": "1/2", "concurrency": 2}),
    "file and warm-up": sessions(lambda r: turns("b0", "b1", "b2", "a#20", "a#21")(r) and marked(0)(r),
        load={"warmup": "1"}),
    "file and sweep": sessions(lambda r: len(r.records) == 6 and stages("1 at a time", "2 at a time")(r),
        load={"iterations": 1, "sweep_concurrency": [1, 2], "duration": None}, salt="session", turns="3", file=None),
    "file and burst": sessions(stages("burst 1"), load={"pattern": "burst", "iterations": 1, "concurrency": 2}),
    "file and order": sessions(lambda r: len(r.records) >= 2, prompts={"order": "random"}),
    "file and system": sessions(lambda r: inputs(r)[0] > 6, prompts={"system": "be very brief and polite"}),
    "file and budget": sessions(refused="nothing bounds what an answer may cost", load={"max_cost_usd": "1"}),
    "file and prompts": sessions(refused="--prompt .*sessions", prompts={"texts": ["one"]}),
    "file and rate": sessions(refused="--session-rate", load={"rate_per_s": 5}),
    "file and idle": sessions(refused="--idle-gaps", load={"idle_gaps": ["20ms"], "iterations": 8}),
    "file and search": sessions(refused="--search-slo", load={"search_slo": ["ttft_p50<5000"]}),
    "file and both": sessions(refused="--connection both", load={"connection": "both"}),
    "file and warm-up auto": sessions(refused="--warmup auto", load={"warmup": "auto"}),
    "file and cool-down": sessions(refused="--cooldown", load={"cooldown": "1"}),
    "file and trace": sessions(refused="give that file for both", load={"trace": "trace.jsonl", "iterations": None}),
    "file and single": sessions(refused="single requests", load={"pattern": "single"}),
    "file and sweep of rates": sessions(refused="--sweep-max", load={"sweep_max_per_s": 5}),
    "file and shards of one salt": sessions(refused="--seed", salt="run", load={"shard": "0/2", "concurrency": 2}),
    "file that is absent": sessions(refused="session file none.jsonl: cannot read", file="none.jsonl"),
    "file of prompts": sessions(refused="session file prompts.txt: no row of JSON", file="prompts.txt"),
    "format": sessions(turns("a0", "a1", "b0", "b1", "b2"), format="messages"),
    "format refused": sessions(refused="did you mean messages", format="message"),
    "rate_per_s": sessions(lambda r: turns("a0", "a1", "b0", "b1", "b2")(r) and stages("40/s")(r), rate=40),
    "rate_per_s ramp": sessions(stages("10/s to 50/s"), rate=10, load={"ramp_to_per_s": 50, "duration": "100ms"}),
    "history": sessions(turns("a0", "a1", "b0", "b1", "b2"), history="live"),
    "history refused": sessions(refused="has no recorded answer", history="recorded", file="unanswered.jsonl"),
    "think": sessions(lambda r: {one.session.think_ns for one in r.records if one.session.turn} == {2_000_000},
        think="2ms"),
    "think refused": sessions(refused="--think 'long'", think="long"),
    "salt": sessions(lambda r: min(inputs(r)) >= 2, salt="run"),
    "header": sessions(succeeded, header="X-Session-ID"),
    "header refused": sessions(refused="header 'a b'", header="a b"),
    "until": sessions(turns("a0", "a1", "b0", "b1"), until="lane", think="150ms", load={"concurrency": 2}),
    "until refused": sessions(refused="--session-until lane", until="lane", rate=5),
    "turns": sessions(lambda r: len(r.records) == 6, turns="3", file=None),
    "turns refused": sessions(refused="--turns .*cannot be combined with --sessions", turns="3"),
    "turn_tokens": sessions(lambda r: min(inputs(r)) >= 40, turns="2", turn_tokens="40", file=None),
    "turn_tokens alone": sessions(refused="--turn-tokens .*has no effect without", turn_tokens="40", file=None),
    "tools": sessions(lambda r: {one.session.tool_ns for one in r.records if one.session.turn} == {3_000_000},
        turns="2", tools="1:3ms", file=None),
    "tools refused": sessions(refused="--tools '5'", turns="2", tools="5", file=None),
}  # fmt: skip
COMPARE = {
    "variants": Row(
        {"compare": {"variants": ["plain", 'hot:{"temperature": 1}']}},
        lambda r: {(one.target, one.labels["variant"]) for one in r.records} == {("plain", "plain"), ("hot", "hot")},
    ),
    "factors": Row(
        {"compare": {"factors": ["stream"]}},
        lambda r: {(one.target, one.stream) for one in r.records} == {("streamed", True), ("whole", False)},
    ),
    "factors refused": Row({"compare": {"factors": ["speed"]}}, refused="'speed': write stream"),
    "novel": Row(
        {"compare": {"novel": "schema"}, "targets": [{"extra_body": {"format": {"type": "object"}}}]},
        lambda r: sum(one.labels.get("novel") == "schema" for one in r.records) == 3,
    ),
    "novel refused": Row({"compare": {"novel": "tool"}}, refused="no body has tools"),
}
RUN = {
    "targets": Row({"targets": [{"model": "a"}, {"model": "b"}]},
        lambda r: len(r.records) == 6 and {one.model for one in r.records} == {"a", "b"}),
    "load": LOAD["iterations"],
    "prompts": PROMPTS["texts"],
    "compare": COMPARE["factors"],
    "sessions": SESSIONS["file"],
    "output": OUTPUT["save_text"],
    # When the rounds of a monitor come; of one run it says nothing.
    "monitor": Row({"monitoring": {"interval": "5s"}}, count(3)),
    "thresholds": Row({"thresholds": ["ttft_p50<0.001", "ttft_p50<60000"]},
        lambda r: [one.failed for one in r.verdicts] == [True, False] and r.exit_code == 3),
    "thresholds of what is not expected": Row({"thresholds": ["valid_rate>0.5"]}, refused="valid_rate is measured of"),
    "thresholds refused": Row({"thresholds": ["ttfx_p50<1"]}, refused="ttfx_p50"),
    "labels": Row({"labels": {"site": "here"}}, lambda r: r.info.labels == {"site": "here"}),
    "name": Row({"profile": {"name": "nightly"}}, lambda r: r.info.config["name"] == "nightly"),
    "description": Row({"profile": {"description": "why"}}, lambda r: r.info.config["description"] == "why"),
}  # fmt: skip
TABLE = {
    f"{section}.{name}": row
    for section, rows in (
        ("run", RUN),
        ("load", LOAD),
        ("prompts", PROMPTS),
        ("sessions", SESSIONS),
        ("compare", COMPARE),
        ("output", OUTPUT),
        ("target", TARGET),
    )
    for name, row in rows.items()
}


def max_in_flight(records):
    edges = sorted([(r.stamps.start, 1) for r in records] + [(r.stamps.end, -1) for r in records])
    level = most = 0
    for _, step in edges:
        level += step
        most = max(most, level)
    return most


def gaps_differ(records):
    starts = [one.stamps.intended for one in records]
    return len({round((b - a) / 1e6) for a, b in pairwise(starts)}) > 1


def span_s(records):
    starts = [one.stamps.intended for one in records]
    return (max(starts) - min(starts)) / 1e9


@pytest.fixture(scope="module")
def servers():
    script = make_script(ttft="8ms", itl="1ms", tokens=5, usage="always")
    with start(script) as plain, start(script, tls=True) as secure, start_proxy() as proxy:
        yield {
            "{url}": f"{plain.url}/v1",
            "{port}": str(plain.port),
            "{tls}": f"{secure.url.replace('127.0.0.1', 'localhost')}/v1",
            "{ca}": secure.ca_file,
            "{proxy}": proxy.url,
        }


@pytest.fixture
def file_of(servers, tmp_path, monkeypatch):
    """Writes the config file of a row, with all files that it names."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.startswith("LLL_")]:
        monkeypatch.delenv(name)

    def write(row, folder):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        Path("prompts.txt").write_text("first\nsecond one\nthird one here\n")
        Path("sessions.jsonl").write_text("\n".join(json.dumps(row) for row in DIALOGUES))
        Path("unanswered.jsonl").write_text('{"session_id": "u", "turns": [{"text": "one"}, {"text": "two"}]}')
        Path("trace.jsonl").write_text("".join(f'{{"timestamp": {at}}}\n' for at in (0.0, 0.05, 0.5)))
        tree = {**BASE, **row.file}
        for section in ("load", "prompts"):
            tree[section] = {k: v for k, v in {**BASE[section], **row.file.get(section, {})}.items() if v is not None}
        tree["targets"] = [
            {k: v for k, v in {**BASE["targets"][0], **one}.items() if v is not None} for one in tree["targets"]
        ]
        text = json.dumps(tree)
        for name, value in servers.items():
            text = text.replace(name, value)
        path = Path("config.json")
        path.write_text(text)
        return path

    return write


def by_command_line(path):
    with command.make_context("benchmark", ["--config", str(path), "--ui", "none"]) as ctx:
        return run_settings(settings_of(ctx))


def by_library(path):
    return lens.run_config_blocking(lens.load_config(path))


def plain(text):
    """A text without what was measured: numbers, verdicts that numbers give, names of files."""
    return re.sub(r"[-+~]?\d[\d.,e+-]*", "#", text or "")


def without_times(turn):
    """A turn without the instant of its session."""
    return msgspec.structs.replace(turn, planned_ns=None)


def shape(result):
    """All of a result that is not a measured time."""
    records = [
        (
            one.index, one.provider, one.model, one.target, one.stage, one.prompt_id, one.status, one.category,
            one.http_status, one.warmup, one.stream, one.text, one.token_source, one.usage, one.labels,
            len(one.tries), one.finish_reason, one.session and without_times(one.session),
        )
        for one in result.records
    ]  # fmt: skip
    return {
        "records": records,
        "notes": [plain(note) for note in result.notes],
        # A pause of the machine is not the run's doing.
        "warnings": [plain(warning) for warning in result.warnings if "did not get to run" not in warning],
        "ended": (result.outcome.stopped_by, plain(result.outcome.over_budget), plain(result.trouble)),
        "verdicts": [(str(one.gate.threshold), one.failed) for one in result.verdicts],
        "exit": result.exit_code,
        "files": [plain(path.name) for path in result.paths],
        "config": {k: v for k, v in result.info.config.items() if k != "targets"},
        "summary": (result.summary.requests, result.summary.successes, [plain(n) for n in result.summary.notes]),
    }


# What ends at a time or by a measured figure has as many requests as fit; how many is not compared.
# So is the order of turns of sessions that go on at a time.
BY_TIME = {
    f"sessions.{name}"
    for name in ("until", "file and sweep", "file and burst", "file and workers", "rate_per_s", "rate_per_s ramp")
} | {"load.until", "load.warmup auto", "load.search_slo", "load.search_max"}


@pytest.mark.parametrize("name", TABLE)
def test_a_field_does_the_same_from_the_command_line_and_the_library(name, file_of, capsysbinary):
    row = TABLE[name]
    if name == "output.tokenizer":
        pytest.importorskip("quicktok", reason="the extra `tokens` is not installed")
    if row.refused is not None:
        with pytest.raises(ConfigError, match=row.refused) as typed:
            by_command_line(file_of(row, "typed"))
        with pytest.raises(ConfigError) as called:
            by_library(file_of(row, "called"))
        assert plain(str(called.value)) == plain(in_python(str(typed.value)))  # the same, in the words of a program
        return
    said = {}
    for way in (by_command_line, by_library):
        result = way(file_of(row, way.__name__))
        assert row.holds(result), (way.__name__, shape(result))
        lines = capsysbinary.readouterr().out.splitlines()
        said[way.__name__] = {**shape(result), "stdout": [json.loads(line)["event"] for line in lines]}
    if name in BY_TIME:
        for one in said.values():
            del one["records"], one["summary"], one["notes"]
    assert said["by_command_line"] == said["by_library"]


@pytest.mark.parametrize(
    ("section", "kind"),
    [
        ("run", RunConfig),
        ("load", LoadConfig),
        ("prompts", PromptConfig),
        ("sessions", SessionConfig),
        ("compare", CompareConfig),
        ("output", OutputConfig),
        ("target", TargetConfig),
    ],
)
def test_the_table_names_every_field(section, kind):
    named = {name.partition(".")[2].split(" ")[0] for name in TABLE if name.startswith(f"{section}.")}
    assert named == set(kind.__struct_fields__)


def callers(*names):
    """The modules of lens that call one of these functions."""
    found = set()
    for path in SRC.rglob("*.py"):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if any(name in text for name in names) else ():
            if (
                isinstance(node, ast.Name | ast.alias)
                and (getattr(node, "id", None) or getattr(node, "name", None)) in names
            ):
                found.add(str(path.relative_to(SRC)))
    return found


def test_only_the_driver_and_the_workers_of_its_runs_carry_out_a_plan():
    assert callers("run_plan") == {"orchestrator/workers/child.py", "run/driver.py"}
    assert callers("run_workers", "run_on_ray") == {"run/driver.py"}


def test_the_collector_is_off_until_the_outputs_are_written_and_on_again_then(servers):
    class Watch(Sink):
        def on_end(self, result):
            seen.append((gc.isenabled(), len(result.records)))

    seen: list[tuple[bool, int]] = []
    url = servers["{url}"]
    config = RunConfig(targets=(TargetConfig(provider="simulator", base_url=url),), load=LoadConfig(iterations=2))
    gc.enable()
    trio.run(driver.run, config, Watch())
    assert (seen, gc.isenabled()) == ([(False, 2)], True)
