"""No option is ignored: of every pair of options of a command, each has its effect beside the other, or is refused.

In process and by the plan: a pair is read as a command reads it, and what the run would be made from is compared with
the same where one of the two is left out.
"""

from __future__ import annotations

import json
from importlib import import_module
from itertools import combinations

import click
import msgspec
import pytest
from click.testing import CliRunner

from lens.cli.command import Command, Option
from lens.cli.commands import doctor
from lens.cli.main import COMMANDS, lll
from lens.cli.settings import settings_of
from lens.errors import LensError
from lens.orchestrator import plan as planning
from lens.orchestrator import schedule
from lens.orchestrator.plan import make_plan
from lens.run.checks import check_config
from lens.run.outputs import destinations

ENVIRON = {"MINE": "sk-of-mine", "OPENAI_API_KEY": "sk-of-openai"}
BASE = ("--provider", "openai", "--model", "m", "--base-url", "https://api.example/v1")
# A value of each option that is not its default; of those that are not here, one is found by its type.
VALUES = {
    "--provider": "vllm", "--model": "other", "--base-url": "https://other.example/v1", "--api": "completions",
    "--api-key": "sk-typed", "--api-key-env": "MINE", "--api-key-file": "{key}", "--prompt": "Why?",
    "--prompt-file": "{prompts}", "--system": "Be brief", "--input-tokens": "20", "--output-tokens": "30",
    "--tokenizer": "auto", "--extra-body": '{{"top_k": 3}}', "--header": "X-A: 1", "--rate": "3", "--duration": "7s",
    "--max-cost": "1000", "--arrival": "gamma", "--trace": "{trace}", "--speedup": "2", "--ramp-to": "9",
    "--sweep-min": "2", "--sweep-max": "4", "--sweep-step": "1", "--sweep-concurrency": "1,3",
    "--search-slo": "ttft_p95<500", "--search-max": "50", "--until": "ttft_p50 5%", "--idle-gaps": "1s,2s",
    "--shard": "1/3", "--start-at": "2101-01-01T00:00:00Z",
    "--workers": "2", "--engine": "ray", "--ray-address": "auto", "--scenario": "standard", "--cooldown": "2",
    "--burstiness": "0.5", "--warmup": "3", "--connection": "both", "--proxy": "http://p:1",
    "--connect-to": "api.example:443:b:2", "--resolve": "api.example:443:127.0.0.1", "--unix-socket": "/none/s",
    "--cacert": "/none/ca", "--cert": "/none/cert", "--client-key": "/none/key", "--export": "csv",
    "--output": "{folder}/x.json", "--output-dir": "{folder}/d", "--gpu-hour": "2", "--price": "in=1,out=2",
    "--prices": "plan", "--price-tier": "batch", "--push-gateway": "http://g:1", "--export-prometheus": "http://r:1",
    "--influx": "http://i:1?db=x", "--otlp": "http://o:1", "--label": "a=b", "--goodput": "ttft:200",
    "--definitions": "vllm", "--threshold": "ttft_p95<1000", "--sla": "{sla}", "--iterations": "12",
    "--concurrent": "4", "--timeout": "50s", "--connect-timeout": "4s", "--ttft-timeout": "3s",
    "--idle-timeout": "2s", "--ui": "none", "--prometheus-units": "seconds", "--interval": "5s",
    "--listen": "127.0.0.1:1", "--slo": "ttft<1000 99%", "--webhook": "http://w:1", "--history": "{folder}/h",
    "--keep": "5h", "--jitter": "0.5", "--seed": "5", "--max-tokens": "40", "--max-errors": "5%",
    "--sessions": "{sessions}", "--session-format": "messages", "--session-rate": "2", "--think": "2s",
    "--session-header": "X-Session-ID", "--session-until": "lane", "--turns": "2-3", "--turn-tokens": "30",
    "--tools": "0.5:1s",
}  # fmt: skip
# Where another value is needed.
VALUES_OF = {"doctor": {"--input-tokens": "200"}, "benchmark": {"--history": "live"}}
# What doctor reads itself: how much it asks, and how it tells what it found.
OF_DOCTOR = ("iterations", "concurrent", "input_tokens", "output_tokens", "as_json", "export", "output", "force")
# Settings of a load that a plan is made from.
IN_THE_PLAN = {
    "pattern", "iterations", "concurrency", "rate_per_s", "arrival", "burstiness", "duration_ns", "ramp_to_per_s",
    "sweep_min_per_s", "sweep_max_per_s", "sweep_step_per_s", "sweep_concurrency", "step_duration_ns", "trace",
    "speedup", "idle_gaps_ns", "connection", "connections", "timeout_ns", "connect_timeout_ns", "ttft_timeout_ns",
    "idle_timeout_ns", "retries", "seed",
}  # fmt: skip
# What decides nothing of a run: it names the settings, shows the plan, or only draws.
APART = {"--config", "--log-level", "--dry-run", "--help"}
# Options that another command decides about, or that say how a finding is shown; each has tests of its own.
OF_THE_COMMAND = {"--providers", "--models", "--target-spec", "--target", "--criteria", "--preset", "--constraint",
                  "--current", "--recommend-provider", "--answers", "--once"}  # fmt: skip


