"""A plan as it is shown: everything a user wants to see, and nothing secret."""

from __future__ import annotations

import msgspec
import pytest

from lens.config.settings import LoadConfig, PromptConfig, RunConfig, SessionConfig, TargetConfig
from lens.orchestrator.plan import make_plan
from lens.run.dry_run import described
from lens.units import NS_PER_S
from lens.wire import Secret


def shown(load=None, **target):
    one = {"provider": "openai", "model": "m", "base_url": "https://api.example/v1", "proxy": ""}
    config = RunConfig(
        targets=(TargetConfig(**{**one, **target}),),
        load=LoadConfig(**(load or {})),
        prompts=PromptConfig(texts=("tell me",)),
    )
    return described(make_plan(config, {}))


def test_the_request_is_shown_as_it_would_be_sent():
    request = shown()["targets"][0]["request"]
    assert (request["method"], request["path"]) == ("POST", "/v1/chat/completions")
    assert request["body"]["messages"] == [{"role": "user", "content": "tell me"}]


def test_no_key_shows_wherever_it_went():
    found = shown(
        api_key=Secret("sk-secret"),
        proxy="http://user:pa55@proxy:1",
        headers=(("X-Api-Key", "sk-other"), ("X-Copy", "see sk-secret")),
        extra_body={"user": "sk-secret"},
    )
    text = msgspec.json.encode(found).decode()
    for secret in ("sk-secret", "sk-other", "pa55"):
        assert secret not in text
    assert found["targets"][0]["via"] == "http://proxy:1"


def test_stages_tell_how_many_requests_and_for_how_long():
    found = shown(load={"rate_per_s": 5.0, "duration_ns": 4 * NS_PER_S, "warmup": "1s", "arrival": "poisson"})
    assert found["requests"] == 20
    assert found["stages"] == [
        {"name": "5/s", "requests": 20, "rate_per_s": 5.0, "arrival": "poisson", "duration_s": 4.0, "warmup_s": 1.0}
    ]


def test_limits_that_are_off_are_not_shown():
    assert shown(load={"timeout_ns": 0, "connect_timeout_ns": 0})["limits"] == {}
    assert shown(load={"timeout_ns": NS_PER_S, "connect_timeout_ns": 0})["limits"] == {"timeout_s": 1.0}


@pytest.mark.parametrize(("scheme", "told"), [("https", "not checked"), ("http", None)])
def test_certificates_that_are_not_checked_are_reported(scheme, told):
    found = shown(base_url=f"{scheme}://api.example/v1", insecure=True)
    assert found["targets"][0].get("certificates") == told


def test_sessions_are_told_with_the_turns_of_the_first():
    target = TargetConfig(provider="openai", model="m", base_url="https://api.example/v1", proxy="")
    config = RunConfig(
        targets=(target,),
        load=LoadConfig(iterations=4, seed=1),
        sessions=SessionConfig(turns="3", turn_tokens="5", think="2s", tools="1:1s", header="X-Session-ID"),
    )
    found = described(make_plan(config, {}))
    assert found["requests"] == 12
    assert "prompts" not in found
    assert found["stages"] == [{"name": "iterations", "requests": 4, "at_a_time": 1}]
    sessions = found["sessions"]
    assert sessions["turns"] == {"all": 12, "fewest": 3, "median": 3, "most": 3}
    assert (sessions["source"], sessions["different"], sessions["history"]) == ("synthetic", 4, "recorded")
    assert (sessions["think_s"], sessions["tool_s"], sessions["header"]) == (0, 8, "X-Session-ID")
    assert sessions["first"] == {
        "id": "session-0",
        "turns": [
            {"after": [], "history": 0, "messages": ["user"]},
            {"after": [0], "history": 1, "messages": ["user"], "tool_s": 1.0},
            {"after": [1], "history": 2, "messages": ["user"], "tool_s": 1.0},
        ],
    }
