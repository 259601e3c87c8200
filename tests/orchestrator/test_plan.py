"""The waist before measuring: what fails for a reason of the user's fails here, in one clear line."""

from __future__ import annotations

import msgspec
import pytest

from lens.columns import encode_hook
from lens.config.settings import LoadConfig, PromptConfig, RunConfig, TargetConfig
from lens.errors import ConfigError, FileError, MissingKey
from lens.orchestrator.plan import make_plan
from lens.orchestrator.plan_target import make_target
from lens.orchestrator.run_info import run_info, settings_of
from lens.units import NS_PER_S
from lens.wire import Secret

LOCAL = {"provider": "openai", "model": "m", "base_url": "http://127.0.0.1:1/v1"}


def plan_of(environ=None, load=None, prompts=None, **target):
    config = RunConfig(
        targets=(TargetConfig(**{**LOCAL, **target}),),
        load=LoadConfig(**(load or {})),
        prompts=prompts or PromptConfig(texts=("hi",)),
    )
    return make_plan(config, environ or {})


def test_a_missing_key_names_the_variable_that_would_help():
    with pytest.raises(MissingKey, match="OPENAI_API_KEY"):
        make_plan(RunConfig(targets=(TargetConfig(provider="openai", model="m"),)), {})


@pytest.mark.parametrize(
    ("provider", "says"),
    [
        ("azure", "set AZURE_OPENAI_ENDPOINT, or give --base-url"),
        ("bedrock", "set AWS_REGION, or give --base-url"),
        ("openai-compatible", "own; give --base-url"),
    ],
)
def test_a_missing_address_names_the_variable_that_would_help(provider, says, tmp_path):
    environ = {"AWS_CONFIG_FILE": str(tmp_path / "none")}
    with pytest.raises(ConfigError, match=says):
        make_plan(RunConfig(targets=(TargetConfig(provider=provider, model="m"),)), environ)


def test_an_own_address_needs_no_key():
    assert plan_of().targets[0].key is None


@pytest.mark.parametrize(
    ("options", "environ", "key"),
    [
        ({"api_key": Secret("given")}, {"OPENAI_API_KEY": "env"}, "given"),
        ({"api_key_env": "MINE"}, {"MINE": "named", "OPENAI_API_KEY": "env"}, "named"),
        ({}, {"OPENAI_API_KEY": "env"}, "env"),
    ],
)
def test_the_key_that_was_said_most_clearly_counts(options, environ, key):
    assert plan_of(environ, **options).targets[0].key.reveal() == key


def test_a_key_may_stand_in_a_file(tmp_path):
    path = tmp_path / "key"
    path.write_text("from-file\n")
    assert plan_of(api_key_file=str(path)).targets[0].key.reveal() == "from-file"
    with pytest.raises(FileError, match="No such file"):
        plan_of(api_key_file=str(tmp_path / "none"))
    path.write_text("\n")
    with pytest.raises(MissingKey, match="empty"):
        plan_of(api_key_file=str(path))