def name_of(option):
    return next((name for name in option.opts if name.startswith("--")), option.opts[0])


def command_of(name):
    module, _, attribute = COMMANDS[name][0].partition(":")
    return getattr(import_module(module), attribute)


def options_of(name):
    return [o for o in command_of(name).params if isinstance(o, click.Option) and name_of(o) not in APART]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("walk")
    texts = {"key": "sk-of-file", "prompts": "one\ntwo\n", "sla": json.dumps({"ttft_p95_max": 900}),
             "sessions": '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, '
             '{"role": "user", "content": "c"}]}',
             "trace": "".join(json.dumps({"timestamp": i * 1000}) + "\n" for i in range(30))}  # fmt: skip
    for name, text in texts.items():
        (folder / name).with_suffix(".json" if name == "sla" else ".txt").write_text(text)
    found = {name: str((folder / name).with_suffix(".json" if name == "sla" else ".txt")) for name in texts}
    return {**found, "folder": str(folder)}


def words_of(option, places):
    if option.is_flag:
        return [name_of(option)]
    value = VALUES_OF.get(places.get("of"), {}).get(name_of(option), VALUES.get(name_of(option)))
    if value is None and isinstance(option.type, click.Choice):
        value = option.type.choices[-1]
    return [name_of(option), (value or "3").format(**places)]


def settings_by(ctx, command):
    if is_doctor(command):
        return doctor.settings_from(ctx)
    decided = {"pattern": "single"} if command.callback.__module__.endswith("profile") else {}
    return settings_of(ctx, **decided)


def is_doctor(command):
    return command.callback is doctor.command.callback


def run_of(command, options, words):
    """All that a run would be made from, as text; None where it is refused."""
    # With the options in use alone: click takes its time for each that might be.
    small = Command(command.name, params=options)
    try:
        with small.make_context("x", [*BASE, *words], obj={}) as ctx:
            settings = settings_by(ctx, command)
            check_config(settings.config)
            plan = make_plan(settings.config, ENVIRON)
            written = destinations(settings.config, settings.output)
            shown = [
                ctx.params.get(name) for name in ("definitions", "duration", *(OF_DOCTOR if is_doctor(command) else ()))
            ]
    except (click.UsageError, LensError):
        return None
    load = settings.config.load
    # What the plan holds is compared there; all else goes to the run as it stands.
    beside = {field for field in load.__struct_fields__ if field not in IN_THE_PLAN or load.search_slo}
    parts = [
        [msgspec.structs.replace(stage, name="") for stage in plan.stages] if not load.search_slo else [],
        [(t.info, t.endpoint, t.base_url, t.key and t.key.reveal()) for t in plan.targets],
        [(r.path, dict(r.headers), r.body, r.framing) for requests in plan.requests for r in requests],
        plan.sessions and msgspec.structs.replace(plan.sessions, salt_seed=""), settings.config.sessions,
        settings.config.prompts.expect,
        plan.connection, plan.timeouts, plan.retry, plan.keep_all, written,
        {f: getattr(load, f) for f in sorted(beside)}, settings.config.output, settings.config.monitor,
        settings.config.labels, settings.config.thresholds, settings.force, settings.ui, settings.pushes,
        settings.usd_per_gpu_hour, settings.slos, settings.gates, shown, settings.book._prices, settings.book.tier,
    ]  # fmt: skip
    return repr(parts)


