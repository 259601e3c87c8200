"""Requests as the logger is told of them: what was sent and came back, never a secret, nothing unless asked for."""

import logging

import pytest
from handmade import failed_record, record

from lens.orchestrator.request_log import TRACE, log_outcome, log_request, log_retry
from lens.wire import SignalRules, WireRequest

REQUEST = WireRequest(
    path="/v1/m?key=sk-path-1234", headers=((b"x-api-key", b"sk-head-1234"), (b"x-copy", b"see KEY123")),
    body=b'{"say":"KEY123"}', signals=SignalRules(rules=()),
)  # fmt: skip


@pytest.fixture(autouse=True)
def listening(caplog):
    logging.getLogger("lens").propagate = True
    caplog.set_level(TRACE, logger="lens")


def test_a_request_is_told_without_its_secrets(caplog):
    log_request(3, REQUEST, "h:1", "KEY123")
    (said,) = caplog.messages
    assert said.startswith("request 3: POST h:1/v1/m")
    assert "16 bytes" in said
    for secret in ("sk-path", "sk-head", "KEY123"):
        assert f"{secret}-1234" not in said
        assert secret != "KEY123" or secret not in said


def test_outcomes_and_retries_are_told_at_debug(caplog):
    log_outcome(record())
    log_outcome(failed_record("too much"))
    log_retry(failed_record("too much"), 1_500_000_000)
    first, second, third = caplog.messages
    assert "success" in first
    assert "too much" in second
    assert third.endswith("tried again in 1.50 s")


def test_nothing_is_told_at_info(caplog):
    caplog.set_level(logging.INFO, logger="lens")
    log_request(3, REQUEST, "h:1", None)
    log_outcome(record())
    assert caplog.messages == []
