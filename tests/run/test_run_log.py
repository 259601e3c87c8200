"""What a run tells the logger: its plan before anything is sent, and how it ended."""

import logging

from lens.config.settings import LoadConfig, PromptConfig, RunConfig, TargetConfig
from lens.orchestrator.engine import Outcome
from lens.orchestrator.plan import make_plan
from lens.run.log import log_outcome, log_plan
from lens.units import NS_PER_S
from lens.wire import Secret


def plan():
    target = TargetConfig(
        provider="openai", model="m", base_url="https://api.example/v1", api_key=Secret("sk-hidden"), proxy="http://p:1"
    )
    load = LoadConfig(rate_per_s=2.0, duration_ns=3 * NS_PER_S, warmup="1")
    return make_plan(RunConfig(targets=(target,), load=load, prompts=PromptConfig(texts=("hi",))), {})


def test_the_plan_and_the_end_are_told_without_the_key(caplog, tmp_path):
    caplog.set_level(logging.DEBUG, logger="lens")
    logging.getLogger("lens").propagate = True
    log_plan(plan())
    log_outcome(Outcome(started_ns=0, ended_ns=NS_PER_S, requests=6), journal_path=tmp_path / "j")
    log_outcome(Outcome(started_ns=0, ended_ns=NS_PER_S, requests=6, stopped_by="SIGINT"), journal_path=None)
    assert caplog.messages == [
        "target openai m at https://api.example/v1, via http://p:1, with a key",
        "load warm-up: 1 requests, warm-up",
        "load 2/s: 6 requests, 3.00 s",
        "1 prompts, connections: reuse, 1 opened ahead, 0 retries",
        "6 requests in 1.00 s; ran to its end",
        f"the journal is {tmp_path / 'j'}",
        "6 requests in 1.00 s; SIGINT",
    ]


def test_nothing_is_made_up_where_nobody_listens(caplog):
    caplog.set_level(logging.ERROR, logger="lens")
    log_plan(plan())
    assert caplog.messages == []
