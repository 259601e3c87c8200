"""--log-level: five levels, each with what the ones above it say, on standard error, and never a secret."""

from __future__ import annotations

import logging

import pytest

from lens.cli.commands.benchmark import command
from lens.cli.errors import run
from lens.cli.logs import LEVELS, set_up_logging
from lens.cli.main import lll
from lens.simulator import make_script, start_thread


@pytest.fixture(autouse=True)
def logger_as_before():
    logger = logging.getLogger("lens")
    before = list(logger.handlers), logger.propagate, logger.level
    yield
    logger.handlers[:], logger.propagate = before[0], before[1]
    logger.setLevel(before[2])


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_shows_itself_and_what_is_graver(capsys, level):
    set_up_logging("info")
    set_up_logging(level)  # the last one counts, and nothing is said twice
    for name, number in LEVELS.items():
        logging.getLogger("lens.some.place").log(number, "a %s line\nin two", name)
    said = capsys.readouterr().err.splitlines()
    names = list(LEVELS)
    assert said == [f"lll: {name} some.place: a {name} line in two" for name in names[: names.index(level) + 1]]


def test_a_run_tells_what_was_decided_sent_and_tried_again_and_no_secret(capsys, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sk-hidden-4711")
    script = make_script(ttft="1ms", itl="1ms", tokens=3, status=503, fail_first=1)
    with start_thread(script) as handle:
        words = ["--provider", "openai", "-m", "m", "--base-url", f"{handle.url}/v1", "--ui", "none", "-n", "2"]
        secret = ["--api-key-env", "MY_KEY", "-H", "X-Auth: hush-hush", "-p", "hello", "--proxy", ""]
        run(lll, ["benchmark", *words, *secret, "--retries", "1", "--log-level", "trace"])
    said = capsys.readouterr().err
    for part in (
        "info cli.settings: settings of the command line: provider",
        "info run.log: target openai m at",
        "info run.log: load iterations: 2 requests",
        "debug transport.pool: connection to",
        "connect ",
        "trace orchestrator.request_log: request 0: POST",
        "authorization: ***",
        '"content":"hello"',
        "trace orchestrator.request_log: answer 0: 503",
        "tried again in",
        "debug orchestrator.request_log",
    ):
        assert part in said, part  # fmt: skip
    assert "hidden" not in said
    assert "hush" not in said


def test_a_run_tells_nothing_unless_it_is_asked(capsys):
    with command.make_context("benchmark", ["--provider", "simulator"], obj={}) as ctx:
        from lens.cli.settings import settings_of

        settings_of(ctx)
    assert capsys.readouterr().err == ""