def test_a_named_variable_that_is_not_set_is_an_error():
    with pytest.raises(MissingKey, match="MINE"):
        plan_of({"OPENAI_API_KEY": "other"}, api_key_env="MINE")


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ({"provider": "nobody"}, "nobody"),
        ({"model": ""}, "--model"),
        ({"base_url": "ftp://x"}, "http"),
        ({"resolve": ("x",)}, "--resolve"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_sent(target, says):
    with pytest.raises(ConfigError, match=says):
        plan_of(**target)


def test_nothing_to_measure_is_an_error():
    with pytest.raises(ConfigError, match="--provider"):
        make_plan(RunConfig(), {})


def test_the_environments_proxy_is_taken_unless_it_is_declined():
    environ = {"http_proxy": "http://proxy:3128"}
    remote = {"base_url": "http://api.example/v1"}
    assert plan_of(environ, **remote).targets[0].endpoint.proxy.host == "proxy"
    assert plan_of(environ, **remote, proxy="").targets[0].endpoint.proxy is None
    assert plan_of(environ, **remote, proxy="http://own:1").targets[0].endpoint.proxy.host == "own"


def test_requests_are_encoded_ahead_of_time():
    plan = plan_of(prompts=PromptConfig(texts=("a", "b")), max_tokens=5)
    bodies = [msgspec.json.decode(request.body) for request in plan.requests[0]]
    assert [body["messages"][0]["content"] for body in bodies] == ["a", "b"]
    assert plan.requests[0][0].path == "/v1/chat/completions"


def test_a_trace_out_of_order_keeps_each_prompt_with_its_time(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(f'{{"timestamp": {at}, "prompt": "at {at}"}}\n' for at in (20, 0, 10)))
    config = RunConfig(
        targets=(TargetConfig(provider="simulator", model="m", base_url="http://127.0.0.1:1"),),
        load=LoadConfig(trace=str(path)), prompts=PromptConfig(file=str(path)),
    )  # fmt: skip
    made = make_plan(config, {})
    assert [prompt.text for prompt in made.prompts] == ["at 0", "at 10", "at 20"]
    assert [at // 1_000_000 for at in made.stages[0].times_ns] == [0, 10, 20]


def test_how_many_requests_there_will_be_is_known_where_a_number_ends_it():
    assert plan_of(load={"iterations": 7, "warmup": "2"}).total == 9
    assert plan_of(load={"rate_per_s": 10.0, "duration_ns": 2 * NS_PER_S}).total == 20
    assert plan_of(load={"duration_ns": NS_PER_S}).total is None


@pytest.mark.parametrize(
    ("load", "warm"),
    [
        ({"iterations": 50, "concurrency": 4}, 4),
        ({"iterations": 2, "concurrency": 4}, 2),
        ({"pattern": "single"}, 0),
        ({"connection": "fresh"}, 0),
        ({"connection": "both"}, 0),
        ({"rate_per_s": 20.0}, 20),
        ({"rate_per_s": 5000.0}, 64),
        ({"connections": 3, "concurrency": 9}, 3),
    ],
)
def test_connections_are_opened_ahead_as_far_as_the_first_requests_need_them(load, warm):
    assert plan_of(load=load).warm_connections == warm


def test_prompts_at_random_are_the_same_for_the_same_seed():
    prompts = PromptConfig(texts=tuple("abcdefgh"), order="random")
    plans = [plan_of(load={"seed": seed}, prompts=prompts) for seed in (1, 1, 2)]
    first, same, other = ([p.slot(i, p.stages[0]).prompt for i in range(40)] for p in plans)
    assert first == same != other
    assert len(set(first)) > 4


def test_the_header_of_a_run_holds_its_settings_and_no_secret():
    plan = plan_of(
        {"http_proxy": "http://user:pa55@proxy:1"},
        load={"iterations": 3},
        base_url="http://api.example/v1",
        api_key=Secret("sk-secret"),
        proxy="http://user:pa55@proxy:1",
        headers=(("Authorization", "Bearer sk-other"), ("X-Trace", "on")),
    )
    info = run_info(plan, command="lll benchmark")
    text = msgspec.json.encode(info, enc_hook=encode_hook).decode()
    for secret in ("sk-secret", "sk-other", "pa55"):
        assert secret not in text
    assert info.config["load"] == {"iterations": 3}
    assert info.config["targets"][0]["headers"] == [["Authorization", "***"], ["X-Trace", "on"]]
    assert info.config["targets"][0]["proxy"] == "http://proxy:1"
    assert info.machine.clock_resolution_ns >= 1
    assert info.machine.clock_cost_ns > 0


def test_settings_leave_out_what_was_left_at_its_default():
    assert settings_of(RunConfig(targets=(TargetConfig(provider="p", model="m"),))) == {
        "targets": [{"provider": "p", "model": "m"}]
    }


def test_a_target_may_be_checked_alone():
    assert make_target(TargetConfig(**LOCAL), {}).endpoint.port == 1


def test_one_request_means_one_for_each_prompt_of_a_file():
    prompts = PromptConfig(texts=("a", "b", "c"))
    assert plan_of(load={"pattern": "single"}, prompts=prompts).total == 3


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ({"api": "embeddings", "temperature": 0.5}, "api embeddings: --temperature has no effect"),
        ({"api": "embeddings", "max_tokens": 5}, "--max-tokens has no effect"),
    ],
)
def test_what_a_protocol_has_no_place_for_is_refused(target, says):
    with pytest.raises(ConfigError, match=says):
        plan_of(**target)
    with pytest.raises(ConfigError, match="--system has no effect"):
        plan_of(api="embeddings", prompts=PromptConfig(texts=("hi",), system="be brief"))


def test_a_system_prompt_stands_before_a_plain_text():
    plan = plan_of(api="completions", prompts=PromptConfig(texts=("hi",), system="be brief"), temperature=0.5)
    assert b'"prompt":"be brief\\nhi"' in plan.requests[0][0].body


def test_a_proxy_of_the_environment_that_cannot_be_used_is_named_by_its_variable():
    with pytest.raises(ConfigError, match=r"ALL_PROXY of the environment: .*SOCKS.*--proxy ''"):
        plan_of({"ALL_PROXY": "socks5://127.0.0.1:1080"})
    assert plan_of({"ALL_PROXY": "socks5://127.0.0.1:1080"}, proxy="").targets[0].endpoint.proxy is None


@pytest.mark.parametrize("address", ["http://bedrock.example", "http://10.0.0.7:8080/v1"])
@pytest.mark.parametrize(
    "variables",
    [{"AWS_BEARER_TOKEN_BEDROCK": "b" * 20}, {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "s" * 20}],
)
def test_aws_credentials_never_leave_the_machine_unencrypted(address, variables):
    config = TargetConfig(provider="bedrock", model="m", base_url=address)
    environ = {**variables, "AWS_REGION": "eu-west-1"}
    with pytest.raises(ConfigError, match=r"its credentials are not sent over plain http; give an https address"):
        make_target(config, environ)
    for safe in (address.replace("http:", "https:"), "http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"):
        assert make_target(msgspec.structs.replace(config, base_url=safe), environ).key is not None


def test_limits_of_an_answer_are_those_that_are_said():
    plan = plan_of(load={"answer_limits": {"events": 5, "ratio": 0}})
    assert (plan.limits.events, plan.limits.ratio, plan.limits.head) == (5, 0, 65536)
    with pytest.raises(ConfigError, match=r"no limit 'event'.*events"):
        plan_of(load={"answer_limits": {"event": 5}})
