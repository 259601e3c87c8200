"""A simulator for all tests of the command line; it keeps one known script."""

from __future__ import annotations

import pytest

from lens.simulator import make_script, start


@pytest.fixture(scope="session")
def simulator():
    """TTFT 40 ms, then a token every 5 ms, ten in all."""
    with start(make_script(ttft="40ms", itl="5ms", tokens=10)) as running:
        yield running


@pytest.fixture(scope="session")
def url(simulator):
    return f"{simulator.url}/v1"


@pytest.fixture
def target(url):
    """Arguments that name the simulator."""
    return ["--provider", "openai", "--model", "test-1", "--base-url", url]