# What one option needs before it can have an effect: the walk gives both.
PARTNERS = {
    "--speedup": "--trace", "--ramp-to": "--rate", "--burstiness": "--arrival", "--arrival": "--rate",
    "--sweep-step": "--sweep-max", "--sweep-min": "--sweep-max", "--search-max": "--search-slo",
    "--ray-address": "--engine", "--client-key": "--cert", "--force": "--output", "--output-dir": "--export",
    **dict.fromkeys(("--session-format", "--session-rate", "--history", "--think", "--salt", "--session-header",
                     "--session-until"), "--sessions"), "--turn-tokens": "--turns", "--tools": "--turns",
    "--prometheus-units": "--push-gateway", "--lines": "--prompt-file", "--max-cost": "--max-tokens",
}  # fmt: skip
SHARED = [name_of(o) for o in options_of("benchmark")]


@pytest.mark.parametrize("name", ["benchmark", "profile", "compare", "optimize", "monitor", "doctor"])
def test_each_of_two_options_has_its_effect_or_the_pair_is_refused(name, places, monkeypatch):
    for variable in ("LLL_CONFIG_FILE", "LLL_EXPORT_FORMAT", "LLL_OUTPUT_DIR", "LLL_LOG_LEVEL", "LLL_CONCURRENCY"):
        monkeypatch.delenv(variable, raising=False)
    # A run that time or an interval ends prepares thousands of prompts: what makes them differ is seen on few.
    monkeypatch.setattr(planning, "ENDLESS_PROMPTS", 10)
    monkeypatch.setattr(schedule, "UNTIL_REQUESTS", 40)
    monkeypatch.chdir(places["folder"])
    command = command_of(name)
    places |= {"of": name}
    every = {name_of(o): o for o in command.params if isinstance(o, Option)}
    by_name = {name_of(o): o for o in options_of(name) if name_of(o) not in OF_THE_COMMAND}
    known = {}

    def run(options):
        key = tuple(sorted(options))
        if key not in known:
            words = [word for option in key for word in words_of(by_name[option], places)]
            known[key] = run_of(command, [o for one, o in every.items() if one in key or one in BASE], words)
        return known[key]

    def needed(option):
        partner = PARTNERS.get(option)
        return {option, *needed(partner)} if partner in by_name else {option}

    ignored = []
    for one, other in combinations(by_name, 2):
        if name in ("compare", "optimize") and one in SHARED and other in SHARED:
            continue  # as in benchmark
        both = needed(one) | needed(other)
        whole = run(both)
        for option in (one, other):
            rest = both - {option}
            if whole is not None and option not in {PARTNERS.get(o) for o in rest} and run(rest) == whole:
                ignored.append(f"{option} beside {other if option == one else one}")
    assert ignored == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--force"], "--force has no effect: nothing is written to a file"),
        (["--output-dir", "out"], "--output-dir has no effect without an export"),
        (["--prices", "plan", "--price-tier", "batch"], "--price-tier has no effect on --prices plan"),
        (["--real-time", "--export", "jsonl", "--output", "-"], "both want standard output"),
    ],
)
def test_what_has_no_effect_is_refused_in_words(words, says):
    done = CliRunner().invoke(lll, ["benchmark", *BASE, "--api-key", "k-12345678", *words])
    assert isinstance(done.exception, LensError), done.output
    assert says in str(done.exception)


def test_an_option_without_its_partner_is_refused_with_it():
    done = CliRunner().invoke(lll, ["selftest", "--force"])
    assert str(done.exception) == "--force has no effect without --output"
