"""What is filled in of a target of which only the address is known, and what its failures mean."""

from __future__ import annotations

import pytest
from ports import free_port

from lens.config.settings import LoadConfig, RunConfig, TargetConfig
from lens.run.detect import UNNAMED, detect, hints, with_model, with_scheme
from lens.run.driver import run
from lens.simulator import make_script, start


@pytest.fixture(scope="module")
def strict():
    """A server with a root and models of its own."""
    with start(make_script(ttft="5ms", itl="1ms", tokens=3, root="/v1", models="small+large")) as simulator:
        yield simulator


def at(url, **more):
    return TargetConfig(provider="openai-compatible", base_url=url, **more)


@pytest.mark.parametrize("path", ["", "/v1", "/v2"])
async def test_path_model_and_provider_are_those_that_the_server_tells(strict, path):
    one, served = await detect(at(f"{strict.url}{path}"))
    assert (one.provider, one.model, one.base_url) == ("simulator", "small", f"{strict.url}/v1")
    assert served.models == ("small", "large")


async def test_what_was_said_stays(strict):
    one, _ = await detect(TargetConfig(provider="vllm", model="large", base_url=f"{strict.url}/v1"))
    assert (one.provider, one.model, one.base_url) == ("vllm", "large", f"{strict.url}/v1")


async def test_the_other_scheme_is_taken_where_only_that_answers(strict):
    one, _ = await detect(at(f"{strict.url.replace('http:', 'https:')}/v1", insecure=True))
    assert one.base_url == f"{strict.url}/v1"


async def test_the_host_of_a_provider_is_that_provider_with_its_own_address(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    monkeypatch.setenv("OPENAI_API_KEY", "o")
    one, _ = await detect(at("https://api.anthropic.com"))
    assert (one.provider, one.base_url, one.model) == ("anthropic", None, UNNAMED)


async def test_a_model_is_asked_for_only_where_none_is_named(strict):
    one, served = await with_model(at(f"{strict.url}/v1"))
    assert (one.model, served.model) == ("small", "small")
    one, served = await with_model(at(f"{strict.url}/v1", model="mine"))
    assert (one.model, served.models) == ("mine", None)


@pytest.mark.parametrize(
    ("address", "model", "says", "advice"),
    [
        ("/v2", "small", "the path is wrong", "/v1 answers"),
        ("/v1", "medium", "there is no model 'medium'", "small, large"),
        (None, "x", "the connection was refused", "is the server running"),
    ],
)
async def test_a_failed_run_has_a_hint(strict, address, model, says, advice):
    url = f"http://127.0.0.1:{free_port()}/v1" if address is None else f"{strict.url}{address}"
    target = at(url, model=model)
    result = await run(RunConfig(targets=(target,), load=LoadConfig(pattern="single")))
    (hint,) = await hints(target, result.records)
    assert says in hint
    assert advice in hint


async def test_a_page_in_place_of_an_answer_has_a_hint():
    with start(make_script(html=True)) as handle:
        target = at(f"{handle.url}/v1", model="m")
        result = await run(RunConfig(targets=(target,), load=LoadConfig(pattern="single")))
    (hint,) = await hints(target, result.records)
    assert "is the base URL that of an API?" in hint
    assert "login page" in hint


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("http://a/v1", "http://a/v1"),
        ("localhost:8000", "http://localhost:8000"),
        ("gpu1/v1", "http://gpu1/v1"),
        ("10.0.0.7:8000/v1", "http://10.0.0.7:8000/v1"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("api.example.com/v1", "https://api.example.com/v1"),
    ],
)
def test_an_address_without_a_scheme_gets_one(address, url):
    assert with_scheme(address) == url
