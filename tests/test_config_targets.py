"""What --target means, and what targets are called: two endpoints of one model are never one."""

import pytest

from lens.config.load import joined, make_config
from lens.config.targets import (
    completed,
    find_named,
    is_address,
    names_across_runs,
    parse_target,
    target_names,
    with_names,
)
from lens.errors import ConfigError
from lens.model import Target


def target(url="http://a:1/v1", *, model="m", name=""):
    return Target(provider="vllm", model=model, url=url, name=name, named=bool(name))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("openai:gpt-4o", {"provider": "openai", "model": "gpt-4o"}),
        (
            "fast=vllm:llama-3@http://gpu1:8000/v1",
            {"name": "fast", "provider": "vllm", "model": "llama-3", "base_url": "http://gpu1:8000/v1"},
        ),
        ("a=ollama:llama3:8b", {"name": "a", "provider": "ollama", "model": "llama3:8b"}),
        ("vertex:claude@20250101", {"provider": "vertex", "model": "claude@20250101"}),
        ("near=http://gpu1:8000/v1?x=1", {"name": "near", "base_url": "http://gpu1:8000/v1?x=1"}),
        ("near", {"name": "near"}),
        (
            "eu=openai:gpt-4o region=eu-west-1 tier=paid",
            {"name": "eu", "provider": "openai", "model": "gpt-4o", "labels": {"region": "eu-west-1", "tier": "paid"}},
        ),
    ],
)
def test_a_target_is_read_as_it_is_typed(text, found):
    assert parse_target(text) == found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "write NAME=provider:model@URL"),
        ("a=", "write NAME=provider:model@URL"),
        ("a=openai", "write NAME=provider:model@URL"),
        (":m", "write NAME=provider:model@URL"),
        ("a=vllm:m@gpu1:8000", "like @http://gpu1:8000"),
        ("a=vllm:m@gpu1/v1", "like @http://gpu1/v1"),
        ("a=openai:m region", "'region' is not a label"),
    ],
)
def test_what_is_no_target_is_reported(text, says):
    with pytest.raises(ConfigError, match=says.replace("(", r"\(")):
        parse_target(text)


def test_an_address_alone_is_what_other_tools_take():
    assert is_address(" HTTP://gpu1:8000")
    assert not is_address("fast=http://gpu1:8000")


def test_a_name_that_was_given_is_the_name():
    assert target_names([target(name="fast"), target("http://b:1/v1", name="slow")]) == ("fast", "slow")


@pytest.mark.parametrize(
    ("urls", "names"),
    [
        (("http://a:1/v1",), ("vllm/m",)),
        (("http://a:1/v1", "http://a:2/v1"), ("vllm/m@a:1", "vllm/m@a:2")),
        (("http://a/x/v1", "http://a/y/v1"), ("vllm/m@a/x/v1", "vllm/m@a/y/v1")),
        (("http://a/v1", "http://a/v1"), ("vllm/m", "vllm/m#2")),
    ],
)
def test_endpoints_of_one_model_are_told_apart(urls, names):
    assert target_names([target(url) for url in urls]) == names
    assert tuple(one.name for one in with_names([target(url) for url in urls])) == names


def test_one_name_for_two_is_refused():
    with pytest.raises(ConfigError, match="two targets are called 'fast'"):
        target_names([target(name="fast"), target("http://b", name="fast")])


def test_runs_of_two_endpoints_are_two_targets_and_of_one_are_one():
    a, b = [target("http://a:1")], [target("http://b:1")]
    assert names_across_runs([a, a]) == [("vllm/m",), ("vllm/m",)]
    assert names_across_runs([a, b]) == [("vllm/m@a:1",), ("vllm/m@b:1",)]
    named = [target("http://a:1", name="fast")], [target("http://b:1", name="fast")]
    assert names_across_runs(named) == [("fast",), ("fast",)], "a name given is which target it is, wherever that is"


def test_flags_for_all_fill_what_a_target_leaves_out():
    near, far = {"name": "near", "base_url": "http://a"}, {"name": "far", "base_url": "http://b"}
    assert completed([near, far], {"model": "m"}) == [{**near, "model": "m"}, {**far, "model": "m"}]
    with pytest.raises(ConfigError, match="--base-url http://c would be ignored"):
        completed([near, far], {"base_url": "http://c"})


def test_a_name_alone_is_a_target_of_the_file():
    known = [{"provider": "vllm", "name": "fast", "model": "m", "base_url": "http://a"}, {"provider": "openai"}]
    assert joined({"name": "fast"}, known)["base_url"] == "http://a"
    assert joined({"name": "fast", "model": "n"}, known)["model"] == "n"
    assert joined({"provider": "vllm", "model": "m", "base_url": "http://b"}, known) == {
        "provider": "vllm", "model": "m", "base_url": "http://b",
    }  # fmt: skip
    with pytest.raises(ConfigError, match=r"no target of that name \(there: fast, openai\)"):
        joined({"name": "slow"}, known)


def test_a_target_is_found_by_its_name_or_by_provider_and_model():
    names, pairs = ["fast", "slow", "other"], [("vllm", "m"), ("vllm", "m"), ("openai", "x")]
    assert find_named(names, "slow", pairs.__getitem__) == [1]
    assert find_named(names, "vllm:m", pairs.__getitem__) == [0, 1]
    assert find_named(names, "openai/x", pairs.__getitem__) == [2]


def test_files_name_targets_and_give_them_labels(tmp_path):
    path = tmp_path / "two.toml"
    path.write_text(
        '[targets.near]\nprovider = "vllm"\nmodel = "m"\nbase_url = "http://a"\nregion = "eu"\n'
        '[targets.openai]\nmodel = "gpt-4o"\nlabels = {tier = 2}\n'
    )
    near, plain = make_config({}, file=path, environ={}).targets
    assert (near.name, near.provider, near.labels) == ("near", "vllm", {"region": "eu"})
    assert (plain.name, plain.provider, plain.labels) == (None, "openai", {"tier": "2"})
