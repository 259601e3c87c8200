"""What a run tells the logger: its plan before anything is sent, and how it ended."""

import logging

import pytest

from lens.config.settings import LoadConfig, PromptConfig, RunConfig, TargetConfig
from lens.orchestrator.plan import make_plan
from lens.orchestrator.run_state import Outcome
from lens.run.log import LOG, log_outcome, log_plan
from lens.units import NS_PER_S
from lens.wire import Secret


def plan():
    target = TargetConfig(
        provider="openai", model="m", base_url="https://api.example/v1", api_key=Secret("sk-hidden"), proxy="http://p:1"
    )
    load = LoadConfig(rate_per_s=2.0, duration_ns=3 * NS_PER_S, warmup="1")
    return make_plan(RunConfig(targets=(target,), load=load, prompts=PromptConfig(texts=("hi",))), {})


class Kept(logging.Handler):
    """What a logger was told, whatever is set up above it."""

    def __init__(self):
        super().__init__()
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


@pytest.fixture
def kept():
    handler = Kept()
    LOG.addHandler(handler)
    yield handler
    LOG.removeHandler(handler)
    LOG.setLevel(logging.NOTSET)


def test_the_plan_and_the_end_are_told_without_the_key(kept, tmp_path):
    LOG.setLevel(logging.DEBUG)
    log_plan(plan())
    log_outcome(Outcome(started_ns=0, ended_ns=NS_PER_S, requests=6), journal_path=tmp_path / "j")
    log_outcome(Outcome(started_ns=0, ended_ns=NS_PER_S, requests=6, stopped_by="SIGINT"), journal_path=None)
    assert kept.messages == [
        "target openai m at https://api.example/v1, via http://p:1, with a key",
        "load warm-up: 1 requests, warm-up",
        "load 2/s: 6 requests, 3.00 s",
        "1 prompts, connections: reuse, 1 opened ahead, 0 retries",
        "6 requests in 1.00 s; ran to its end",
        f"the journal is {tmp_path / 'j'}",
        "6 requests in 1.00 s; SIGINT",
    ]


def test_nothing_is_made_up_where_nobody_listens(kept):
    LOG.setLevel(logging.ERROR)
    log_plan(plan())
    assert kept.messages == []
